"""Two processes with one Redis have one circuit, whatever becomes of either of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from breaker_process import Worker

from core.settings import Settings, load_settings
from state.breaker import BreakerConfig
from state.breaker_redis import RedisStore
from state.breakers import breaker_configs
from state.redis import RedisConnection

pytestmark = pytest.mark.integration

PROBES = 3
Start = Callable[..., Awaitable[Worker]]


def common(folder: Path) -> dict[str, Any]:
    return {
        "data_dir": str(folder),
        "redis_timeout_s": 30,
        "breaker_open_s": 0.3,
        "breaker_open_max_s": 0.3,
        "breaker_probes": PROBES,
        "breaker_lease_s": 1.5,
        "breaker_stt_slow_s": 600,
    }


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[RedisConnection]:
    connection = RedisConnection(settings_of(tmp_path))
    await connection.start()
    yield connection
    await connection.aclose()


def settings_of(folder: Path) -> Settings:
    return load_settings(**common(folder))


def config_of(folder: Path) -> BreakerConfig:
    return breaker_configs(settings_of(folder))["stt"]


@pytest.fixture
async def start(connection: RedisConnection, tmp_path: Path) -> AsyncIterator[Start]:
    workers: list[Worker] = []

    async def start(**more: Any) -> Worker:
        worker = await Worker.start(
            tmp_path / f"worker{len(workers)}.log",
            **{**common(tmp_path / "worker"), **more},
            redis_url=f"unix://{tmp_path / 'redis' / 'redis.sock'}",
        )
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        await worker.stop()


async def opened(worker: Worker) -> None:
    assert await worker.order("rush", callers=3) == 3
    await worker.order("finish", fails=True)


async def state(worker: Worker) -> str:
    view = (await worker.order("views"))["stt"]
    assert view["store"] == "redis"
    return str(view["state"])


async def until_due(worker: Worker, connection: RedisConnection) -> None:
    due = (await worker.order("views"))["stt"]["next_probe_at"]
    while True:
        seconds, micros = await connection.client.time()
        if int(seconds) + int(micros) / 1e6 >= due:
            return
        await asyncio.sleep(0.01)


async def test_what_one_process_opens_is_open_for_the_other_and_for_the_next(
    start: Start,
) -> None:
    one, other = await start(breaker_open_s=60, breaker_open_max_s=60), await start()
    await opened(one)
    assert await state(other) == "open"
    assert await other.order("rush", callers=1) == 0
    await one.stop()
    later = await start()
    assert await later.order("rush", callers=1) == 0
    assert await state(later) == "open"


async def test_two_hundred_callers_in_two_processes_are_exactly_the_probes(
    start: Start, connection: RedisConnection
) -> None:
    one, other = await start(), await start()
    await opened(one)
    for fails in (True, False):
        await until_due(one, connection)
        admitted = await asyncio.gather(
            one.order("rush", callers=100), other.order("rush", callers=100)
        )
        assert sum(admitted) == PROBES
        await asyncio.gather(one.order("finish", fails=fails), other.order("finish", fails=fails))
        assert await state(other) == ("open" if fails else "closed")
    assert sorted(one.transitions + other.transitions) == sorted(
        [
            ("closed", "open"),
            ("open", "half_open"),
            ("half_open", "open"),
            ("open", "half_open"),
            ("half_open", "closed"),
        ]
    ), "each transition is logged once, by one of the two"


async def test_a_process_that_is_killed_with_its_probes_blocks_the_other_for_a_lease_only(
    start: Start, connection: RedisConnection, tmp_path: Path
) -> None:
    # A lease lasts for twice what is slow.
    one, other = [await start(breaker_stt_slow_s=0.75) for _ in range(2)]
    await opened(one)
    await until_due(one, connection)
    assert await one.order("rush", callers=PROBES) == PROBES
    await one.kill()
    store = RedisStore(connection, {"stt": config_of(tmp_path)})
    leases = (await store.read("stt")).circuit.leases
    assert len(leases) == PROBES
    while await other.order("rush", callers=1) == 0:
        await asyncio.sleep(0.01)
    assert (await store.read("stt")).now_ms >= min(end_ms for _, end_ms in leases)
    await other.order("finish", fails=True)
    assert await state(other) == "open"


async def test_the_one_breaker_that_watches_redis_is_not_kept_there(
    start: Start, connection: RedisConnection
) -> None:
    worker = await start()
    await opened(worker)
    views = await worker.order("views")
    assert views["redis-connection"]["store"] == "memory"
    assert views["redis-connection"]["calls"] > 0
    assert await connection.client.keys("*") == [b"xoe:v1:{breaker:stt}:circuit"]
