"""Deletes what is kept of guests whose visit is over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from core.errors import XoeError
from core.tasks import Tasks

if TYPE_CHECKING:
    from xoe.auth.invitations import Guest

log = structlog.get_logger(__name__)

_CLOSE_S: Final = 10.0


class Visitors(Protocol):
    """What the share needs to know of, and do to, the guests' pages and data."""

    def here(self) -> frozenset[str]:
        """Return the identities of whom a page is open."""

    async def forget(self, identity: str) -> None:
        """Stop what runs for somebody, and delete all that is kept of them."""


class Forgetting:
    """Forgets each guest once, behind whoever asks for it; what fails is tried when asked again."""

    def __init__(self, visitors: Visitors) -> None:
        """``visitors`` does it."""
        self._visitors = visitors
        self._done: set[str] = set()
        self._tasks = Tasks()

    def later(self, guests: Iterable[Guest]) -> None:
        """Begin to forget ``guests``, except those who are forgotten already."""
        for guest in guests:
            if guest.id not in self._done:
                self._done.add(guest.id)
                self._tasks.spawn(self._forget(guest))

    async def aclose(self) -> None:
        """Let what was begun end, ten seconds at most; the next server's start does the rest."""
        await self._tasks.wait(_CLOSE_S)
        self._tasks.cancel()

    async def _forget(self, guest: Guest) -> None:
        try:
            await self._visitors.forget(guest.identity_id)
        except XoeError as exc:
            log.warning("share.not_forgotten", error=str(exc))
            self._done.discard(guest.id)
