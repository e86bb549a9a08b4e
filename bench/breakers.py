"""What a circuit breaker costs a call that goes well, beside one bare PING of the same Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import numpy as np

from bench.rows import BenchRow
from bench.scratch import scratch_settings
from core.settings import Settings
from state.breakers import Breakers
from state.redis import RedisConnection

CALLS = 2000
WARM_UP = 200
COUNTED_S = 0.003
"""After each: how a call went is counted behind the caller's back, and is nobody else's cost."""


async def run(settings: Settings) -> list[BenchRow]:
    """Return the rows of the breakers: what a caller waits for a guard of a closed circuit.

    Entering and leaving together, one caller at a time, on a Redis of our own; calls and pings
    take turns.
    """
    with scratch_settings(settings) as alone:
        connection = RedisConnection(alone)
        await connection.start()
        shared, local = Breakers(alone, connection), Breakers(alone, None)
        try:
            in_redis, in_memory, ping = await _turns(
                lambda: _call(shared), lambda: _call(local), lambda: _ping(connection)
            )
        finally:
            await shared.aclose()
            await local.aclose()
            await connection.aclose()
    return [
        BenchRow.against("breaker_cost_redis", _p(95, in_redis), "ms p95", _p(95, ping)),
        BenchRow.against("breaker_cost_redis_median", _p(50, in_redis), "ms", _p(50, ping)),
        BenchRow.against("breaker_cost_memory", _p(95, in_memory), "ms p95", _p(95, ping)),
    ]


async def _turns(*ways: Callable[[], Awaitable[None]]) -> list[list[float]]:
    """Return the seconds of each way, measured one after the other in turns."""
    times: list[list[float]] = [[] for _ in ways]
    for number in range(WARM_UP + CALLS):
        for way, seconds in zip(ways, times, strict=True):
            began = time.perf_counter()
            await way()
            if number >= WARM_UP:
                seconds.append(time.perf_counter() - began)
            await asyncio.sleep(COUNTED_S)
    return times


async def _call(breakers: Breakers) -> None:
    async with breakers.guard("stt", transient=(OSError,)):
        pass


async def _ping(connection: RedisConnection) -> None:
    await connection.client.ping()


def _p(percentile: float, seconds: list[float]) -> float:
    return float(np.percentile(seconds, percentile)) * 1e3
