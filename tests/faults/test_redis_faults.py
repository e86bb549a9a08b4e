"""The history when the disk is full."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from core.settings import load_settings
from state.history import ChatHistory, HistoryEntry
from state.redis import RedisConnection

pytestmark = pytest.mark.faults


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("only root can mount a small file system")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


async def test_a_full_disk_loses_nothing_and_is_written_when_there_is_room(
    small_disk: Path,
) -> None:
    settings = load_settings(
        data_dir=small_disk / "data", history_max_turns=10_000, redis_timeout_s=30
    )
    connection = RedisConnection(settings)
    await connection.start()
    history = ChatHistory(connection, settings)
    count = 0
    with structlog.testing.capture_logs() as lines:
        while not history.is_degraded:
            await history.append("s", "o", f"question {count}" + "? " * 400, "answer " * 100)
            count += 1
            assert count < 2000
            while history.pending and not history.is_degraded:
                await asyncio.sleep(0.01)
        for _ in range(5):
            await history.append("s", "o", f"question {count}", "answer")
            count += 1
    refusals = [line["reason"] for line in lines if line["event"] == "history.refused"]
    assert len(refusals) == 1
    assert "No space left" in refusals[0] or "MISCONF" in refusals[0]
    assert history.pending > 0
    assert _numbers(await history.load("s", "o", 6)) == list(range(count - 6, count))

    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert await history.drain(60)
    assert not history.is_degraded
    await history.append("s", "o", f"question {count}", "yes")
    assert await history.drain(60)
    await history.aclose()
    await connection.aclose()

    again = RedisConnection(settings)
    await again.start()
    entries = await ChatHistory(again, settings).load("s", "o")
    assert _numbers(entries) == list(range(count + 1))
    await again.aclose()


def _numbers(entries: list[HistoryEntry]) -> list[int]:
    return [int(entry.content.removeprefix("question ").split("?")[0]) for entry in entries[::2]]
