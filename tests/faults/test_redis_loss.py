"""Redis goes, hangs, is full or comes back at any moment, and the chats go on.

Everything against real redis-servers. What Redis holds at the end is compared, by the ids of its
entries, with what was asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from redis_servers import ExternalRedis, LossyLine

from chains.memory import Memory
from chains.types import Answer, Question
from core.errors import RedisError
from core.settings import load_settings
from state.history import BufferLimits, ChatHistory, history_key
from state.redis import RedisConnection

pytestmark = pytest.mark.faults

DRAIN_S = 60
"""The longest wait for Redis on a machine that is busy with something else."""


@pytest.fixture
def external(tmp_path: Path) -> Iterator[ExternalRedis]:
    server = ExternalRedis(tmp_path)
    server.start()
    yield server
    server.kill()


@asynccontextmanager
async def chats(
    folder: Path, url: str | None = None, *, limits: BufferLimits | None = None, **more: Any
) -> AsyncIterator[tuple[ChatHistory, RedisConnection]]:
    settings = load_settings(data_dir=folder / "data", redis_url=url, **more)
    connection = RedisConnection(settings)
    await connection.start()
    history = ChatHistory(connection, settings, limits=limits)
    try:
        yield history, connection
    finally:
        await history.aclose()
        await connection.aclose()


async def say(history: ChatHistory, session: str, text: str) -> None:
    await history.append(session, "o", f"q{text}", f"a{text}")


async def told(history: ChatHistory, session: str, last: int | None = None) -> list[str]:
    """Return the numbers of the turns; each must be whole."""
    texts = [entry.content for entry in await history.load(session, "o", last)]
    assert [t[1:] for t in texts[::2]] == [t[1:] for t in texts[1::2]]
    assert {t[0] for t in texts[::2]} <= {"q"} and {t[0] for t in texts[1::2]} <= {"a"}
    return [text[1:] for text in texts[::2]]


async def held(connection: RedisConnection, session: str) -> list[str]:
    """Return the numbers of the turns in Redis itself, after a look at the entries' ids."""
    values = [
        json.loads(v) for v in await connection.client.lrange(history_key("o", session), 0, -1)
    ]
    ids = [value["id"] for value in values]
    assert len(set(ids)) == len(ids), "an entry is there twice"
    return [value["content"][1:] for value in values[::2]]


async def until_away(connection: RedisConnection) -> None:
    """Wait until it is noticed, which takes a command."""
    async with asyncio.timeout(DRAIN_S):
        while not connection.is_away:
            with contextlib.suppress(RedisError):
                await connection.run(lambda client: client.ping())
            await asyncio.sleep(0.01)


async def test_our_own_server_is_killed_again_and_again_and_two_chats_go_on(tmp_path: Path) -> None:
    expected: dict[str, list[str]] = {"s": [], "t": []}
    async with chats(tmp_path, history_max_turns=1000) as (history, connection):
        for n in range(150):
            if n % 40 == 20:
                assert connection.server_pid is not None
                os.kill(connection.server_pid, signal.SIGKILL)
            session = "st"[n % 2]
            expected[session].append(str(n))
            await say(history, session, str(n))
            assert await told(history, session) == expected[session]
            if n % 10 == 0:  # now and then Redis has time to come back
                await history.drain(DRAIN_S)
        assert await history.drain(DRAIN_S)
        for session, turns in expected.items():
            assert await held(connection, session) == turns
    async with chats(tmp_path, history_max_turns=1000) as (again, _):
        for session, turns in expected.items():
            assert await told(again, session) == turns


@pytest.mark.parametrize("keeps", [True, False], ids=["with a file", "which keeps nothing"])
async def test_an_external_server_is_killed_and_comes_back(tmp_path: Path, keeps: bool) -> None:
    external = ExternalRedis(tmp_path, keeps=keeps)
    external.start()
    try:
        expected: list[str] = []
        async with chats(tmp_path, external.url) as (history, connection):
            for round_ in range(4):
                for n in range(8):
                    if n == 3:
                        external.kill()
                    expected.append(f"{round_}.{n}")
                    await say(history, "s", expected[-1])
                    assert await told(history, "s") == expected
                assert history.is_degraded
                await history.drop_last("s", "o", 2)
                del expected[-2:]
                assert await told(history, "s", 24) == expected
                await asyncio.to_thread(external.start)
                assert await history.drain(DRAIN_S)
                assert not history.is_degraded
                assert await told(history, "s") == expected
            assert await held(connection, "s") == expected
            assert connection.server_pid is None, "nothing is started of our own"
    finally:
        external.kill()


