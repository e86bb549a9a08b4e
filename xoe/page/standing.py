"""Tells the chip in the page's header that something may have changed, and which model answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import chainlit as cl

from chains import profiles
from xoe.page.session import Chat

if TYPE_CHECKING:
    from xoe.services import Services


async def tell(services: Services, chat: Chat) -> None:
    """Send the chat's model; the page asks for the rest, which its owner may see."""
    await cl.context.emitter.send_window_message(
        {"xoe": "standing", "model": model_of(services, chat)}
    )


def model_of(services: Services, chat: Chat) -> str:
    """Return the name of the model that answers a chat; blocking for an instant."""
    if chat.profile is not None:
        return profiles.title(chat.profile)
    installed = profiles.installed_profiles(services.settings)
    return profiles.title(installed[0]) if installed else services.settings.llm_model or ""
