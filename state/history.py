"""The history of each chat: in Redis, and in memory as long as Redis cannot take it.

A write changes the copy in memory at once and is brought to Redis by a task of its own
(``history_writer``). So no turn waits for a Redis that is away, hangs or is full, the next question
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
from state.history_buffer import BufferLimits, HistoryBuffer, Session, Snapshot
from state.history_entry import (
    EXTRA_MAX_BYTES,
    ID_MAX_CHARS,
    HistoryEntry,
    Role,
    decoded,
    encoded,
    history_key,
    owner_prefix,
    shortened,
)
from state.history_store import HistoryStore
from state.history_writer import HistoryWriter
from state.redis import RedisConnection

__all__ = [
    "DEGRADED",
    "EXTRA_MAX_BYTES",
    "ID_MAX_CHARS",
    "ChatHistory",
    "HistoryEntry",
    "Role",
    "history_key",
    "shortened",
]

log = structlog.get_logger(__name__)

DEGRADED: Final = "This chat is kept in memory only for now, until its store is back."
"""What to tell the user while ``ChatHistory.is_degraded``."""

ACK_WAIT_S: Final = 0.1
"""How long a write waits for Redis to confirm it; it goes on without."""
READ_WAIT_S: Final = 0.5
"""How long a read waits for Redis where the copy in memory would do as well."""
MIRRORED_TURNS: Final = 100
"""The turns that the first read of a chat asks for at least, for the copy in memory."""


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
        max_entries, ttl_s = 2 * settings.history_max_turns, float(settings.history_ttl_s)
        self._buffer = HistoryBuffer(max_entries, ttl_s, limits or BufferLimits())
        self._store = HistoryStore(
            connection, writer=secrets.token_hex(8), max_entries=max_entries, ttl_s=ttl_s
        )
        self._writer = HistoryWriter(connection, self._store, self._buffer)
        self._reads: set[asyncio.Task[tuple[bytes, ...]]] = set()

    @property
    def is_degraded(self) -> bool:
        """Whether chats are kept in memory only for now; ``DEGRADED`` says so to a person."""
        return self._connection.is_away or self._writer.is_refused

    @property
    def pending(self) -> int:
        """How many writes Redis does not hold yet."""
        return self._buffer.pending

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
        and answer where they have any; made up where they are empty.
        """
        key = history_key(owner, session_id)
        entries = (
            encoded(self._entry("user", user_text, user_extra, ids[0])),
            encoded(self._entry("assistant", assistant_text, assistant_extra, ids[1])),
        )
        await self._bring(self._buffer.append(key, entries))

    async def replace(self, session_id: str, owner: str, entries: Sequence[HistoryEntry]) -> None:
        """Put ``entries`` in the place of all that a chat holds, all or nothing."""
        key = history_key(owner, session_id)
        cut = [replace(one, content=shortened(one.content, self._max_chars)) for one in entries]
        values = tuple(encoded(entry) for entry in cut)
        session = self._buffer.clear(key)
        if values:
            session = self._buffer.append(key, values)
        await self._bring(session)

    async def load(
        self, session_id: str, owner: str, last: int | None = None
    ) -> list[HistoryEntry]:
        """Return the last ``last`` turns (all that are kept by default), oldest first.

        They come from Redis, together with what it does not hold yet; from memory alone while
        Redis is away or late.
        """
        key = history_key(owner, session_id)
        if last is not None and last < 1:
            return []
        values = await self._held(key, 0 if last is None else 2 * last)
        entries = (decoded(value) for value in (values if last is None else values[-2 * last :]))
        return [entry for entry in entries if entry is not None]

    async def drop_last(self, session_id: str, owner: str, turns: int) -> None:
        """Forget the last ``turns`` turns of a chat, or all there are when it has fewer."""
        if turns < 1:
            return
        await self._bring(self._buffer.drop_last(history_key(owner, session_id), 2 * turns))

    async def clear(self, session_id: str, owner: str) -> None:
        """Forget a chat."""
        await self._bring(self._buffer.clear(history_key(owner, session_id)))

    async def delete(self, session_id: str, owner: str) -> bool:
        """Forget a chat and that there was one; return whether Redis has nothing of it now."""
        return await self._delete({history_key(owner, session_id)})

    async def delete_owner(self, owner: str) -> bool:
        """Do the same with all chats of ``owner``: those here, and those that only Redis holds."""
        prefix = owner_prefix(owner)
        keys = {one.key for one in self._buffer.sessions() if one.key.startswith(prefix)}
        are_all = self._connection.is_up
        if are_all:
            try:
                keys |= await self._store.keys(prefix)
            except RedisError as exc:
                log.warning("history.not_all_deleted", error=str(exc))
                are_all = False
        return await self._delete(keys) and are_all

    async def drain(self, wait_s: float) -> bool:
        """Wait, ``wait_s`` at most, until Redis holds everything; return whether it does."""
        return await self._writer.drain(wait_s)

    async def aclose(self) -> None:
        """Bring to Redis what it does not hold, if it is there, and end the task that does so."""
        if self._connection.is_up:
            await self.drain(self._timeout_s)
        for task in self._reads:
            task.cancel()
        await asyncio.gather(*self._reads, return_exceptions=True)
        await self._writer.aclose()

    async def _delete(self, keys: Collection[str]) -> bool:
        sessions = [self._buffer.clear(key) for key in keys]
        for session in sessions:
            await self._bring(session)
        if not self._connection.is_up or any(session.pending for session in sessions):
            return False
        try:
            await self._store.delete(keys)
        except RedisError as exc:
            log.warning("history.not_deleted", error=str(exc))
            return False
        return True

    async def _bring(self, session: Session) -> None:
        self._writer.wake(session)
        await self._writer.settle(session, ACK_WAIT_S)

    async def _held(self, key: str, wanted: int) -> tuple[bytes, ...]:
        """Return a chat's newest ``wanted`` entries, or more; 0 for all."""
        session = self._buffer.find(key)
        is_known = session is not None and session.known
        if self._connection.is_up and not (is_known and self._writer.is_slow):
            reading = asyncio.create_task(self._read(key, wanted))
            self._reads.add(reading)  # goes on when it is late: it finds out whether Redis hangs
            reading.add_done_callback(self._read_ended)
            await asyncio.wait({reading}, timeout=READ_WAIT_S if is_known else None)
            if reading.done() and not reading.cancelled() and reading.exception() is None:
                return reading.result()
            if not reading.done():
                self._writer.overdue()
        session = self._buffer.find(key)
        return session.view() if session else ()

    def _read_ended(self, task: asyncio.Task[tuple[bytes, ...]]) -> None:
        self._reads.discard(task)
        if task.cancelled() or (exc := task.exception()) is None:
            return
        if not isinstance(exc, RedisError):
            log.error("history.read_failed", exc_info=exc)
        elif self._connection.is_up:
            log.warning("history.unreadable", error=str(exc))

    async def _read(self, key: str, wanted: int) -> tuple[bytes, ...]:
        session = self._buffer.find(key)
        version = session.version if session else 0
        count = wanted
        if wanted:
            known = session is not None and session.known
            count = wanted if known else max(wanted, 2 * MIRRORED_TURNS)
            count += sum(delta.drop for delta in session.deltas) if session else 0
        generation = self._connection.generation
        snapshot = await self._store.read(key, count)
        self._writer.in_time()
        return self._merged(key, snapshot, version, generation)

    def _merged(
        self, key: str, snapshot: Snapshot, version: int, generation: int
    ) -> tuple[bytes, ...]:
        """Return what Redis holds with what it does not hold yet."""
        session = self._buffer.open(key)
        if snapshot.version < session.version or snapshot.seen < session.acked:
            if session.version != version:
                return session.view()  # a write overtook this read
            if session.generation != self._connection.generation:
                self._writer.wake(session)  # started with old data: it gets back what it had
                return session.view()
        session = self._buffer.install(key, snapshot, generation)
        return session.view(snapshot.entries)

    def _entry(
        self, role: Role, content: str, extra: Mapping[str, Any] | None, given_id: str
    ) -> HistoryEntry:
        return HistoryEntry(
            role=role,
            content=shortened(content, self._max_chars),
            at=round(self._clock(), 3),
            id=given_id or secrets.token_hex(8),
            extra=extra,
        )
