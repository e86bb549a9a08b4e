"""The page's ways to share or export: a button under each answer, and two commands."""

from __future__ import annotations

import chainlit as cl

from xoe.chats.export import KINDS
from xoe.page import session


def share_action() -> cl.Action:
    """Return the button under an answer."""
    return cl.Action(
        name="share_answer", payload={}, label="", tooltip="Share or export", icon="share"
    )


async def show(argument: str = "", *, message_id: str | None = None) -> None:
    """Have the page offer the chat, or one answer of it.

    ``argument``: a kind of file, such as ``md``, which is given at once.
    """
    asked = argument.strip().lower().lstrip(".")
    named = {"markdown": "md", "web": "html", "page": "html"}.get(asked, asked)
    offer: dict[str, str] = {"xoe": "export", "thread": session.session_id()}
    if message_id is not None:
        offer["message"] = message_id
    if named in KINDS:
        offer["kind"] = named
    await cl.context.emitter.send_window_message(offer)
