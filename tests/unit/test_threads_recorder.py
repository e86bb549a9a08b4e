"""The queue before the database: in order, bounded, and nothing is lost while it is away."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from postgres import running_postgres

from core.errors import ThreadLimitError
from core.settings import Settings
from xoe.chats import recorder as module
from xoe.chats import rows
from xoe.chats.changes import Ask, Keep
from xoe.chats.deletion import delete_thread
from xoe.chats.recorder import Recorder
from xoe.chats.store import Threads
from xoe.chats.types import StoredMessage
from xoe.db import Database
from xoe.db.database import FILE_NAME

ANNA = "user:anna"


def ask(thread: str, turn: int) -> Ask:
    return Ask(ANNA, thread, StoredMessage(f"q{turn}", "user", f"Question {turn}", float(turn)))


def keep(thread: str, turn: int) -> Keep:
    answer = StoredMessage(f"a{turn}", "assistant", f"Answer {turn}", turn + 0.5, remembered=True)
    return Keep(ANNA, thread, f"q{turn}", answer)


async def texts(threads: Threads, thread: str) -> list[str]:
    found = await threads.get(ANNA, thread)
    return [message.text for message in found.messages] if found else []


async def until(done) -> None:
    async with asyncio.timeout(30):
        while not done():
            await asyncio.sleep(0.02)


@pytest.fixture
async def threads(tmp_path: Path) -> AsyncIterator[Threads]:
    db = await Database.open(Settings(data_dir=tmp_path))
    yield Threads(db)
    await db.aclose()


async def test_what_is_said_while_postgresql_is_down_is_there_when_it_is_back(
    tmp_path: Path,
) -> None:
    with running_postgres() as server:
        db = await Database.open(Settings(data_dir=tmp_path, database_url=server.url()))
        threads = Threads(db)
        recorder = Recorder(threads)
        assert await recorder.bring(ask("t", 0))
        await asyncio.to_thread(server.stop)
        for turn in range(3):
            if turn:
                assert await recorder.bring(ask("t", turn))
            assert await recorder.bring(keep("t", turn))
        assert recorder.is_behind
        assert recorder.is_pending(ANNA, "t")
        await asyncio.to_thread(server.start)
        await until(lambda: not recorder.is_behind)
        assert await texts(threads, "t") == [
            *("Question 0", "Answer 0", "Question 1", "Answer 1", "Question 2", "Answer 2")
        ]
        assert recorder.pending == recorder.lost == 0
        await recorder.aclose()
        await db.aclose()


async def test_nobody_waits_long_for_a_locked_database(threads: Threads, tmp_path: Path) -> None:
    recorder = Recorder(threads)
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begun = asyncio.get_running_loop().time()
    for turn in range(5):
        await recorder.bring(ask("t", turn))
    print(f"five changes waited {asyncio.get_running_loop().time() - begun:.2f} s")
    assert recorder.is_behind
    assert recorder.pending == 5
    other.execute("ROLLBACK")
    await until(lambda: recorder.pending == 0)
    assert not recorder.is_behind
    assert len(await texts(threads, "t")) == 5
    await recorder.aclose()


async def test_what_waits_is_bounded_and_goes_with_a_deleted_chat(
    threads: Threads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHANGES_MAX", 4)
    recorder = Recorder(threads)
    await recorder.bring(ask("other", 0))
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for turn in range(10):
        await recorder.bring(ask("t", turn))
    assert (recorder.pending, recorder.lost) == (4, 6)
    recorder.forget(ANNA, "t")
    assert recorder.pending == 0
    other.execute("ROLLBACK")
    await recorder.bring(keep("other", 0))
    await until(lambda: recorder.pending == 0)
    await delete_thread(threads.db, ANNA, "t", 99.0)
    assert await texts(threads, "other") == ["Question 0", "Answer 0"]
    await recorder.aclose()


async def test_a_refusal_is_told_and_holds_nobody_up(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(threads)
    monkeypatch.setattr(rows, "THREADS_MAX", 1)
    await recorder.bring(ask("t1", 0))
    with pytest.raises(ThreadLimitError):
        await recorder.bring(ask("t2", 0))
    assert not await recorder.bring(keep("t2", 0))
    assert await recorder.bring(keep("t1", 0))
    assert await texts(threads, "t1") == ["Question 0", "Answer 0"]
    await recorder.aclose()


async def test_closing_writes_what_waits(threads: Threads) -> None:
    recorder = Recorder(threads)
    bringing = [asyncio.create_task(recorder.bring(ask("t", turn))) for turn in range(20)]
    await asyncio.sleep(0)
    await recorder.aclose(10.0)
    await asyncio.gather(*bringing)
    assert len(await texts(threads, "t")) == 20


async def test_who_waits_for_a_chat_goes_on_when_it_is_written(threads: Threads) -> None:
    recorder = Recorder(threads)

    async def until_there() -> list[str]:
        while True:
            taken = recorder.taken.next
            if found := await texts(threads, "t"):
                return found
            await taken.wait()

    waiting = [asyncio.create_task(until_there()) for _ in range(3)]
    await recorder.bring(ask("other", 0))
    assert not any(task.done() for task in waiting)
    await recorder.bring(ask("t", 0))
    async with asyncio.timeout(30):
        assert await asyncio.gather(*waiting) == [["Question 0"]] * 3
    await recorder.aclose()
