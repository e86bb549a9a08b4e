"""The system's circuit breakers: what stands between a caller and an engine that may fail.

    async with breakers.guard("stt", transient=(TranscriptionError, TimeoutError)):
        words = await transcriber.transcribe(speech)

Circuits are kept in Redis, so that they survive a restart and are shared by every process that
uses it, and in memory while Redis is away (``state/breaker_failover.py``).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar, get_args

import structlog

from core.errors import BusyError, CircuitOpenError, ProcessLostError, RedisError
from core.settings import Settings
from core.tasks import Tasks
from state.breaker import BreakerConfig, Circuit, CircuitState, Outcome, Permit, Transition
from state.breaker_failover import FailoverStore
from state.breaker_memory import MemoryStore
from state.breaker_redis import RedisStore
from state.breaker_store import BreakerStore, Decision
from state.redis import RedisConnection

log = structlog.get_logger(__name__)

BreakerName = Literal["llm-load", "checker", "rag-api", "stt", "tts", "redis-connection"]
BREAKER_NAMES: Final[tuple[BreakerName, ...]] = get_args(BreakerName)
REDIS_BREAKER: Final = "redis-connection"
_UNDER_WAY_MAX: Final = 64
"""Outcomes that may be on their way to Redis before a caller waits for its own."""
"""The one that can only be kept in memory."""
_CHECKER_SLOW_S: Final = 5.0
"""An answer waits for it, so what takes longer is left out for a while."""
T = TypeVar("T")

_REDIS_OPEN_MS: Final = 1000
"""Redis rests a second at most, and no longer when it stays away: a try costs it nothing, and
nobody waits for it."""


@dataclass(frozen=True)
class CircuitView:
    """A circuit as the health route and the status page show it. Times are Unix seconds."""

    name: str
    state: CircuitState
    healthy: bool
    """Whether it is closed."""
    calls: int
    """In the window, as the next four."""
    failures: int
    slow_calls: int
    failure_rate: float
    """0..1"""
    slow_rate: float
    """0..1"""
    since: float
    """When it came into this state."""
    opened_at: float | None
    """When it opened last; ``None`` while it is closed."""
    next_probe_at: float | None
    """When an open circuit tries a call; ``None`` in the other states."""
    store: Literal["redis", "memory"]
    """Where it is kept at the moment."""


class GuardedCall:
    """A call under way."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin to measure; ``clock`` gives seconds."""
        self._clock = clock
        self._began_s = clock()
        self._took_s: float | None = None
        self._waited_s = 0.0

    def waited(self, seconds: float) -> None:
        """Leave out what it waited for its turn: a part is not slow because many ask."""
        self._waited_s += seconds

    def done(self) -> None:
        """Count the time until here only: until a stream's first token, say. Once is enough."""
        if self._took_s is None:
            self._took_s = self._clock() - self._began_s

    @property
    def took_s(self) -> float:
        """The seconds that count, so far."""
        took_s = self._clock() - self._began_s if self._took_s is None else self._took_s
        return took_s - self._waited_s


def breaker_configs(settings: Settings) -> dict[str, BreakerConfig]:
    """Return what each breaker goes by."""

    def config(slow_call_s: float, open_ms: int, open_max_ms: int) -> BreakerConfig:
        return BreakerConfig(
            window=settings.breaker_window,
            min_calls=settings.breaker_min_calls,
            failure_rate=settings.breaker_failure_rate,
            slow_rate=settings.breaker_slow_rate,
            slow_call_s=slow_call_s,
            open_ms=open_ms,
            open_max_ms=open_max_ms,
            probes=settings.breaker_probes,
            # A probe that is slow may still say so.
            lease_ms=round(1000 * max(settings.breaker_lease_s, 2 * slow_call_s)),
        )

    open_ms = round(1000 * settings.breaker_open_s)
    open_max_ms = round(1000 * settings.breaker_open_max_s)
    redis_open_ms = min(open_ms, _REDIS_OPEN_MS)
    return {
        "llm-load": config(settings.breaker_llm_slow_s, open_ms, open_max_ms),
        "checker": config(_CHECKER_SLOW_S, open_ms, open_max_ms),
        "rag-api": config(settings.breaker_rag_slow_s, open_ms, open_max_ms),
        "stt": config(settings.breaker_stt_slow_s, open_ms, open_max_ms),
        "tts": config(settings.breaker_tts_slow_s, open_ms, open_max_ms),
        "redis-connection": config(settings.redis_timeout_s, redis_open_ms, redis_open_ms),
    }