async def test_a_chat_that_rests_is_given_back_to_a_server_that_lost_it(tmp_path: Path) -> None:
    """Also when no command was sent meanwhile: another process would not know the chat."""
    external = ExternalRedis(tmp_path, keeps=False)
    external.start()
    try:
        async with chats(tmp_path, external.url) as (history, connection):
            await say(history, "s", "0")
            await say(history, "s", "1")
            await say(history, "other", "0")
            external.kill()
            await asyncio.to_thread(external.start)
            await say(history, "other", "1")
            async with asyncio.timeout(DRAIN_S):
                while not connection.is_up or await held(connection, "s") != ["0", "1"]:
                    await asyncio.sleep(0.02)
            assert await history.drain(DRAIN_S)
            assert await held(connection, "other") == ["0", "1"]
            ttl = await connection.client.ttl(history_key("o", "s"))
            assert 0 < ttl <= 3600
    finally:
        external.kill()


async def test_nobody_waits_for_a_redis_that_hangs(tmp_path: Path, external: ExternalRedis) -> None:
    """The socket's time-out is 20 s: all is over before the first one can have passed."""
    async with chats(tmp_path, external.url, redis_timeout_s=20) as (history, connection):
        await say(history, "s", "before")
        assert await told(history, "s") == ["before"]
        external.hang()
        began = time.monotonic()
        for n in range(30):
            await say(history, "s", str(n))
            assert (
                await told(history, "s", 24) == (["before"] + [str(m) for m in range(n + 1)])[-24:]
            )
        await history.drop_last("s", "o", 29)
        await history.clear("other", "o")
        assert connection.state == "ready", "it is not yet known to be away"
        assert time.monotonic() - began < 20
        external.go_on()
        assert await history.drain(DRAIN_S)
        assert await held(connection, "s") == ["before", "0"]


async def test_a_redis_that_hangs_for_long_is_left_alone_until_it_answers(
    tmp_path: Path, external: ExternalRedis
) -> None:
    async with chats(tmp_path, external.url, redis_timeout_s=0.3) as (history, connection):
        with structlog.testing.capture_logs() as lines:
            external.hang()
            expected = []
            await say(history, "s", "first")
            await until_away(connection)
            for n in range(60):
                expected.append(str(n))
                await say(history, "s", str(n))
                assert await told(history, "s") == ["first", *expected]
            assert history.pending == 61
            await asyncio.sleep(1)  # the probes go on
            external.go_on()
            assert await history.drain(DRAIN_S)
        assert await held(connection, "s") == ["first", *expected]
        loud = [line["event"] for line in lines if line["log_level"] != "debug"]
        assert loud == ["redis.failed", "redis.back"], "one line for going, one for coming"


@pytest.mark.parametrize(
    ("refuse", "allow"),
    [
        ([("maxmemory", "1")], [("maxmemory", "0")]),
        ([("min-replicas-to-write", "1")], [("min-replicas-to-write", "0")]),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
    ],
    ids=["full", "without replicas", "read-only"],
)
async def test_a_redis_that_refuses_gets_it_all_when_it_takes_it(
    tmp_path: Path, external: ExternalRedis, refuse: Any, allow: Any
) -> None:
    def change(what: Any) -> None:
        with external.client as client:
            if isinstance(what, str):
                client.execute_command(*what.split())
            else:
                for name, value in what:
                    client.config_set(name, value)

    async with chats(tmp_path, external.url) as (history, connection):
        await say(history, "s", "0")
        await say(history, "t", "0")
        with structlog.testing.capture_logs() as lines:
            change(refuse)
            for n in range(1, 30):
                await say(history, "s", str(n))
            await say(history, "t", "1")
            await history.drop_last("t", "o", 2)
            assert history.is_degraded
            assert connection.state == "ready"
            assert await told(history, "s") == [str(n) for n in range(30)]
            assert await told(history, "t") == []
            assert await held(connection, "s") == ["0"]
            change(allow)
            assert await history.drain(DRAIN_S)
            assert not history.is_degraded
        assert await held(connection, "s") == [str(n) for n in range(30)]
        assert await held(connection, "t") == []
        loud = [line["event"] for line in lines if line["log_level"] != "debug"]
        assert loud == ["history.refused", "history.accepted_again"]


async def test_a_redis_that_is_still_loading_is_waited_for_by_nobody(tmp_path: Path) -> None:
    external = ExternalRedis(tmp_path, keeps=False)
    external.start()
    try:
        async with chats(tmp_path, external.url) as (history, connection):
            with external.client as client:
                await say(history, "s", "0")
                for n in range(40):  # clients are answered after each 2 MB that were loaded
                    client.set(f"key:{n}", os.urandom(256 * 1024))
                client.save()
            external.kill()
            external.start("--key-load-delay", "50000", wait=False)  # µs
            for n in range(1, 20):
                await say(history, "s", str(n))
                assert await told(history, "s") == [str(m) for m in range(n + 1)]
            async with asyncio.timeout(DRAIN_S):
                while "loading" not in (connection.problem or ""):
                    await asyncio.sleep(0.01)
            assert history.is_degraded
            assert await history.drain(DRAIN_S)
            assert await held(connection, "s") == [str(n) for n in range(20)]
    finally:
        external.kill()


