"""The chats' history in a real Redis."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from core.settings import load_settings
from state.history import ChatHistory, history_key
from state.redis import RedisConnection

pytestmark = pytest.mark.integration

MIB = 1024 * 1024


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[RedisConnection]:
    connection = RedisConnection(load_settings(data_dir=tmp_path, redis_timeout_s=30))
    await connection.start()
    yield connection
    await connection.aclose()


@pytest.fixture
def history(connection: RedisConnection, tmp_path: Path) -> ChatHistory:
    settings = load_settings(data_dir=tmp_path, history_max_turns=5, history_max_chars=100)
    return ChatHistory(connection, settings, clock=lambda: 1_700_000_000.25)


async def texts(history: ChatHistory, session: str = "s", last: int | None = None) -> list[str]:
    return [entry.content for entry in await history.load(session, "visitor:1", last)]


async def test_a_turn_comes_back_as_it_was_given(history: ChatHistory) -> None:
    await history.append(
        *("s", "visitor:1", "When?", "At noon. [1]"),
        user_extra={"rewritten": "When does it open?"},
        assistant_extra={"sources": [["guide.md", 3]]},
    )
    user, assistant = await history.load("s", "visitor:1")
    assert (user.role, user.content, user.at) == ("user", "When?", 1_700_000_000.25)
    assert (assistant.role, assistant.content) == ("assistant", "At noon. [1]")
    assert user.extra == {"rewritten": "When does it open?"}
    assert assistant.extra == {"sources": [["guide.md", 3]]}
    assert user.id and assistant.id and user.id != assistant.id


async def test_only_the_last_turns_are_kept(history: ChatHistory) -> None:
    for n in range(8):
        await history.append("s", "visitor:1", f"q{n}", f"a{n}")
    assert await texts(history) == [f"{role}{n}" for n in range(3, 8) for role in "qa"]


async def test_the_last_turns_can_be_taken_back(history: ChatHistory) -> None:
    for n in range(4):
        await history.append("s", "visitor:1", f"q{n}", f"a{n}")
    await history.append("other", "visitor:1", "q", "a")
    await history.drop_last("s", "visitor:1", 0)
    assert len(await texts(history)) == 8
    await history.drop_last("s", "visitor:1", 2)
    assert await texts(history) == ["q0", "a0", "q1", "a1"]
    await history.drop_last("s", "visitor:1", 99)
    assert await texts(history) == []
    assert await texts(history, "other") == ["q", "a"]


async def test_the_last_turns_can_be_asked_for(history: ChatHistory) -> None:
    for n in range(4):
        await history.append("s", "visitor:1", f"q{n}", f"a{n}")
    assert await texts(history, last=1) == ["q3", "a3"]
    assert len(await texts(history, last=99)) == 8
    assert await texts(history, last=0) == []


async def test_chats_do_not_see_each_other(history: ChatHistory) -> None:
    await history.append("s", "visitor:1", "mine", "yours")
    assert await history.load("s", "visitor:2") == []
    assert await history.load("t", "visitor:1") == []
    assert await history.load("1:s", "visitor") == []


async def test_a_long_message_is_cut_and_any_text_survives(history: ChatHistory) -> None:
    odd = "half a pair \ud83d, a NUL \0, a line\nbreak, {braces}, «quotes» 😀"
    await history.append("s", "visitor:1", odd, "é" * 5000)
    user, assistant = await texts(history)
    assert user == odd
    assert assistant == "é" * 99 + "…"


async def test_an_extra_that_is_too_large_is_left_out_and_the_turn_kept(
    history: ChatHistory,
) -> None:
    await history.append("s", "visitor:1", "q", "a", assistant_extra={"large": "x" * 9000})
    _, assistant = await history.load("s", "visitor:1")
    assert (assistant.content, assistant.extra) == ("a", None)


async def test_each_turn_renews_the_time_to_live(
    history: ChatHistory, connection: RedisConnection
) -> None:
    key = history_key("visitor:1", "s")
    await history.append("s", "visitor:1", "q", "a")
    assert 3590 <= await connection.client.ttl(key) <= 3600
    await connection.client.expire(key, 5)
    await history.append("s", "visitor:1", "q", "a")
    assert 3590 <= await connection.client.ttl(key) <= 3600


async def test_clearing_forgets_one_chat(history: ChatHistory, connection: RedisConnection) -> None:
    await history.append("s", "visitor:1", "q", "a")
    await history.append("t", "visitor:1", "q", "a")
    await history.clear("s", "visitor:1")
    assert await texts(history, "s") == []
    assert len(await texts(history, "t")) == 2
    assert await connection.client.exists(history_key("visitor:1", "s")) == 0


async def test_a_turn_is_written_whole_or_not_at_all(
    history: ChatHistory, connection: RedisConnection
) -> None:
    """Appends that are cancelled at any moment leave pairs only."""
    for n in range(100):
        task = asyncio.create_task(history.append("s", "visitor:1", f"q{n}", f"a{n}"))
        for _ in range(n % 25):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        kept = await texts(history)
        assert [text[1:] for text in kept[::2]] == [text[1:] for text in kept[1::2]]
        assert {text[0] for text in kept[::2]} <= {"q"}


async def test_a_chat_of_an_earlier_version_goes_on(
    history: ChatHistory, connection: RedisConnection
) -> None:
    """Which noted each server's last write beside the count of all."""
    key = history_key("visitor:1", "s")
    entry = {"role": "user", "content": "q0", "at": 1.0, "id": "1"}
    for value in (entry, {**entry, "role": "assistant", "content": "a0", "id": "2"}):
        await connection.client.rpush(key, json.dumps(value))
    state = {"version": 7, "5c2f0a": 7}
    await connection.client.hset(key.replace(":history", ":state"), mapping=state)
    await history.append("s", "visitor:1", "q1", "a1")
    assert not history.is_degraded
    assert await texts(history) == ["q0", "a0", "q1", "a1"]
    assert await connection.client.llen(key) == 4


