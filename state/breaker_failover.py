"""Circuits in Redis while it is there, and in memory while it is not.

What is known of each circuit is mirrored in memory all the time. When Redis fails a call, the
mirror goes on from there at once, and nobody waits for Redis until it is back: that is found out
in the background. Then each circuit that went apart is merged with Redis's (``breaker.merge``),
and outcomes that were counted meanwhile in an epoch that still lasts are counted there too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final

import structlog

from core.errors import CircuitOpenError, RedisError
from core.tasks import Tasks
from state.breaker import BreakerConfig, Circuit, Outcome, Permit, Transition
from state.breaker_memory import MemoryStore, wall_clock_ms
from state.breaker_store import BreakerStore, Decision

log = structlog.get_logger(__name__)

_RETRY_S: Final = 0.5
"""Between two looks for Redis while it is away."""
_MERGE_TRIES: Final = 10
"""A circuit that is busy changes while it is merged, and is merged again."""


class FailoverStore(BreakerStore):
    """A store that always answers; ``aclose`` at the end."""

    def __init__(
        self,
        redis: BreakerStore,
        configs: Mapping[str, BreakerConfig],
        *,
        timeout_s: float,
        failed: Callable[[], bool],
        guard: Callable[[], AbstractAsyncContextManager[object]],
        told: Callable[[str, Transition | None], None],
    ) -> None:
        """Take the store in Redis, and what a caller waits for it at the most.

        ``failed()`` says that Redis has just failed somebody else. Each call of Redis runs in
        ``guard()``, which may raise ``CircuitOpenError``. ``told(name, transition)`` hears of
        transitions that no caller's operation caused.
        """
        self._redis = redis
        self._timeout_s = timeout_s
        self._failed = failed
        self._guard = guard
        self._told = told
        self._offset_ms = 0
        self._in_redis = set(configs)
        self._seen_epoch = dict.fromkeys(configs, 0)
        self._uncounted = {
            name: deque[tuple[Permit, Outcome]](maxlen=config.window)
            for name, config in configs.items()
        }
        self._tasks = Tasks()
        self._returning: asyncio.Task[None] | None = None
        self._is_closed = False
        self.memory = MemoryStore(configs, clock_ms=self._now_ms)
        """What is known of the circuits; the truth while Redis is away."""

    def in_redis(self, name: str) -> bool:
        """Whether the circuit is kept in Redis at the moment."""
        return name in self._in_redis

    async def admit(self, name: str, lease_id: str) -> Decision:
        """Admit or reject a call; ``lease_id`` is unique."""
        return await self._do(
            name,
            lambda: self._redis.admit(name, lease_id),
            lambda: self.memory.admit(name, lease_id),
        )

    async def report(self, name: str, permit: Permit, outcome: Outcome) -> Decision:
        """Count a call that was admitted and has ended."""

        def in_memory() -> Awaitable[Decision]:
            if permit.lease is None:
                self._uncounted[name].append((permit, outcome))
            return self.memory.report(name, permit, outcome)

        return await self._do(name, lambda: self._redis.report(name, permit, outcome), in_memory)

    async def release(self, name: str, permit: Permit) -> Decision:
        """Give a probe's lease back without an outcome."""
        return await self._do(
            name,
            lambda: self._redis.release(name, permit),
            lambda: self.memory.release(name, permit),
        )

    async def read(self, name: str) -> Decision:
        """Return the circuit as it is."""
        return await self._do(name, lambda: self._redis.read(name), lambda: self.memory.read(name))

    async def merge(self, name: str, ours: Circuit, base_epoch: int) -> Decision:
        """Bring a circuit that went on elsewhere together with this one."""
        return await self._do(
            name,
            lambda: self._redis.merge(name, ours, base_epoch),
            lambda: self.memory.merge(name, ours, base_epoch),
        )

    async def aclose(self) -> None:
        """Stop looking for Redis."""
        self._is_closed = True
        await self._tasks.aclose()

    async def _do(
        self,
        name: str,
        in_redis: Callable[[], Awaitable[Decision]],
        in_memory: Callable[[], Awaitable[Decision]],
    ) -> Decision:
        if name in self._in_redis:
            try:
                if self._failed():
                    raise RedisError("Redis has just failed another command.")
                reply = await self._ask(in_redis)
            except (RedisError, CircuitOpenError) as exc:
                self._lost(str(exc))
            else:
                self._saw(name, reply)
                return reply
        # No other task runs between here and the end: memory's operations wait for nothing.
        return await in_memory()

    async def _ask(self, operation: Callable[[], Awaitable[Decision]]) -> Decision:
        """Do it in Redis, with a limit on the time. Raises ``RedisError``, ``CircuitOpenError``."""
        async with self._guard():
            try:
                async with asyncio.timeout(self._timeout_s):
                    reply = await operation()
            except TimeoutError as exc:
                raise RedisError(f"Redis has not answered for {self._timeout_s:g} s.") from exc
        self._offset_ms = reply.now_ms - wall_clock_ms()
        return reply

    def _saw(self, name: str, reply: Decision) -> None:
        """Mirror what Redis says."""
        if name not in self._in_redis:
            return  # it failed somebody else meanwhile, and memory has gone on without it
        known = self.memory.circuit(name)
        if reply.circuit.epoch >= known.epoch:
            self._adopt(name, reply.circuit)
        else:  # two replies have changed places, or Redis has lost what it knew
            self._tasks.spawn(self._remind(name, known))

    def _adopt(self, name: str, circuit: Circuit) -> None:
        self.memory.put(name, circuit)
        self._seen_epoch[name] = circuit.epoch

    async def _remind(self, name: str, known: Circuit) -> None:
        """Give Redis back a circuit that it has lost; where it has not, nothing happens."""
        try:
            reply = await self._ask(lambda: self._redis.merge(name, known, known.epoch))
        except (RedisError, CircuitOpenError) as exc:
            self._lost(str(exc))
            return
        if reply.kept_ours:
            log.warning("breaker.restored", name=name, state=known.state)

    def _lost(self, reason: str) -> None:
        if self._in_redis:
            log.warning("breaker.redis_lost", reason=reason)
        self._in_redis.clear()
        if not self._is_closed and (self._returning is None or self._returning.done()):
            self._returning = self._tasks.spawn(self._return())

    async def _return(self) -> None:
        """Look for Redis until every circuit is in it again."""
        while away := self._uncounted.keys() - self._in_redis:
            await asyncio.sleep(_RETRY_S)
            try:
                for name in sorted(away):
                    await self._bring_back(name)
            except (RedisError, CircuitOpenError):  # the guard has counted it
                self._in_redis.clear()
        log.info("breaker.redis_back")

    async def _bring_back(self, name: str) -> None:
        for _ in range(_MERGE_TRIES):
            ours, base_epoch = self.memory.circuit(name), self._seen_epoch[name]
            sent = {id(call) for call in self._uncounted[name]}
            reply = await self._merged(name, ours, base_epoch)
            if reply.kept_ours:  # with the calls that it had counted
                calls = [call for call in self._uncounted[name] if id(call) not in sent]
                self._uncounted[name] = deque(calls, maxlen=self._uncounted[name].maxlen)
            if self.memory.circuit(name) is ours:  # nothing has happened meanwhile
                break
        else:
            return
        self._adopt(name, reply.circuit)
        self._in_redis.add(name)
        if reply.circuit.state != ours.state or reply.kept_ours:
            kept = "ours" if reply.kept_ours else "redis"
            log.info("breaker.merged", name=name, kept=kept, state=reply.circuit.state)
        uncounted = list(self._uncounted[name])
        self._uncounted[name].clear()
        for permit, outcome in uncounted:
            if permit.epoch == reply.circuit.epoch:
                self._told(name, (await self.report(name, permit, outcome)).transition)

    async def _merged(self, name: str, ours: Circuit, base_epoch: int) -> Decision:
        return await self._ask(lambda: self._redis.merge(name, ours, base_epoch))

    def _now_ms(self) -> int:
        """Redis's clock, as far as it is known."""
        return wall_clock_ms() + self._offset_ms
