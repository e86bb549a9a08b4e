"""Events reach the reader in order, and a slow reader costs no more than the answer's length."""

from __future__ import annotations

import asyncio

import pytest

from chains.llm.job import AnswerJob, AnswerQueue
from chains.llm.request import Finished, GenerationRequest, Queued, StreamEvent, TextPiece
from core.errors import GenerationError

END = Finished(1, 0, 1, 0.0, 0.0, "stop")


def new_job() -> AnswerJob:
    return AnswerJob(GenerationRequest(()), max_tokens=8, profile="tiny", on_loaded=lambda _: None)


def finish(job: AnswerJob) -> None:
    job.send(END)
    job.end()


async def read(job: AnswerJob) -> list[StreamEvent]:
    return [event async for event in job.events()]


async def test_events_from_another_thread_come_in_order_and_end_with_finished() -> None:
    job = new_job()

    def work() -> None:
        for number in range(20):
            job.send(TextPiece(str(number)))
        finish(job)

    reader = asyncio.create_task(read(job))
    await asyncio.to_thread(work)
    assert await reader == [*(TextPiece(str(number)) for number in range(20)), END]


async def test_a_new_place_replaces_one_that_was_not_read() -> None:
    job = new_job()
    queue = AnswerQueue(8)
    before = [new_job() for _ in range(3)]
    for one in (*before, job):
        queue.put(one)
    for one in before:
        queue.tell()
        queue.remove(one)
        await asyncio.sleep(0)
    finish(job)
    assert await read(job) == [Queued(1), END]


async def test_pieces_are_joined_for_a_reader_that_falls_behind() -> None:
    job = new_job()
    for _ in range(10_000):
        job.send(TextPiece("x"))
    finish(job)
    events = await read(job)
    assert "".join(event.text for event in events if isinstance(event, TextPiece)) == "x" * 10_000
    assert len(events) < 100


async def test_a_failure_comes_after_what_was_written_before_it() -> None:
    job = new_job()
    job.send(TextPiece("half an"))
    job.end(GenerationError("The model failed."))
    events = job.events()
    assert await anext(events) == TextPiece("half an")
    with pytest.raises(GenerationError):
        await anext(events)


def test_a_closed_loop_cancels_the_request() -> None:
    async def make() -> AnswerJob:
        return new_job()

    job = asyncio.run(make())
    job.send(TextPiece("nobody is there"))
    queue = AnswerQueue(8)
    queue.put(job)
    queue.tell()
    assert job.cancelled
