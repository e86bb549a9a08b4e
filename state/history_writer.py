"""The task that brings writes to Redis: in order, once, and at its own pace.

It sends what waits of several chats together, each chat's writes one after the other. While Redis
is away it sleeps until the connection is back; what Redis refuses (it is full, or read-only) is
sent again with growing pauses.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable
from typing import Final

import structlog
from redis.exceptions import ResponseError

from core.errors import RedisError
from state.history_buffer import HistoryBuffer, Session
from state.history_delta import NOTHING
from state.history_store import HistoryStore, Obeyed, Write
from state.redis import RedisConnection

log = structlog.get_logger(__name__)

BATCH_SESSIONS: Final = 16
BATCH_BYTES: Final = 256 * 1024
PAUSE_FIRST_S: Final = 0.1
PAUSE_MAX_S: Final = 5.0


class HistoryWriter:
    """Brings what the buffer holds to Redis; its task begins with the first ``wake``."""

    def __init__(
        self,
        connection: RedisConnection,
        store: HistoryStore,
        buffer: HistoryBuffer,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``clock`` gives seconds and never goes back."""
        self._connection = connection
        self._store = store
        self._buffer = buffer
        self._clock = clock
        self._number = itertools.count(1).__next__
        self._dirty: dict[str, None] = {}  # in the order in which they wait
        self._refused: dict[str, None] = {}
        self._retry_at = 0.0
        self._pause_s = 0.0
        self._checked = 0
        self._waiters: dict[str, set[asyncio.Future[None]]] = {}
        self._woken = asyncio.Event()
        self._progress = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_slow = False
        connection.on_change(self._connection_changed)

    @property
    def is_refused(self) -> bool:
        """Whether Redis answers, and refuses to keep what is sent."""
        return bool(self._refused)

    @property
    def is_slow(self) -> bool:
        """Whether an answer of Redis is overdue."""
        return self._is_slow

    def overdue(self) -> None:
        """Note that an answer of Redis is overdue; the next one takes it back."""
        self._is_slow = True

    def in_time(self) -> None:
        """Note that Redis has answered."""
        self._is_slow = False

    def wake(self, session: Session) -> None:
        """Have a chat's writes brought to Redis."""
        if session.key not in self._refused:
            self._dirty[session.key] = None
        self._begin()

    async def settle(self, session: Session, wait_s: float) -> None:
        """Wait until a chat's writes are in Redis, but not for a Redis that keeps one waiting."""
        if self._is_slow or session.key in self._refused or not self._connection.is_up:
            await asyncio.sleep(0)  # whoever writes in a loop leaves the task a chance
            return
        settled = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(session.key, set()).add(settled)
        try:
            await asyncio.wait({settled}, timeout=wait_s)
            if not settled.done():
                self.overdue()
        finally:
            waiters = self._waiters.get(session.key, set())
            waiters.discard(settled)
            if not waiters:
                self._waiters.pop(session.key, None)

    async def drain(self, wait_s: float) -> bool:
        """Wait, ``wait_s`` at most, until Redis holds everything; return whether it does."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while self._buffer.pending:
                    self._progress.clear()
                    await self._progress.wait()
        return not self._buffer.pending

    async def aclose(self) -> None:
        """End the task; what Redis does not hold by now is given up."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._buffer.pending:
            log.warning("history.not_written", writes=self._buffer.pending)

    # ── the task ─────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        self._woken.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="history-writer")

    def _connection_changed(self) -> None:
        self._is_slow = False
        if self._task is not None:
            self._woken.set()
        if not self._connection.is_up:
            for key in list(self._waiters):
                self._release(key)

    async def _run(self) -> None:
        try:
            while True:
                await self._rest()
                self._take_stock()
                batch = self._next_batch() if self._connection.is_up else []
                if batch:
                    await self._send(batch)
                self._progress.set()
        except Exception:
            log.exception("history.writer_failed")  # the next write begins it anew
            raise

    async def _rest(self) -> None:
        """Sleep until there is something to do."""
        while True:
            self._woken.clear()
            if self._connection.is_up:
                is_due = bool(self._refused) and self._clock() >= self._retry_at
                if self._dirty or is_due or self._checked != self._connection.generation:
                    return
            wait_s = max(0.0, self._retry_at - self._clock()) if self._refused else None
            if not self._connection.is_up:
                wait_s = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()

    def _take_stock(self) -> None:
        """Queue again what was refused, and all chats when another redis-server answers."""
        if self._refused and self._clock() >= self._retry_at:
            self._dirty.update(self._refused)
            # They stay in ``_refused`` until Redis takes them.
        generation = self._connection.generation
        if self._checked != generation:
            self._checked = generation
            for session in self._buffer.sessions():
                if session.acked and session.generation != generation:
                    self._dirty[session.key] = None

    def _next_batch(self) -> list[Write]:
        batch: list[Write] = []
        size = 0
        for key in list(self._dirty):
            if len(batch) == BATCH_SESSIONS or (batch and size > BATCH_BYTES):
                break
            del self._dirty[key]
            session = self._buffer.find(key)
            write = self._write_for(session) if session else None
            if write is None:
                self._accept(key)
                self._release(key)
                continue
            size += write.delta.size_bytes + sum(map(len, write.base))
            batch.append(write)
        return batch

    def _write_for(self, session: Session) -> Write | None:
        sent = session.seal(self._number)
        self._buffer.measure(session)
        is_unsure = session.acked and session.generation != self._connection.generation
        if sent is None and not is_unsure:
            return None
        return Write(
            key=session.key,
            seq=sent.seq if sent else session.acked,
            acked=session.acked,
            version=session.version,
            delta=sent.delta if sent else NOTHING,
            ttl_s=self._buffer.remaining_s(session),
            restore=session.restore,
            base=session.base if session.restore else (),
        )

    async def _send(self, batch: list[Write]) -> None:
        generation = self._connection.generation
        try:
            replies = await self._store.write(batch)
        except RedisError as exc:
            # They go again, under the same numbers: Redis may have obeyed.
            self._dirty = dict.fromkeys([*(write.key for write in batch), *self._dirty])
            if self._connection.is_up:
                log.debug("history.write_failed", error=str(exc))
                await asyncio.sleep(PAUSE_FIRST_S)
            return
        self.in_time()
        refusal: ResponseError | None = None
        for write, reply in zip(batch, replies, strict=True):
            if isinstance(reply, ResponseError):
                refusal = reply
                self._refuse(write.key, reply)
            else:
                self._take(write, reply, generation)
        if refusal is not None:
            self._pause_s = min(max(2 * self._pause_s, PAUSE_FIRST_S), PAUSE_MAX_S)
            self._retry_at = self._clock() + self._pause_s

    def _refuse(self, key: str, reason: ResponseError) -> None:
        if not self._refused:
            log.warning("history.refused", reason=str(reason))
        self._refused[key] = None
        self._release(key)

    def _accept(self, key: str) -> None:
        if key not in self._refused:
            return
        del self._refused[key]
        if not self._refused:
            self._pause_s = 0.0
            log.info("history.accepted_again")

    def _take(self, write: Write, reply: Obeyed, generation: int) -> None:
        self._accept(write.key)
        session = self._buffer.find(write.key)
        if session is None:
            self._release(write.key)
            return
        if not reply.done:
            # Another redis-server has been started with old data, or none: it gets back what it
            # had confirmed. The same one was told to forget it, or had no room for it.
            is_another = session.generation != self._connection.generation
            session.restore = is_another and session.known
            if not session.restore:
                session.base, session.whole = (), False
        elif session.sent is not None and session.sent.seq == write.seq:
            session.confirm(
                write.seq, version=reply.version, length=reply.length, generation=generation
            )
        elif session.acked == write.seq:
            session.generation, session.restore = generation, None
            session.version = max(session.version, reply.version)
        self._buffer.measure(session)
        if session.pending or session.restore is not None or session.generation != generation:
            self._dirty[write.key] = None
        else:
            self._release(write.key)

    def _release(self, key: str) -> None:
        for waiter in self._waiters.get(key, ()):
            if not waiter.done():
                waiter.set_result(None)