async def test_a_turn_is_one_transaction(history: ChatHistory, tmp_path: Path) -> None:
    await history.append("s", "visitor:1", "q", "a")
    written = b"".join(
        p.read_bytes() for p in (tmp_path / "redis").rglob("*history.aof*") if p.is_file()
    )
    commands = [word for word in written.split() if word.isupper() and word.isalpha()]
    at = commands.index(b"RPUSH")
    assert commands[at - 1] == b"MULTI"
    assert commands[at:].index(b"EXEC") == len(commands[at:]) - 1


async def test_what_is_not_ours_is_passed_over(
    history: ChatHistory, connection: RedisConnection
) -> None:
    await history.append("s", "visitor:1", "q", "a")
    key = history_key("visitor:1", "s")
    for junk in (b"\xff", b"[]", b"null", b'{"role":"system","content":"x","at":0,"id":"1"}'):
        await connection.client.rpush(key, junk)
    assert await texts(history) == ["q", "a"]


async def test_without_redis_a_chat_is_kept_in_memory(
    history: ChatHistory, connection: RedisConnection
) -> None:
    await history.append("s", "visitor:1", "q0", "a0")
    assert not history.is_degraded
    await connection.aclose()
    await history.append("s", "visitor:1", "q1", "a1")
    await history.append("s", "visitor:1", "q2", "a2")
    await history.drop_last("s", "visitor:1", 1)
    assert history.is_degraded
    assert history.pending == 3
    assert await texts(history) == ["q0", "a0", "q1", "a1"]
    await history.clear("s", "visitor:1")
    assert await texts(history) == []
    await connection.start()
    assert await history.drain(30)
    assert not history.is_degraded
    assert await connection.client.exists(history_key("visitor:1", "s")) == 0


async def test_a_server_sees_what_another_wrote(
    history: ChatHistory, connection: RedisConnection, tmp_path: Path
) -> None:
    other = ChatHistory(connection, load_settings(data_dir=tmp_path, history_max_turns=5))
    for n in range(4):
        await (history if n % 2 else other).append("s", "visitor:1", f"q{n}", f"a{n}")
        assert await history.drain(30) and await other.drain(30)
        expected = [f"{role}{m}" for m in range(n + 1) for role in "qa"]
        assert await texts(history) == expected
        assert await texts(other) == expected
    await other.drop_last("s", "visitor:1", 3)
    assert await other.drain(30)
    assert await texts(history) == ["q0", "a0"]


