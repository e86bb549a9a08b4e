"""The history when the disk is full."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from state.history import ChatHistory
from state.redis import RedisConnection
from xoe.errors import RedisError
from xoe.settings import load_settings

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


async def test_a_full_disk_is_a_clear_error_and_nothing_kept_is_lost(small_disk: Path) -> None:
    settings = load_settings(
        data_dir=small_disk / "data", history_max_turns=10_000, redis_timeout_s=30
    )
    connection = RedisConnection(settings)
    await connection.start()
    history = ChatHistory(connection, settings)
    kept = 0
    with pytest.raises(RedisError, match=r"No space left|MISCONF"):
        for _ in range(2000):
            await history.append("s", "o", "question " * 100, "answer " * 100)
            kept += 1
    assert len(await history.load("s", "o")) >= 2 * kept, "reading goes on"

    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    async with asyncio.timeout(30):
        while True:
            try:
                await history.append("s", "o", "again", "yes")
                break
            except RedisError:
                await asyncio.sleep(0.2)
    await connection.aclose()

    again = RedisConnection(settings)
    await again.start()
    entries = await ChatHistory(again, settings).load("s", "o")
    assert len(entries) >= 2 * kept + 2
    assert entries[-1].content == "yes"
    await again.aclose()