def _ignore(_name: str, _old: str, _new: str) -> None:
    """Nobody counts the transitions."""


class Breakers:
    """All breakers of one process. Made once; ``aclose`` at the end, before Redis is closed."""

    def __init__(
        self,
        settings: Settings,
        connection: RedisConnection | None,
        *,
        on_transition: Callable[[str, str, str], None] = _ignore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is connected yet; without a connection all circuits are in memory.

        ``on_transition(name, old, new)`` is called for each transition that this process causes,
        and must not raise. ``clock`` gives the seconds by which calls are measured.
        """
        configs = breaker_configs(settings)
        shared = {name: config for name, config in configs.items() if name != REDIS_BREAKER}
        self._slow_call_s = {name: config.slow_call_s for name, config in configs.items()}
        self._on_transition = on_transition
        self._clock = clock
        self._started_at = time.time()
        self._under_way = Tasks()
        self._local = MemoryStore({REDIS_BREAKER: configs[REDIS_BREAKER]})
        self._failover: FailoverStore | None = None
        self._shared: BreakerStore
        if connection is None:
            self._memory = MemoryStore(shared)
            self._shared = self._memory
        else:
            self._failover = FailoverStore(
                RedisStore(connection, shared),
                shared,
                timeout_s=settings.redis_timeout_s,
                failed=lambda: connection.state == "failed",
                guard=lambda: self.guard(REDIS_BREAKER, transient=(RedisError,)),
                told=self._told,
            )
            self._memory = self._failover.memory
            self._shared = self._failover

    @asynccontextmanager
    async def guard(
        self, name: BreakerName, *, transient: tuple[type[BaseException], ...]
    ) -> AsyncIterator[GuardedCall]:
        """Let the body run unless the circuit rejects it, and count how it went.

        An exception of a ``transient`` class is a failure. Any other counts as neither failure
        nor success, and so does a cancellation: put a time limit *inside* the body, where it is a
        ``TimeoutError``, since one around the guard is a cancellation here. An engine's process
        that was lost is looked after elsewhere and counts as nothing either, nor does one that is
        only busy. Exceptions pass unchanged. Raises ``CircuitOpenError`` before the body.
        """
        permit = await self._admit(name)
        call = GuardedCall(self._clock)
        try:
            yield call
        except (asyncio.CancelledError, GeneratorExit, ProcessLostError, BusyError):
            await self._release(name, permit)
            raise
        except transient:
            await self._report(name, permit, Outcome.FAILED | self._slow(name, call))
            raise
        except BaseException:
            await self._release(name, permit)
            raise
        outcome = self._slow(name, call)
        is_shared = self._failover is not None and name != REDIS_BREAKER
        if is_shared and permit.lease is None and len(self._under_way) < _UNDER_WAY_MAX:
            # Nothing hangs on when this one is counted, so the caller does not wait for Redis.
            self._under_way.spawn(self._count(name, permit, outcome))
        else:
            await self._report(name, permit, outcome)

    def is_open(self, name: BreakerName) -> bool:
        """Whether a call would be rejected, from what this process knows last; asks nobody.

        False once an open circuit is due for a probe: without a call it would never close.
        """
        memory = self._store_in_memory(name)
        return memory.circuit(name).rejects(memory.now_ms())

    async def views(self) -> dict[str, CircuitView]:
        """Return every circuit as it is now."""
        replies = await asyncio.gather(*(self._store(name).read(name) for name in BREAKER_NAMES))
        return {
            name: self._view(name, reply.circuit)
            for name, reply in zip(BREAKER_NAMES, replies, strict=True)
        }

    async def aclose(self) -> None:
        """Wait for what is being reported, and stop looking for Redis."""
        await self._under_way.wait()
        if self._failover is not None:
            await self._failover.aclose()

    async def _admit(self, name: BreakerName) -> Permit:
        admitting = self._store(name).admit(name, secrets.token_hex(8))
        if self._failover is None or name == REDIS_BREAKER:  # nothing to wait for
            reply = await admitting
        else:
            asking = self._under_way.spawn(admitting)
            try:
                reply = await asyncio.shield(asking)
            except asyncio.CancelledError:
                self._under_way.spawn(self._give_back(name, asking))
                raise
        self._told(name, reply.transition)
        if reply.permit is None:
            raise CircuitOpenError(name, reply.circuit.retry_after_ms(reply.now_ms) / 1000)
        return reply.permit

    async def _give_back(self, name: BreakerName, asking: asyncio.Task[Decision]) -> None:
        """End what a caller began who was cancelled while it asked."""
        reply = await asking
        self._told(name, reply.transition)
        if reply.permit is not None and reply.permit.lease is not None:
            await self._store(name).release(name, reply.permit)

    async def _report(self, name: BreakerName, permit: Permit, outcome: Outcome) -> None:
        await self._to_its_end(name, self._count(name, permit, outcome))

    async def _count(self, name: BreakerName, permit: Permit, outcome: Outcome) -> None:
        reply = await self._store(name).report(name, permit, outcome)
        self._told(name, reply.transition)

    async def _release(self, name: BreakerName, permit: Permit) -> None:
        if permit.lease is not None:
            await self._to_its_end(name, self._store(name).release(name, permit))

    async def _to_its_end(self, name: BreakerName, work: Coroutine[Any, Any, T]) -> T:
        """Await ``work``, which goes on when we are cancelled: no lease or transition is lost."""
        if self._failover is None or name == REDIS_BREAKER:
            return await work
        return await asyncio.shield(self._under_way.spawn(work))

    def _told(self, name: str, transition: Transition | None) -> None:
        """Log and count a transition that this process has caused."""
        if transition is None:
            return
        is_trouble = transition.new == "open"
        (log.warning if is_trouble else log.info)(
            "breaker.transition",
            name=name,
            reason=transition.reason,
            **{"from": transition.old, "to": transition.new},
        )
        self._on_transition(name, transition.old, transition.new)

    def _slow(self, name: BreakerName, call: GuardedCall) -> Outcome:
        return Outcome.SLOW if call.took_s >= self._slow_call_s[name] else Outcome.OK

    def _store(self, name: BreakerName) -> BreakerStore:
        return self._local if name == REDIS_BREAKER else self._shared

    def _store_in_memory(self, name: BreakerName) -> MemoryStore:
        return self._local if name == REDIS_BREAKER else self._memory

    def _view(self, name: BreakerName, circuit: Circuit) -> CircuitView:
        calls = circuit.calls
        in_redis = self._failover is not None and self._failover.in_redis(name)
        return CircuitView(
            name=name,
            state=circuit.state,
            healthy=circuit.state == "closed",
            calls=calls,
            failures=circuit.failures,
            slow_calls=circuit.slow_calls,
            failure_rate=circuit.failures / calls if calls else 0.0,
            slow_rate=circuit.slow_calls / calls if calls else 0.0,
            since=circuit.since_ms / 1000 or self._started_at,
            opened_at=circuit.opened_ms / 1000 or None,
            next_probe_at=circuit.until_ms / 1000 or None,
            store="redis" if in_redis else "memory",
        )
