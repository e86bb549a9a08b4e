"""The history under schedules that hypothesis chooses, against a plain list."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis_servers import ExternalRedis, LossyLine

from core.settings import load_settings
from state.history import ChatHistory, history_key
from state.redis import RedisConnection

pytestmark = pytest.mark.faults

TURNS = 4
DRAIN_S = 60
RESTORE_S = 20

steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sampled_from("st")),
        st.tuples(st.just("append"), st.sampled_from("st")),
        st.tuples(st.sampled_from(["drop 1", "drop 3", "clear", "load"]), st.sampled_from("st")),
        st.tuples(
            st.sampled_from(["kill", "return", "hang", "go on", "lose an answer", "wait"]),
            st.just(""),
        ),
    ),
    min_size=3,
    max_size=25,
)


@pytest.fixture(scope="module", params=[True, False], ids=["with a file", "which keeps nothing"])
def external(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ExternalRedis]:
    server = ExternalRedis(tmp_path_factory.mktemp("redis"), keeps=request.param)
    yield server
    server.kill()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(schedule=steps)
def test_a_chat_is_what_was_asked_for_whatever_redis_does(
    external: ExternalRedis, tmp_path: Path, schedule: list[tuple[str, str]]
) -> None:
    structlog.configure(processors=[structlog.testing.LogCapture()])
    try:
        asyncio.run(_play(external, tmp_path, schedule))
    finally:
        external.kill()
        structlog.reset_defaults()


@dataclass
class Outage:
    """What becomes of Redis, and of the line to it, step by step."""

    external: ExternalRedis
    line: LossyLine
    is_there: bool = True
    hangs: bool = False

    async def take(self, step: str) -> None:
        """Do what a step says, where that can be done."""
        if step == "kill":
            self.external.kill()
            self.is_there = self.hangs = False
        elif step == "return" and not self.is_there:
            self.external.start()
            self.is_there = True
        elif step == "hang" and self.is_there:
            self.external.hang()
            self.hangs = True
        elif step == "go on" and self.hangs:
            self.external.go_on()
            self.hangs = False
        elif step == "lose an answer":
            self.line.swallow += 1
        elif step == "wait":
            await asyncio.sleep(0.2)

    def end(self) -> None:
        """Have Redis there again, and nothing lost any more."""
        if not self.is_there:
            self.external.start()
        elif self.hangs:
            self.external.go_on()
        self.line.swallow = 0


turns_of_two = st.lists(
    st.sampled_from(
        [
            *[0, 1] * 3,
            "kill",
            "return",
            "hang",
            "go on",
            "lose an answer",
            "wait",
            "load 0",
            "load 1",
        ]
    ),
    min_size=5,
    max_size=30,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(schedule=turns_of_two)
def test_two_servers_in_one_chat_lose_and_double_nothing_and_keep_their_order(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, schedule: list[int | str]
) -> None:
    external = ExternalRedis(tmp_path_factory.mktemp("redis"))
    structlog.configure(processors=[structlog.testing.LogCapture()])
    try:
        asyncio.run(_play_two(external, tmp_path, schedule))
    finally:
        external.kill()
        structlog.reset_defaults()


async def _play_two(external: ExternalRedis, folder: Path, schedule: list[int | str]) -> None:
    external.start()
    said: dict[int, list[str]] = {0: [], 1: []}
    async with LossyLine(external.port) as line:
        outage = Outage(external, line)
        config = load_settings(data_dir=folder, redis_url=line.url, redis_timeout_s=0.5)
        connections = [RedisConnection(config) for _ in said]
        for connection in connections:
            await connection.start()
        servers = [ChatHistory(connection, config) for connection in connections]
        for step in schedule:
            if isinstance(step, int):
                said[step].append(f"{step}.{len(said[step])}")
                await servers[step].append("s", "o", "q" + said[step][-1], "a" + said[step][-1])
            elif step.startswith("load"):
                await servers[int(step[-1])].load("s", "o")
            else:
                await outage.take(step)
        outage.end()
        for server in servers:
            assert await server.drain(DRAIN_S)
        texts = [value["content"] for value in held(external, "s")]
        assert [text[1:] for text in texts[::2]] == [text[1:] for text in texts[1::2]]
        for server, turns in said.items():
            assert [text[1:] for text in texts[::2] if text.startswith(f"q{server}.")] == turns
        assert len(texts) == 2 * sum(map(len, said.values()))
        for server in servers:
            async with asyncio.timeout(DRAIN_S):  # the first look may find its connection broken
                while [entry.content for entry in await server.load("s", "o")] != texts:
                    await asyncio.sleep(0.02)
            await server.aclose()
        for connection in connections:
            await connection.aclose()


def held(external: ExternalRedis, chat: str) -> list[dict[str, str]]:
    with external.client as client:
        return [json.loads(v) for v in client.lrange(history_key("o", chat), 0, -1)]


async def _play(external: ExternalRedis, folder: Path, schedule: list[tuple[str, str]]) -> None:
    external.kill()
    external.start()
    with external.client as client:
        client.flushall()
    numbers = itertools.count()
    expected: dict[str, list[str]] = {"s": [], "t": []}
    async with LossyLine(external.port) as line:
        outage = Outage(external, line)
        config = load_settings(
            data_dir=folder, redis_url=line.url, redis_timeout_s=0.5, history_max_turns=TURNS
        )
        connection = RedisConnection(config)
        await connection.start()
        history = ChatHistory(connection, config)
        for step, chat in schedule:
            if step == "append":
                text = str(next(numbers))
                await history.append(chat, "o", "q" + text, "a" + text)
                expected[chat] = [*expected[chat], "q" + text, "a" + text][-2 * TURNS :]
            elif step.startswith("drop"):
                turns = int(step.split()[1])
                await history.drop_last(chat, "o", turns)
                expected[chat] = expected[chat][: -2 * turns]
            elif step == "clear":
                await history.clear(chat, "o")
                expected[chat] = []
            elif step == "load":
                loaded = [entry.content for entry in await history.load(chat, "o")]
                assert loaded == expected[chat]
            else:
                await outage.take(step)
        outage.end()
        assert await history.drain(DRAIN_S)
        for chat, texts in expected.items():
            loaded = [entry.content for entry in await history.load(chat, "o")]
            assert loaded == texts
            # A server that lost it is given it back, with nobody waiting for that.
            deadline = time.monotonic() + RESTORE_S
            values = held(external, chat)
            while [value["content"] for value in values] != texts and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
                values = held(external, chat)
            assert [value["content"] for value in values] == texts
            assert len({value["id"] for value in values}) == len(values)
        await history.aclose()
        await connection.aclose()
