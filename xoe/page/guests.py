"""The guests' pages: who has one open, and what is deleted when a visit is over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import structlog
from chainlit.session import WebsocketSession

from xoe.auth.identity import SCOPE_KEY, Identity
from xoe.page import chainlit_patches
from xoe.page import session as pages

if TYPE_CHECKING:
    from xoe.startup import Startup

log = structlog.get_logger(__name__)

_STOP_S = 2.0


class PageGuests:
    """What sharing asks of the page."""

    def __init__(self, startup: Startup) -> None:
        """``startup`` has what is kept of guests."""
        self._startup = startup

    def here(self) -> frozenset[str]:
        """Return the identities of whom a page is open."""
        return frozenset(
            who.id
            for session in chainlit_patches.open_sessions()
            if (who := _identity(session)) is not None and chainlit_patches.is_connected(session)
        )

    async def forget(self, identity: str) -> None:
        """Stop what runs for somebody, and delete all that is kept of them."""
        services = await self._startup.wait()
        for session in chainlit_patches.open_sessions():
            who = _identity(session)
            if who is not None and who.id == identity:
                await self._end(session, who)
        await services.chats.delete_owner(identity)
        log.info("guest.forgotten")

    async def _end(self, session: WebsocketSession, who: Identity) -> None:
        services = await self._startup.wait()
        await services.calls.close(pages.call_id(session, who))
        chat = pages.chat_of(session)
        if chat is not None:
            running = tuple(chat.running)
            chat.stop()
            if running:
                await asyncio.wait(running, timeout=_STOP_S)
        await chainlit_patches.end_session(session)


def _identity(session: WebsocketSession) -> Identity | None:
    scope = session.environ.get("asgi.scope") or {}
    return cast("Identity | None", scope.get(SCOPE_KEY))
