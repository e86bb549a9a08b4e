"""Breakers over a real Redis that is killed, stopped, full, or out of reach."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.errors import CircuitOpenError, TranscriptionError
from core.settings import load_settings
from state.breakers import Breakers
from state.redis import RedisConnection
from state.redis_server import RedisServer

pytestmark = pytest.mark.integration

TRANSIENT = (TranscriptionError,)


@dataclass
class Replica:
    """One process's breakers, which reach Redis by a path of their own."""

    breakers: Breakers
    connection: RedisConnection
    path: Path
    socket: Path

    async def fail(self, times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(TranscriptionError):
                async with self.breakers.guard("stt", transient=TRANSIENT):
                    raise TranscriptionError("It broke.")

    async def rejected(self) -> bool:
        try:
            async with self.breakers.guard("stt", transient=TRANSIENT):
                return False
        except CircuitOpenError:
            return True

    async def seen(self) -> tuple[str, str]:
        """Return the state and where it is kept."""
        view = (await self.breakers.views())["stt"]
        return view.state, view.store

    async def cut_off(self) -> None:
        """Redis stays, but this one cannot reach it."""
        self.path.unlink()
        await self.connection.client.connection_pool.disconnect()

    def join(self) -> None:
        self.path.symlink_to(self.socket)

    async def back(self) -> None:
        """Wait until its circuits are in Redis again."""
        async with asyncio.timeout(60):
            while (await self.seen())[1] != "redis":
                await asyncio.sleep(0.01)


Replicas = Callable[..., Awaitable[Replica]]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    await server.start()
    yield server
    if server.pid is not None:
        with suppress(ProcessLookupError):
            os.kill(server.pid, signal.SIGCONT)
    await server.stop()


@pytest.fixture
async def replica(server: RedisServer, tmp_path: Path) -> AsyncIterator[Replicas]:
    replicas: list[Replica] = []

    async def make(redis_timeout_s: float = 5) -> Replica:
        path = tmp_path / f"replica{len(replicas)}.sock"
        path.symlink_to(server.socket)
        settings = load_settings(
            data_dir=tmp_path,
            redis_url=f"unix://{path}",
            redis_timeout_s=redis_timeout_s,
            breaker_open_s=600,
            breaker_open_max_s=600,
        )
        connection = RedisConnection(settings)
        await connection.start()
        replicas.append(Replica(Breakers(settings, connection), connection, path, server.socket))
        return replicas[-1]

    yield make
    for one in replicas:
        await one.breakers.aclose()
        await one.connection.aclose()


async def killed(server: RedisServer) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await server.wait()


async def test_what_opens_while_redis_is_dead_is_open_for_all_when_it_is_back(
    server: RedisServer, replica: Replicas
) -> None:
    one, other = await replica(), await replica()
    await one.fail(1)
    await killed(server)
    await one.fail(2)
    assert await one.seen() == ("open", "memory")
    assert await one.rejected()
    assert await other.seen() == ("closed", "memory"), "there is nothing that could tell it"
    await server.stop()
    await server.start()
    await one.back()
    await other.back()
    assert await one.seen() == await other.seen() == ("open", "redis")
    assert await one.rejected() and await other.rejected()


async def test_what_was_open_before_redis_died_stays_open_throughout(
    server: RedisServer, replica: Replicas
) -> None:
    one = await replica()
    await one.fail(3)
    await killed(server)
    assert await one.rejected()
    assert await one.seen() == ("open", "memory")
    await server.stop()
    await server.start()
    await one.back()
    assert await one.seen() == ("open", "redis")


async def test_one_that_was_cut_off_takes_over_what_the_other_did_meanwhile(
    replica: Replicas,
) -> None:
    one, other = await replica(), await replica()
    await one.fail(1)
    await one.cut_off()
    await one.fail(1)
    assert await one.seen() == ("closed", "memory")
    await other.fail(2)
    assert await other.seen() == ("open", "redis")
    assert not await one.rejected()
    one.join()
    await one.back()
    assert await one.rejected()


async def test_failures_that_neither_saw_alone_open_it_together(replica: Replicas) -> None:
    one, other = await replica(), await replica()
    assert not await one.rejected()
    await one.cut_off()
    await one.fail(1)
    await other.fail(1)
    one.join()
    await one.back()
    async with asyncio.timeout(30):
        while (await other.seen())[0] == "closed":
            await asyncio.sleep(0.01)
    assert await one.rejected() and await other.rejected()


async def test_a_redis_that_hangs_stops_nobody_and_is_used_again_when_it_goes_on(
    server: RedisServer, replica: Replicas
) -> None:
    one = await replica(redis_timeout_s=0.3)
    assert not await one.rejected()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    async with asyncio.timeout(60):
        rejected = await asyncio.gather(*(one.rejected() for _ in range(100)))
    assert not any(rejected)
    assert await one.seen() == ("closed", "memory")
    await one.fail(4)
    assert await one.rejected()
    async with asyncio.timeout(60):  # the breaker of Redis itself tells that it is away
        while (await one.breakers.views())["redis-connection"].state == "closed":
            await asyncio.sleep(0.01)
    os.kill(server.pid, signal.SIGCONT)
    await one.back()
    assert await one.rejected()
    assert await one.seen() == ("open", "redis")
    assert (await one.breakers.views())["redis-connection"].state == "closed"


async def test_a_full_redis_is_one_that_is_away(server: RedisServer, replica: Replicas) -> None:
    one = await replica()
    await one.connection.client.config_set("maxmemory", 1)
    await one.fail(3)
    assert await one.seen() == ("open", "memory")
    await one.connection.client.config_set("maxmemory", 0)
    await one.back()
    assert await one.seen() == ("open", "redis")


async def test_a_redis_that_was_emptied_learns_again_what_is_open(replica: Replicas) -> None:
    one, other = await replica(), await replica()
    await one.fail(3)
    await one.connection.client.flushall()
    async with asyncio.timeout(30):
        while not await other.rejected():
            await one.breakers.views()
    assert await one.rejected()


async def test_after_the_end_nothing_looks_for_redis_any_more(
    server: RedisServer, replica: Replicas
) -> None:
    one = await replica()
    await killed(server)
    await one.fail(1)
    await one.breakers.aclose()
    await one.fail(1)
    assert not [task for task in asyncio.all_tasks() if "Failover" in repr(task)]
