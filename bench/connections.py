"""The page while ten addresses hold a thousand connections that never come to an end.

Half of them send a request's head without end, half a body without end, a little every few
seconds. They run in a process of their own (``python -m bench.connections PORT``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles

import httpx
import psutil

from bench.rows import BenchRow
from bench.scratch import scratch_folder
from bench.startup import served, start, stop
from core.settings import Settings

ADDRESSES = 10
HEADS = 500
BODIES = 500
DRIP_S = 4.0
"""Shorter than what any part of a request may pause."""
GIVE_UP_S = 120.0
"""What is open for so long counts as never closed."""
AT_LEAST = 200
"""Times that the page is asked for alone."""
PAUSE_S = 0.02
_HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
_BODY = (
    b"POST /query HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100000\r\n\r\n{"
)


async def run(settings: Settings) -> list[BenchRow]:
    """Return the rows of this suite; the baseline is the page alone, before and after."""
    return await asyncio.to_thread(_run, settings)


def _run(settings: Settings) -> list[BenchRow]:
    with scratch_folder() as folder:
        (folder / "library").mkdir()
        with served(folder, settings, folder / "library") as (url, server):
            return _measured(folder, url, psutil.Process(server.pid))


def _measured(folder: Path, url: str, server: psutil.Process) -> list[BenchRow]:
    _page_times(url, lambda done: done >= AT_LEAST)  # what is only slow the first times
    alone = _page_times(url, lambda done: done >= AT_LEAST)
    files, resident = server.num_fds(), server.memory_info().rss
    report = folder / "attack.json"
    command = [sys.executable, "-m", "bench.connections", url.rpartition(":")[2], str(report)]
    attack = start(command, Path(__file__).resolve().parent.parent)
    try:
        most_files = [files]

        def is_over(_done: int) -> bool:
            most_files.append(server.num_fds())
            return attack.poll() is not None

        under = _page_times(url, is_over)
    finally:
        stop(attack)
    told = json.loads(report.read_text())
    alone += _page_times(url, lambda done: done >= AT_LEAST)
    before_p95, under_p95 = (quantiles(times, n=20)[-1] for times in (alone, under))
    return [
        BenchRow.against("page_beside_slow_p50", median(under), "ms", median(alone)),
        BenchRow.against("page_beside_slow_p95", under_p95, "ms", before_p95),
        BenchRow("page_beside_slow_longest", max(under), "ms", max(alone)),
        BenchRow("slow_closed_at_once", told["at_once"], "connections", HEADS + BODIES),
        BenchRow("slow_closed", told["closed"], "connections", HEADS + BODIES),
        BenchRow("slow_heads_last_closed", told["heads_s"], "s"),
        BenchRow("slow_bodies_last_closed", told["bodies_s"], "s"),
        BenchRow("slow_most_files", max(most_files), "files", files),
        BenchRow("slow_memory_growth", (server.memory_info().rss - resident) / 1e6, "MB"),
    ]


def _page_times(url: str, is_over: Callable[[int], bool]) -> list[float]:
    """Ask for the page by a new connection each time; return the milliseconds."""
    times: list[float] = []
    while not is_over(len(times)):
        begun = time.perf_counter()
        httpx.get(url, timeout=60, trust_env=False).raise_for_status()
        times.append((time.perf_counter() - begun) * 1000)
        time.sleep(PAUSE_S)
    return times


async def _attack(port: int, report: Path) -> None:
    tasks = []
    for number in range(HEADS + BODIES):
        first, drip = (_HEAD, b"X-Slow: x\r\n") if number % 2 else (_BODY, b" ")
        origin = f"127.0.0.{2 + number % ADDRESSES}"
        tasks.append(asyncio.create_task(_held_s(port, origin, first, drip)))
        if number % 50 == 0:
            await asyncio.sleep(0.05)
    held = await asyncio.gather(*tasks)
    told = {
        "closed": sum(held_s < GIVE_UP_S for held_s in held),
        "at_once": sum(held_s < 1 for held_s in held),
        "heads_s": max(held[1::2]),
        "bodies_s": max(held[::2]),
    }
    await asyncio.to_thread(report.write_text, json.dumps(told))


async def _held_s(port: int, origin: str, first: bytes, drip: bytes) -> float:
    """Keep one connection as long as the server lets it; return the seconds."""
    begun = time.perf_counter()
    with contextlib.suppress(OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(origin, 0))
        writer.write(first)
        over = asyncio.create_task(reader.read())  # until it is closed
        while not over.done() and time.perf_counter() - begun < GIVE_UP_S:
            await asyncio.wait([over], timeout=DRIP_S)
            with contextlib.suppress(OSError):
                writer.write(drip)
                await writer.drain()
        over.cancel()
        writer.close()
    return time.perf_counter() - begun


if __name__ == "__main__":
    asyncio.run(_attack(int(sys.argv[1]), Path(sys.argv[2])))