async def test_a_write_whose_answer_was_lost_is_not_done_twice(
    tmp_path: Path, external: ExternalRedis
) -> None:
    expected: list[str] = []
    chance = random.Random(4)
    async with LossyLine(external.port) as line, chats(tmp_path, line.url) as (history, connection):
        for n in range(40):
            line.swallow += n % 3 == 0
            if chance.random() < 0.3:
                await history.drop_last("s", "o", 1)
                expected = expected[:-1]
            else:
                await say(history, "s", str(n))
                expected.append(str(n))
            assert await told(history, "s") == expected
            if n % 2:
                assert await history.drain(DRAIN_S)
        assert await history.drain(DRAIN_S)
        assert line.swallowed > 5
        with external.client as client:
            values = client.lrange(history_key("o", "s"), 0, -1)
        assert [json.loads(v)["content"][1:] for v in values[::2]] == expected
        assert await held(connection, "s") == expected


async def test_a_write_that_arrives_after_the_next_one_changes_nothing(
    tmp_path: Path, external: ExternalRedis
) -> None:
    """It was given up for its answer was late; the network brings it when it was done again."""
    async with (
        LossyLine(external.port) as line,
        chats(tmp_path, line.url, redis_timeout_s=0.5) as (history, connection),
    ):
        await say(history, "s", "0")
        for number, turns in (("1", ["0", "1"]), ("2", ["0", "1"])):
            line.hold = 1
            await say(history, "s", number)
            assert line.hold == 0
            if number == "2":
                await history.drop_last("s", "o", 1)
            assert await history.drain(DRAIN_S)
            assert await held(connection, "s") == turns
            assert (await line.deliver()).endswith(b"*-1\r\n"), "Redis obeyed it"
            assert await held(connection, "s") == turns
            assert await told(history, "s") == turns


async def test_a_redis_with_an_old_file_brings_nothing_back(tmp_path: Path) -> None:
    external = ExternalRedis(tmp_path / "redis")
    external.folder.mkdir()
    external.start()
    try:
        async with chats(tmp_path, external.url) as (history, connection):
            for session in ("s", "cleared", "deleted"):
                await say(history, session, "0")
                await say(history, session, "1")
            assert await history.drain(DRAIN_S)
            shutil.copytree(external.folder, tmp_path / "old")
            await history.drop_last("s", "o", 1)
            await say(history, "s", "2")
            await history.clear("cleared", "o")
            assert await history.delete("deleted", "o")
            assert await history.drain(DRAIN_S)
            external.kill()
            await until_away(connection)
            external.folder.rename(tmp_path / "new")
            (tmp_path / "old").rename(external.folder)
            await asyncio.to_thread(external.start)
            expected = [["0", "2"], [], []]
            async with asyncio.timeout(DRAIN_S):
                while not connection.is_up or expected != [
                    await held(connection, session) for session in ("s", "cleared", "deleted")
                ]:
                    await asyncio.sleep(0.02)
            assert await told(history, "s") == ["0", "2"]
            keys = await connection.client.keys("*deleted*")
            assert keys == []
    finally:
        external.kill()


async def test_a_kept_chat_that_another_server_deleted_stays_away_when_redis_starts_again(
    tmp_path: Path, external: ExternalRedis
) -> None:
    """Who still has it in memory gives it back only when somebody asks in it."""
    async with chats(tmp_path, external.url) as (history, connection):
        await history.append("kept", "o", "q", "a", ids=("1", "2"))
        await say(history, "program", "0")
        async with chats(tmp_path, external.url) as (another, _):
            assert await another.delete("kept", "o")
        external.kill()
        await until_away(connection)
        await asyncio.to_thread(external.start, "--appendonly", "no")  # it has lost all
        async with asyncio.timeout(DRAIN_S):
            while not connection.is_up or await held(connection, "program") != ["0"]:
                await asyncio.sleep(0.02)
        assert await connection.client.keys("*kept*") == []


async def test_what_waits_for_long_comes_to_what_redis_would_have_kept(
    tmp_path: Path, external: ExternalRedis
) -> None:
    async with chats(tmp_path, external.url, history_max_turns=5) as (history, connection):
        for n in range(5):
            await say(history, "s", f"old{n}")
            await say(history, "few", f"old{n}")
        external.kill()
        for n in range(300):
            await say(history, "s", str(n))
        await say(history, "few", "a")
        await say(history, "few", "b")
        await history.drop_last("few", "o", 1)
        await asyncio.to_thread(external.start)
        assert await history.drain(DRAIN_S)
        assert await held(connection, "s") == [str(n) for n in range(295, 300)]
        assert await held(connection, "few") == ["old2", "old3", "old4", "a"]
        assert history.lost == 0


