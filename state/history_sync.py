"""Makes Redis and the chats in memory the same, now or when Redis is back.

A chat is settled by one look at Redis and one ``MULTI``, which is obeyed only where nobody wrote
since the look (``WATCH``). So no other server's write is lost between, and a write that was given
up changes nothing when it arrives late, after the next one. Beside each history lies ``…:state``
with its version, the count of all writes to it.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError, WatchError

from core.errors import RedisError
from core.tasks import Tasks
from state.history_buffer import Entries, HistoryBuffer, Session
from state.history_entry import decoded, state_key
from state.redis import RedisConnection

log = structlog.get_logger(__name__)

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


class HistorySync:
    """Settles chats with Redis; what fails is tried again until it is done."""

    def __init__(self, connection: RedisConnection, buffer: HistoryBuffer) -> None:
        """Bring what is in ``buffer`` to Redis."""
        self._connection = connection
        self._buffer = buffer
        self.is_slow = False
        """Whether an answer of Redis is overdue: nobody is to wait for the next one."""
        self._tasks = Tasks()
        self._catching_up: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        connection.on_change(self._connection_changed)

    @property
    def is_refused(self) -> bool:
        """Whether Redis answers, and refuses to keep what is sent."""
        return any(session.refused for session in self._buffer.sessions())

    async def settle(self, session: Session, wait_s: float | None) -> None:
        """Settle a chat where Redis is there; go on without after ``wait_s``."""
        if self._connection.is_up:
            task = self._tasks.spawn(self._settle(session))
            await asyncio.wait({task}, timeout=wait_s)
            self.is_slow = self.is_slow or not task.done()

    def catch_up(self) -> asyncio.Task[None] | None:
        """Have all chats settled that are not; return who does so, if there are any."""
        is_idle = self._catching_up is None or self._catching_up.done()
        if is_idle and any(map(self._is_behind, self._buffer.sessions())):
            self._catching_up = self._tasks.spawn(self._catch_up())
        return self._catching_up

    async def keys(self, prefix: str) -> set[str]:
        """Return the keys of all chats in Redis whose keys begin with ``prefix``.

        Raises ``RedisError``.
        """

        async def command(client: Redis) -> set[str]:
            pattern = re.sub(r"([\\\[\]?*^])", r"\\\1", prefix) + "*"
            return {key.decode() async for key in client.scan_iter(pattern, count=1000)}

        found = await self._connection.run(command)
        return {f"{key.rpartition(':')[0]}:history" for key in found}

    async def aclose(self) -> None:
        """End what is under way."""
        await self._tasks.aclose()

    # ── one chat ─────────────────────────────────────────────────────────────────────────────

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
            self._buffer.keep_for(session, ttl_ms / 1000 if ttl_ms >= 0 else None)
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

    def _answered(self, session: Session, refusal: str = "") -> None:
        """Note that Redis answered; that it refuses is logged once, and that it does no more."""
        self.is_slow = False
        was_refused, session.refused = self.is_refused, bool(refusal)
        if refusal and not was_refused:
            log.warning("history.refused", reason=refusal)
        elif was_refused and not self.is_refused:
            log.info("history.accepted_again")

    # ── all chats ────────────────────────────────────────────────────────────────────────────

    async def _catch_up(self) -> None:
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
        self.is_slow = False
        self._changed.set()
        if self._connection.is_up:
            self.catch_up()


def _by_id(values: list[bytes]) -> Entries:
    return {entry.id: value for value in values if (entry := decoded(value)) is not None}
