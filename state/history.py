"""The history of each chat: in Redis, and in memory as long as Redis cannot take it.

A write changes the copy in memory at once, and Redis is made the same behind it. So no turn waits
for a Redis that is away, hangs or is full, the next question sees the turns before it, and Redis
gets them once and in order when it is back.

A chat is settled by one look at Redis and one ``MULTI``, which is obeyed only where nobody wrote
since the look (``WATCH``). So no other server's write is lost between, and a write that was given
up changes nothing when it arrives late, after the next one. Beside each history lies ``…:state``
with its version, the count of all writes to it.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError, WatchError

from core.errors import RedisError
from core.settings import Settings
from core.tasks import Tasks
from state.history_buffer import BufferLimits, Entries, HistoryBuffer, Session
from state.history_entry import (
    HistoryEntry,
    decoded,
    encoded,
    history_key,
    owner_prefix,
    shortened,
    state_key,
    turns,
)
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
PAUSE_FIRST_S: Final = 0.1
PAUSE_MAX_S: Final = 5.0
"""Between two tries to bring what Redis refuses."""

# A script, so that a chat which is known here already is not sent again.
_LOOK: Final = """
local version, length = redis.call('HGET', KEYS[2], 'version') or '0', redis.call('LLEN', KEYS[1])
if version == ARGV[1] and length == tonumber(ARGV[2]) then
  return {version, 0, false}
