"""The first message of a chat: what it can do, what it knows, and what may be asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import chainlit as cl
import structlog

from chains.types import LIBRARY_OWNER
from xoe.errors import XoeError
from xoe.page import elements, session
from xoe.page.starters import starter_questions

if TYPE_CHECKING:
    from xoe.services import Services

log = structlog.get_logger(__name__)

_POLL_S = 0.5
# A model that is not loaded by then has failed, and says so itself.
_LONGEST_WATCH_S = 1800
_HEADINGS = 400
_STARTERS = 4


async def welcome(services: Services, notes: list[str]) -> None:
    """Show the welcome, and keep it true until everything is loaded."""
    props = await welcome_props(services, session.owner(), notes)
    card = elements.welcome(props)
    await cl.Message(content="", elements=[card]).send()
    if props["state"] == "loading":
        watcher = asyncio.create_task(_watch(services, card, session.owner(), notes))
        # Held by the session, since the loop itself keeps only a weak reference.
        cl.user_session.set("xoe_watcher", watcher)


async def welcome_props(services: Services, owner: str, notes: list[str]) -> dict[str, Any]:
    """Return the properties of the welcome as things stand now."""
    owners = (LIBRARY_OWNER, owner)
    documents = await services.store.documents(owners)
    readable = [document for document in documents if document.chunks]
    headings = await services.store.headings(owners, _HEADINGS)
    readiness = services.readiness()
    states = {component.state for component in readiness.components}
    state = "loading" if "loading" in states else "failed" if "failed" in states else "ready"
    return {
        "state": state,
        "waiting": [
            {"name": component.name, "detail": component.detail, "state": component.state}
            for component in readiness.components
            if component.state in ("loading", "failed")
        ],
        "documents": len(readable),
        "own": sum(document.owner == owner for document in readable),
        "passages": sum(document.chunks for document in readable),
        "questions": starter_questions(headings, wanted=_STARTERS),
        "notes": notes,
    }


async def _watch(services: Services, card: cl.CustomElement, owner: str, notes: list[str]) -> None:
    session_id = cl.context.session.id
    until = asyncio.get_running_loop().time() + _LONGEST_WATCH_S
    while session.is_open(session_id) and asyncio.get_running_loop().time() < until:
        await asyncio.sleep(_POLL_S)
        try:
            props = await welcome_props(services, owner, notes)
        except XoeError as exc:
            log.warning("page.welcome_not_updated", error=str(exc))
            return
        if props != card.props:
            card.props = props
            await card.update()
        if props["state"] != "loading":
            return
