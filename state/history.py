"""The history of each chat: in Redis, and in memory as long as Redis cannot take it.

A write changes the copy in memory at once, and a task of its own makes Redis the same
(``history_sync``). So no turn waits for a Redis that is away, hangs or is full, the next question
sees the turns before it, and Redis gets them once and in order when it is back.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import structlog

from core.errors import RedisError
from core.settings import Settings
from state.history_buffer import BufferLimits, Entries, HistoryBuffer, Session
from state.history_entry import (
    HistoryEntry,
    decoded,
    encoded,
    history_key,
    owner_prefix,
    shortened,
    turns,
)
from state.history_sync import HistorySync
from state.redis import RedisConnection

__all__ = [
    "DEGRADED",
    "BufferLimits",
    "ChatHistory",
    "HistoryEntry",
    "history_key",
    "shortened",
    "turns",
]

log = structlog.get_logger(__name__)

DEGRADED: Final = "This chat is kept in memory only for now, until its store is back."
"""What to tell the user while ``ChatHistory.is_degraded``."""

ACK_WAIT_S: Final = 0.1
"""How long a write waits for Redis to confirm it; it goes on without."""
READ_WAIT_S: Final = 0.5
"""How long a read waits for Redis where the copy in memory would do as well."""


class ChatHistory:
    """Reads and writes chats. Redis being away shows in ``is_degraded`` and raises nothing."""

    def __init__(
        self,
        connection: RedisConnection,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
        limits: BufferLimits | None = None,
    ) -> None:
        """``clock`` gives seconds since 1970; ``limits`` bound the copy in memory."""
        self._connection = connection
        self._max_chars = settings.history_max_chars
        self._timeout_s = settings.redis_timeout_s
        self._clock = clock
        entries, ttl_s = 2 * settings.history_max_turns, float(settings.history_ttl_s)
        self._buffer = HistoryBuffer(entries, ttl_s, limits or BufferLimits())
        self._sync = HistorySync(connection, self._buffer)

    @property
    def is_degraded(self) -> bool:
        """Whether chats are kept in memory only for now; ``DEGRADED`` says so to a person."""
        return self._connection.is_away or self._sync.is_refused

    @property
    def pending(self) -> int:
        """How many writes Redis does not hold yet."""
        return sum(session.pending for session in self._buffer.sessions())

    @property
    def lost(self) -> int:
        """How many writes were given up, because Redis was away for too long to keep them all."""
        return self._buffer.lost

    async def append(
        self,
        session_id: str,
        owner: str,
        user_text: str,
        assistant_text: str,
        *,
        user_extra: Mapping[str, Any] | None = None,
        assistant_extra: Mapping[str, Any] | None = None,
        ids: tuple[str, str] = ("", ""),
    ) -> None:
        """Add one turn, drop what is over the limit and renew the time to live, all or nothing.

        Waits 100 ms at most for Redis to confirm it. An ``extra`` over 8 KB is left out and the
        message kept; one that is not JSON-able raises ``TypeError``. ``ids`` are those of question
        and answer where the database keeps them; made up where they are empty.
        """
        key, at = history_key(owner, session_id), round(self._clock(), 3)
        asked, told = (given or secrets.token_hex(8) for given in ids)
        entries = self._encoded(
            HistoryEntry("user", user_text, at, asked, user_extra),
            HistoryEntry("assistant", assistant_text, at, told, assistant_extra),
        )
        session = self._buffer.open(key)
        session.append(entries)
        session.recorded = session.recorded or bool(ids[1])
        self._buffer.keep_for(session, self._buffer.ttl_s)
        await self._bring(session)

    async def replace(self, session_id: str, owner: str, entries: Sequence[HistoryEntry]) -> None:
        """Put ``entries``, as the database keeps them, in the place of all that a chat holds."""
        values = self._encoded(*entries)
        session = self._buffer.open(history_key(owner, session_id))
        session.clear()
        session.recorded = True
        if values:
            session.append(values)
            self._buffer.keep_for(session, self._buffer.ttl_s)
        await self._bring(session)

    async def load(
        self, session_id: str, owner: str, last: int | None = None
    ) -> list[HistoryEntry]:
        """Return the last ``last`` turns (all that are kept by default), oldest first.

        They come from Redis, together with what it does not hold yet; from memory alone while
        Redis is away or late, or has lost what it had confirmed.
        """
        session = self._buffer.open(history_key(owner, session_id))
        if last is not None and last < 1:
            return []
        if not (session.known and self._sync.is_slow):
            await self._sync.settle(session, READ_WAIT_S if session.known else None)
        values = list(session.view.values())
        entries = (decoded(value) for value in (values if last is None else values[-2 * last :]))
        return [entry for entry in entries if entry is not None]

    async def drop_last(self, session_id: str, owner: str, turns: int) -> None:
        """Forget the last ``turns`` turns of a chat, or all there are when it has fewer."""
        if turns < 1:
            return
        session = self._buffer.open(history_key(owner, session_id))
        session.drop_last(2 * turns)
        await self._bring(session)

    async def clear(self, session_id: str, owner: str) -> None:
        """Forget a chat."""
        session = self._buffer.open(history_key(owner, session_id))
        session.clear()
        await self._bring(session)

    async def delete(self, session_id: str, owner: str) -> bool:
        """Forget a chat and that there was one; return whether Redis has nothing of it now."""
        return await self._delete({history_key(owner, session_id)})

    async def delete_owner(self, owner: str) -> bool:
        """Do the same with all chats of ``owner``: those here, and those that only Redis holds."""
        prefix = owner_prefix(owner)
        keys = {one.key for one in self._buffer.sessions() if one.key.startswith(prefix)}
        try:
            in_redis = await self._sync.keys(prefix)
        except RedisError as exc:
            log.warning("history.not_all_deleted", error=str(exc))
            await self._delete(keys)
            return False
        return await self._delete(keys | in_redis)

    async def drain(self, wait_s: float) -> bool:
        """Wait, ``wait_s`` at most, until Redis holds everything; return whether it does."""
        working = self._sync.catch_up()
        if working is not None:
            await asyncio.wait({working}, timeout=wait_s)
        return not self.pending

    async def aclose(self) -> None:
        """Bring to Redis what it does not hold, if it is there; the rest is given up."""
        if self._connection.is_up:
            await self.drain(self._timeout_s)
        await self._sync.aclose()
        if self.pending:
            log.warning("history.not_written", writes=self.pending)

    async def _bring(self, session: Session) -> None:
        self._buffer.measure(session)
        try:
            if not (self._sync.is_slow or session.refused):
                await self._sync.settle(session, ACK_WAIT_S)
        finally:
            if session.pending:
                self._sync.catch_up()
        await asyncio.sleep(0)  # whoever writes in a loop leaves the others a chance

    async def _delete(self, keys: Collection[str]) -> bool:
        left = 0
        for key in keys:
            session = self._buffer.open(key)
            session.clear()
            session.deleted = True
            self._buffer.keep_for(session, self._buffer.ttl_s)
            await self._sync.settle(session, None)
            left += session.pending > 0
        self._sync.catch_up()
        return not left

    def _encoded(self, *entries: HistoryEntry) -> Entries:
        cut = (replace(one, content=shortened(one.content, self._max_chars)) for one in entries)
        return {entry.id: encoded(entry) for entry in cut}