end
return {version, redis.call('PTTL', KEYS[1]), redis.call('LRANGE', KEYS[1], 0, -1)}
"""


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
        self._is_slow = False  # an answer of Redis is overdue: nobody is to wait for the next one
        self._tasks = Tasks()
        self._catching_up: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        connection.on_change(self._connection_changed)

    @property
    def is_degraded(self) -> bool:
        """Whether chats are kept in memory only for now; ``DEGRADED`` says so to a person."""
        return self._connection.is_away or self._is_refused

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
        session, at = self._open(session_id, owner), round(self._clock(), 3)
        asked, told = (given or secrets.token_hex(8) for given in ids)
        self._add(
            session,
            HistoryEntry("user", user_text, at, asked, user_extra),
            HistoryEntry("assistant", assistant_text, at, told, assistant_extra),
        )
        session.recorded = session.recorded or bool(ids[1])
        await self._bring(session)

    async def replace(self, session_id: str, owner: str, entries: Sequence[HistoryEntry]) -> None:
        """Put ``entries``, as the database keeps them, in the place of all that a chat holds."""
        session = self._open(session_id, owner)
        session.clear()
        session.recorded = True
        self._add(session, *entries)
        await self._bring(session)

    async def load(
        self, session_id: str, owner: str, last: int | None = None
    ) -> list[HistoryEntry]:
        """Return the last ``last`` turns (all that are kept by default), oldest first.

        They come from Redis, together with what it does not hold yet; from memory alone while
        Redis is away or late, or has lost what it had confirmed.
        """
        session = self._open(session_id, owner)
        if not (session.known and self._is_slow):
            await self._wait_for(session, READ_WAIT_S if session.known else None)
        values = list(session.view.values())
        if last is not None:
            values = values[max(0, len(values) - 2 * last) :]
        return [entry for entry in map(decoded, values) if entry is not None]

    async def drop_last(self, session_id: str, owner: str, turns: int) -> None:
        """Forget the last ``turns`` turns of a chat, or all there are when it has fewer."""
        if turns > 0:
            session = self._open(session_id, owner)
            session.drop_last(2 * turns)
            await self._bring(session)

    async def clear(self, session_id: str, owner: str) -> None:
        """Forget a chat."""
        session = self._open(session_id, owner)
        session.clear()
        await self._bring(session)

    async def delete(self, session_id: str, owner: str) -> bool:
        """Forget a chat and that there was one; return whether Redis has nothing of it now."""
        return await self._delete({history_key(owner, session_id)})

    async def delete_owner(self, owner: str) -> bool:
        """Do the same with all chats of ``owner``: those here, and those that only Redis holds."""
        prefix = owner_prefix(owner)
        pattern = re.sub(r"([\\\[\]?*^])", r"\\\1", prefix) + "*"

        async def chats(client: Redis) -> set[str]:
            found = client.scan_iter(pattern, count=1000)
            return {f"{key.decode().rpartition(':')[0]}:history" async for key in found}

        keys = {one.key for one in self._buffer.sessions() if one.key.startswith(prefix)}
        try:
            keys |= await self._connection.run(chats)
        except RedisError as exc:
            log.warning("history.not_all_deleted", error=str(exc))
            await self._delete(keys)
            return False
        return await self._delete(keys)

    async def drain(self, wait_s: float) -> bool:
        """Wait, ``wait_s`` at most, until Redis holds everything; return whether it does."""
        if working := self._catch_up():
            await asyncio.wait({working}, timeout=wait_s)
        return not self.pending

    async def aclose(self) -> None:
        """Bring to Redis what it does not hold, if it is there; the rest is given up."""
        if self._connection.is_up:
            await self.drain(self._timeout_s)
        await self._tasks.aclose()
        if self.pending:
            log.warning("history.not_written", writes=self.pending)

    # ── in memory ────────────────────────────────────────────────────────────────────────────

    def _open(self, session_id: str, owner: str) -> Session:
        return self._buffer.open(history_key(owner, session_id))

    def _add(self, session: Session, *entries: HistoryEntry) -> None:
        cut = (replace(one, content=shortened(one.content, self._max_chars)) for one in entries)
        session.append({entry.id: encoded(entry) for entry in cut})
        self._buffer.keep_for(session, self._buffer.ttl_s)

    async def _bring(self, session: Session) -> None:
        self._buffer.measure(session)
        try:
            if not (self._is_slow or session.refused):
                await self._wait_for(session, ACK_WAIT_S)
        finally:
            self._catch_up()
        await asyncio.sleep(0)  # whoever writes in a loop leaves the others a chance

    async def _delete(self, keys: Collection[str]) -> bool:
        left = 0
        for key in keys:
            session = self._buffer.open(key)
            session.clear()
            session.deleted = True
            self._buffer.keep_for(session, self._buffer.ttl_s)
            await self._wait_for(session, None)
            left += session.pending > 0
        self._catch_up()
        return not left

    # ── one chat and Redis ───────────────────────────────────────────────────────────────────

    async def _wait_for(self, session: Session, wait_s: float | None) -> None:
        """Settle a chat where Redis is there; go on without after ``wait_s``."""
        if self._connection.is_up:
            task = self._tasks.spawn(self._settle(session))
            await asyncio.wait({task}, timeout=wait_s)
            self._is_slow = self._is_slow or not task.done()

    async def _settle(self, session: Session) -> None:
        async with session.lock:
            generation = self._connection.generation
            try:
                await self._connection.run(lambda client: self._exchange(client, session))
            except RedisError as exc:
                if isinstance(exc.__cause__, ResponseError):
                    self._answered(session, refusal=str(exc))
                return
            session.generation = generation
            self._answered(session)
            self._buffer.measure(session)

    async def _exchange(self, client: Redis, session: Session) -> None:
        while True:
            try:
                async with client.pipeline() as pipe:
                    return await self._look_and_write(pipe, session)
            except WatchError as exc:  # somebody wrote; or what redis-py makes of a lost line
                if exc.__context__ is not None:
                    raise exc.__context__ from exc

    async def _look_and_write(self, pipe: Any, session: Session) -> None:
        keys = session.key, state_key(session.key)
        is_same = session.known and session.generation == self._connection.generation
        length = len(session.base) if is_same else -1
        await pipe.watch(*keys)
        said = await pipe.eval(_LOOK, 2, *keys, session.version, length)
        version, ttl_ms, values = int(said[0]), said[1], said[2]
        # Another redis-server was started with old data, or none: it gets back what it had
        # confirmed. The same one was told to forget it.
        is_another = session.generation != self._connection.generation
        lost = is_another and (session.deleted or version < session.version)
        held = session.base if values is None else _by_id(values)
        writes, entries = session.pending, session.meet(held, lost=lost)
        session.deleted = session.deleted and not entries
        if writes or lost:
            version = await self._write(pipe, session, held, version)
        elif values is not None:
            self._buffer.keep_for(session, ttl_ms / 1000 if ttl_ms >= 0 else self._buffer.ttl_s)
        session.confirm(entries, writes=writes, version=version)

    async def _write(self, pipe: Any, session: Session, held: Entries, version: int) -> int:
        """Have Redis hold a chat as it is now instead of ``held``; return its version then."""
        key, state, entries = session.key, state_key(session.key), session.view
        if session.deleted:  # a full Redis takes this, but not into a MULTI
            await pipe.delete(key, state)
            return 0
        added = {name: value for name, value in entries.items() if name not in held}
        is_longer = list(session.newest(held | added).items()) == list(entries.items())
        if is_longer and not added and session.sent is None:
            return version
        session.sent = (session.sent or set()) | entries.keys()
        version = max(version, session.version) + 1
        ttl_ms = max(1, round(self._buffer.remaining_s(session) * 1000))
        pipe.multi()
        if not is_longer:
            pipe.delete(key)
            added = entries
        if added:
            pipe.rpush(key, *added.values())
            pipe.ltrim(key, -session.max_entries, -1)
        pipe.pexpire(key, ttl_ms)
        pipe.hset(state, "version", version)
        pipe.pexpire(state, ttl_ms)
        await pipe.execute()
        return version

    @property
    def _is_refused(self) -> bool:
        """Whether Redis answers, and refuses to keep what is sent."""
        return any(session.refused for session in self._buffer.sessions())

    def _answered(self, session: Session, refusal: str = "") -> None:
        """Note that Redis answered; that it refuses is logged once, and that it does no more."""
        self._is_slow = False
        was_refused, session.refused = self._is_refused, bool(refusal)
        if refusal and not was_refused:
            log.warning("history.refused", reason=refusal)
        elif was_refused and not self._is_refused:
            log.info("history.accepted_again")

    # ── all chats and Redis ──────────────────────────────────────────────────────────────────

    def _catch_up(self) -> asyncio.Task[None] | None:
        """Have all chats settled that are not; return who does so, if there are any."""
        is_idle = self._catching_up is None or self._catching_up.done()
        if is_idle and any(map(self._is_behind, self._buffer.sessions())):
            self._catching_up = self._tasks.spawn(self._settle_all())
        return self._catching_up

    async def _settle_all(self) -> None:
        pause_s = PAUSE_FIRST_S
        while behind := [one for one in self._buffer.sessions() if self._is_behind(one)]:
            if not self._connection.is_up:
                self._changed.clear()
                await self._changed.wait()
                continue
            for session in behind:
                await self._settle(session)
            if self._connection.is_up and any(map(self._is_behind, behind)):
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def _is_behind(self, session: Session) -> bool:
        """Return whether Redis may lack something of a chat that it is to get unasked.

        What the database keeps too waits for whoever asks: it may have been deleted elsewhere.
        """
        is_another = session.known and session.generation != self._connection.generation
        return session.pending > 0 or (is_another and (session.deleted or not session.recorded))

    def _connection_changed(self) -> None:
        self._is_slow = False
        self._changed.set()
        if self._connection.is_up:
            self._catch_up()


def _by_id(values: list[bytes]) -> Entries:
    return {entry.id: value for value in values if (entry := decoded(value)) is not None}
