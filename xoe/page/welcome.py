"""The first message of a chat: what it can do, what it knows, and what may be asked."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import chainlit as cl
import structlog

from chains.types import LIBRARY_OWNER
from core.errors import XoeError
from xoe.page import elements, session
from xoe.page.offered import OFFERED, latest_of, offered

if TYPE_CHECKING:
    from xoe.services import Services

log = structlog.get_logger(__name__)

_POLL_S = 0.5
# A model that is not loaded by then has failed, and says so itself.
_LONGEST_WATCH_S = 1800


class Welcome:
    """The card at the top of a chat, kept true until everything is loaded."""

    def __init__(self, owner: str) -> None:
        """``owner`` is whose own documents are counted beside the library's."""
        self._owner = owner
        self._card: cl.CustomElement | None = None
        self._message = cl.Message(content="")

    async def show_starting(self) -> None:
        """Show that the page is there and the engines are on their way."""
        engines = {"name": "engines", "detail": "", "state": "loading"}
        await self._put(
            {
                "state": "loading",
                "waiting": [engines],
                "documents": 0,
                "own": 0,
                "passages": 0,
                "questions": [],
                "notes": [],
            }
        )

    async def show(self, services: Services, notes: list[str]) -> None:
        """Show what there is, and go on doing so while more is loaded or questions are tried."""
        await self._put(await welcome_props(services, self._owner, notes))
        watcher = asyncio.create_task(self._watch(services, notes))
        # Held by the session, since the loop itself keeps only a weak reference.
        cl.user_session.set("xoe_watcher", watcher)

    async def show_again(self) -> None:
        """Send the card once more, to a page whose connection is another one now."""
        if self._card is not None:
            await cl.context.emitter.send_step(self._message.to_dict())
            await cl.context.emitter.send_element(self._card.to_dict())

    async def take_away(self) -> None:
        """Remove the card from a chat that had begun before."""
        if self._card is not None:
            await self._message.remove()
            self._card = None

    async def _put(self, props: dict[str, Any]) -> None:
        if self._card is None:
            self._card = elements.welcome(props)
            # The page may come back on a second socket right after its first, on which the start
            # of this callback's step was told; below a step that it does not know it shows nothing.
            self._message.parent_id = None
            self._message.elements = [self._card]  # type: ignore[list-item] # its list is generic
            await self._message.send()
        elif props != self._card.props:
            self._card.props = props
            await self._card.update()

    async def _watch(self, services: Services, notes: list[str]) -> None:
        session_id = cl.context.session.id
        until = asyncio.get_running_loop().time() + _LONGEST_WATCH_S
        while session.is_open(session_id) and asyncio.get_running_loop().time() < until:
            try:
                props = await welcome_props(services, self._owner, notes, may_search=True)
            except XoeError as exc:
                log.warning("page.welcome_not_updated", error=str(exc))
                return
            await self._put(props)
            if props["state"] != "loading":
                return
            await asyncio.sleep(_POLL_S)


async def welcome_props(
    services: Services, owner: str, notes: list[str], *, may_search: bool = False
) -> dict[str, Any]:
    """Return the properties of the welcome as things stand now.

    ``may_search``: questions to begin with are tried where that was not done yet, once the library
    is read.
    """
    owners = (LIBRARY_OWNER, owner)
    documents = await services.store.documents(owners)
    readable = [document for document in documents if document.chunks]
    readiness = services.readiness()
    states = {component.state for component in readiness.components}
    loading = {part.name for part in readiness.components if part.state == "loading"}
    ids = [document.id for document in readable]
    questions = services.starters.get(latest_of(ids), [])
    if may_search and "library" not in loading:
        questions = await offered(services, owner, ids, OFFERED)
    state = "loading" if loading else "failed" if "failed" in states else "ready"
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
        "questions": questions,
        "notes": notes,
    }