async def test_the_time_to_live_counts_from_when_it_was_said(
    tmp_path: Path, external: ExternalRedis
) -> None:
    async with chats(tmp_path, external.url) as (history, connection):
        external.kill()
        now = 0.0
        history._buffer.clock = lambda: now
        await say(history, "s", "0")
        await say(history, "forgotten", "0")
        now = 3000.0
        await say(history, "s", "1")
        now = 4000.0
        await asyncio.to_thread(external.start)
        assert await history.drain(DRAIN_S)
        assert await held(connection, "s") == ["0", "1"]
        assert 2500 <= await connection.client.ttl(history_key("o", "s")) <= 2600
        assert await told(history, "forgotten") == []
        assert await held(connection, "forgotten") == []


async def test_a_restart_during_an_outage_loses_only_what_redis_never_had(
    tmp_path: Path, external: ExternalRedis
) -> None:
    async with chats(tmp_path, external.url) as (history, _):
        await say(history, "s", "kept")
        external.kill()
        await say(history, "s", "never there")
    await asyncio.to_thread(external.start)
    async with chats(tmp_path, external.url) as (again, connection):
        assert await told(again, "s") == ["kept"]
        external.kill()
        await say(again, "s", "new")
        assert await told(again, "s") == ["kept", "new"]
        await asyncio.to_thread(external.start)
        assert await again.drain(DRAIN_S)
        assert await held(connection, "s") == ["kept", "new"]


async def test_two_servers_write_to_one_chat_across_an_outage(
    tmp_path: Path, external: ExternalRedis
) -> None:
    async with (
        chats(tmp_path, external.url) as (one, connection),
        chats(tmp_path, external.url) as (two, _),
    ):
        await say(one, "s", "0")
        assert await told(two, "s") == ["0"]
        external.kill()
        await say(one, "s", "1.0")
        await say(two, "s", "2.0")
        await say(one, "s", "1.1")
        await asyncio.to_thread(external.start)
        assert await one.drain(DRAIN_S) and await two.drain(DRAIN_S)
        turns = await held(connection, "s")
        assert turns[0] == "0" and sorted(turns[1:]) == ["1.0", "1.1", "2.0"]
        assert turns.index("1.0") < turns.index("1.1")
        assert await told(one, "s") == await told(two, "s") == turns


async def test_fifty_chats_at_once_and_a_loop_that_is_never_held_up(tmp_path: Path) -> None:
    """While our own server is killed, and hangs, nothing blocks the loop for its time-out."""
    longest, is_over = 0.0, False

    async def watch() -> None:
        nonlocal longest
        while not is_over:
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            longest = max(longest, time.perf_counter() - began)

    async def chat(history: ChatHistory, session: str) -> None:
        for n in range(20):
            await say(history, session, str(n))
            assert await told(history, session) == [str(m) for m in range(n + 1)]
            await asyncio.sleep(0.1)  # so that it goes on beyond what happens to Redis

    async with chats(tmp_path, redis_timeout_s=1.5) as (history, connection):
        watching = asyncio.create_task(watch())
        working = [asyncio.create_task(chat(history, f"s{n}")) for n in range(50)]
        await asyncio.sleep(0.2)
        assert connection.server_pid is not None
        os.kill(connection.server_pid, signal.SIGKILL)
        await asyncio.sleep(0.5)
        if connection.server_pid is not None:
            os.kill(connection.server_pid, signal.SIGSTOP)
        await asyncio.gather(*working)
        assert await history.drain(DRAIN_S)
        is_over = True
        await watching
        for n in range(50):
            assert await held(connection, f"s{n}") == [str(m) for m in range(20)]
    print(f"longest hold-up of the loop: {longest * 1000:.0f} ms")
    assert longest < 1.5


async def test_the_next_question_sees_the_turns_before_it(
    tmp_path: Path, external: ExternalRedis
) -> None:
    async with chats(tmp_path, external.url) as (history, _):
        memory = Memory(history)
        external.kill()
        for n in range(3):
            asked = Question(f"question {n}", session_id="s", owner="o")
            recalled = await memory.recall(asked)
            assert [exchange.in_full for exchange in recalled] == [
                f"question {m}" for m in range(n)
            ]
            first = recalled[0].id if recalled else ""
            await memory.remember(
                asked,
                prompt=asked.text,
                passages=(),
                first=first,
                answer=Answer("yes", (), None),
                in_full=asked.text,
                told="yes",
            )
        assert memory.is_degraded
        await memory.take_back(Question("x", session_id="s", owner="o"))
        recalled = await memory.recall(Question("y", session_id="s", owner="o"))
        assert [exchange.in_full for exchange in recalled] == ["question 0", "question 1"]
