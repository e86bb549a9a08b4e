"""Tells the chip in the header that something may have changed, and how the chat is answered."""

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
        {"xoe": "standing", "model": model_of(services, chat), "only": only(chat)}
    )


def only(chat: Chat) -> str:
    """Return what alone of the library a chat asks, in few words; empty where it asks all."""
    asked = chat.options.categories if chat.options.use_library else ()
    if not asked:
        return ""
    first = chat.categories.get(asked[0], asked[0])
    return f"only {first}" + (f" + {len(asked) - 1}" if len(asked) > 1 else "")


def model_of(services: Services, chat: Chat) -> str:
    """Return the name of the model that answers a chat; blocking for an instant."""
    if chat.profile is not None:
        return profiles.title(chat.profile)
    installed = profiles.installed_profiles(services.settings)
    return profiles.title(installed[0]) if installed else services.settings.llm_model or ""
