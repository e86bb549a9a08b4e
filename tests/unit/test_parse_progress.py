"""The time limit of a file counts from its last page: a worker that gets on is waited for."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from core.errors import DocumentError
from ingest import parse_lane
from ingest.loaders import ParseLimits
from ingest.parse_lane import SIGNS_OF_LIFE, ParserLane
from ingest.parse_wire import Request

TIMEOUT_S = 1.0
REQUEST = Request("/nowhere", "a.pdf", TIMEOUT_S, ParseLimits(max_pages=50))
WORKER = """
import sys, time
from ingest.loaders import LoadedDocument
from ingest.parse_wire import *

def send(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()

def page(done, total=9):
    send(pack_pages_read(PagesRead(done, total)))

send(READY)
while head := sys.stdin.buffer.read(LENGTH.size):
    sys.stdin.buffer.read(LENGTH.unpack(head)[0])
    {answer}
    send(pack_document(LoadedDocument("", "A title", "pdf"), 5, last=False) + b"Words")
"""

Make = Callable[..., ParserLane]


@pytest.fixture
async def lane_of(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    """Give lanes whose worker answers with the lines of a program."""
    lanes: list[ParserLane] = []

    def make(answer: str, *, idle_s: float | None = None) -> ParserLane:
        program = WORKER.format(answer=answer.replace("\n", "\n    "))

        async def start(_module: str, *_arguments: str) -> Process:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-c", program, stdin=PIPE, stdout=PIPE
            )

        monkeypatch.setattr(parse_lane, "start_contained", start)
        lanes.append(ParserLane(512, timeout_s=TIMEOUT_S, idle_s=idle_s))
        return lanes[-1]

    yield make
    for lane in lanes:
        await lane.aclose()


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.02)


def parse(lane: ParserLane, told: list[tuple[int, int]] | None = None) -> Awaitable[object]:
    heard = [] if told is None else told
    return lane.parse(REQUEST, lambda done, total: heard.append((done, total)))


async def test_a_file_may_take_longer_than_its_limit_while_pages_are_told(lane_of: Make) -> None:
    told: list[tuple[int, int]] = []
    lane = lane_of("for n in range(9): page(n); time.sleep(0.3)")
    begun = time.monotonic()
    document = await parse(lane, told)
    assert time.monotonic() - begun > 2 * TIMEOUT_S
    assert document.text == "Words"  # type: ignore[attr-defined]
    assert told == [(n, 9) for n in range(9)]


async def test_a_worker_that_tells_nothing_more_is_given_up(lane_of: Make) -> None:
    lane = lane_of("page(0); page(1); time.sleep(30)")
    begun = time.monotonic()
    with pytest.raises(DocumentError, match="longer than 1 s"):
        await parse(lane)
    assert time.monotonic() - begun < 10
    assert lane.pid is None


@pytest.mark.parametrize(
    "answer",
    [
        "page(3); page(2)",
        "page(10)",
        "page(-1)",
        "page(1, 51)",
        f"for _ in range({SIGNS_OF_LIFE + 5}): page(1)",
        "send(pack({'done': 'many', 'total': 9}))",
        "send(pack({'done': 1}))",
    ],
)
async def test_a_worker_that_only_pretends_to_get_on_is_ended(lane_of: Make, answer: str) -> None:
    lane = lane_of(answer)
    with pytest.raises(DocumentError, match="the reader stopped at it"):
        await parse(lane)
    assert lane.pid is None


async def test_signs_of_life_amid_a_page_are_not_told_as_pages(lane_of: Make) -> None:
    told: list[tuple[int, int]] = []
    await parse(lane_of("for n in (0, 0, 0, 1, 1): page(n)"), told)
    assert told == [(0, 9), (1, 9)]


async def test_a_worker_that_rests_is_ended_and_started_again(lane_of: Make) -> None:
    lane = lane_of("pass", idle_s=0.3)
    await parse(lane)
    first = lane.pid
    await parse(lane)
    assert lane.pid == first is not None
    await wait_until(lambda: lane.pid is None)
    assert not Path(f"/proc/{first}").exists()
    await parse(lane)
    assert lane.pid not in (None, first)


async def test_a_file_that_comes_while_the_worker_is_being_ended_is_read(lane_of: Make) -> None:
    lane = lane_of("pass", idle_s=0.05)
    for number in range(12):
        await parse(lane)
        await asyncio.sleep(0.05 + number / 500)