async def test_two_servers_that_write_at_once_lose_and_double_nothing(
    connection: RedisConnection, tmp_path: Path
) -> None:
    settings = load_settings(data_dir=tmp_path, redis_timeout_s=30)
    servers = [ChatHistory(connection, settings) for _ in range(3)]

    async def chat(server: int) -> None:
        for n in range(20):
            await servers[server].append("s", "visitor:1", f"q{server}.{n}", f"a{server}.{n}")

    await asyncio.gather(*(chat(server) for server in range(3)))
    for server in servers:
        assert await server.drain(30)
    held = [await texts(server) for server in servers]
    assert held[0] == held[1] == held[2]
    assert [text[1:] for text in held[0][::2]] == [text[1:] for text in held[0][1::2]]
    for server in range(3):
        turns = [text for text in held[0][::2] if text.startswith(f"q{server}.")]
        assert turns == [f"q{server}.{n}" for n in range(20)]
    assert len(held[0]) == await connection.client.llen(history_key("visitor:1", "s")) == 120


async def test_what_an_operator_deletes_stays_deleted(
    history: ChatHistory, connection: RedisConnection
) -> None:
    for forget in (
        lambda: connection.client.flushall(),
        lambda: connection.client.delete(history_key("visitor:1", "s")),
    ):
        await history.append("s", "visitor:1", "old", "old")
        assert await history.drain(30)
        await forget()
        assert await texts(history) == []
        await history.append("s", "visitor:1", "old", "old")
        assert await history.drain(30)
        await forget()
        await history.append("s", "visitor:1", "new", "new")
        assert await history.drain(30)
        assert await texts(history) == ["new", "new"]
        await history.clear("s", "visitor:1")


async def test_hundred_chats_at_once_are_not_mixed_up(history: ChatHistory) -> None:
    async def chat(n: int) -> list[str]:
        for turn in range(5):
            await history.append(f"s{n}", "visitor:1", f"q{n}.{turn}", f"a{n}.{turn}")
        return await texts(history, f"s{n}")

    chats = await asyncio.gather(*(chat(n) for n in range(100)))
    for n, kept in enumerate(chats):
        assert kept == [f"{role}{n}.{turn}" for turn in range(5) for role in "qa"]


async def test_everything_acknowledged_survives_a_kill_of_the_server(tmp_path: Path) -> None:
    """``kill -9`` at a random moment, twenty times over; each time nothing is lost."""
    settings = load_settings(data_dir=tmp_path, history_max_turns=10_000, redis_timeout_s=30)
    acknowledged: list[str] = []
    for round_ in range(20):
        connection = RedisConnection(settings)
        await connection.start()
        history = ChatHistory(connection, settings)
        kept = [entry.content for entry in await history.load("s", "o")]
        assert kept[: len(acknowledged)] == acknowledged
        assert len(kept) % 2 == 0
        acknowledged = kept  # the last turn may have been written but not acknowledged
        pid = connection.server_pid
        assert pid is not None
        asyncio.get_running_loop().call_later(0.02 + 0.003 * round_, os.kill, pid, signal.SIGKILL)
        for n in range(10_000):
            await history.append("s", "o", f"q{round_}.{n}", f"a{round_}.{n}")
            if history.pending:
                break
            acknowledged += [f"q{round_}.{n}", f"a{round_}.{n}"]
        await connection.aclose()
        await history.aclose()
    assert len(acknowledged) > 100


async def test_a_thousand_turns_do_not_grow(connection: RedisConnection, tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    history = ChatHistory(connection, settings)
    key = history_key("o", "s")
    assert connection.server_pid is not None
    us, server = psutil.Process(), psutil.Process(connection.server_pid)

    async def turns(count: int) -> None:
        for n in range(count):
            await history.append("s", "o", f"question {n} " * 300, f"answer {n} " * 300)
            await history.load("s", "o", 6)

    await turns(settings.history_max_turns)  # the list is full from here on
    gc.collect()
    tracemalloc.start()
    before = (us.memory_info().rss, server.memory_info().rss, tracemalloc.get_traced_memory()[0])
    await turns(1000)
    gc.collect()
    after = (us.memory_info().rss, server.memory_info().rss, tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()

    grown = [(now - then) / MIB for now, then in zip(after, before, strict=True)]
    assert await connection.client.llen(key) == 2 * settings.history_max_turns
    longest = max(len(json.loads(v)["content"]) for v in await connection.client.lrange(key, 0, -1))
    assert longest <= settings.history_max_chars
    assert grown[0] < 10, f"our resident memory grew by {grown[0]:.1f} MiB"
    assert grown[1] < 10, f"redis-server's resident memory grew by {grown[1]:.1f} MiB"
    assert grown[2] < 10, f"Python's objects grew by {grown[2]:.1f} MiB"
    print("grown (us, redis-server, tracemalloc), MiB:", [round(g, 2) for g in grown])
