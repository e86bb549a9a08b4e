"""Tasks that nobody awaits: heard of when they fail, waited for and ended with their owner."""

from __future__ import annotations

import asyncio
import gc

from core.tasks import Tasks


async def fail(problem: Exception) -> None:
    raise problem


async def test_what_nobody_awaits_goes_on_and_its_failure_is_heard() -> None:
    heard: list[BaseException] = []
    tasks, go, done = Tasks(on_failure=heard.append), asyncio.Event(), []

    async def work() -> None:
        await go.wait()
        done.append(True)

    problem = ValueError("broken")
    tasks.spawn(work())
    tasks.spawn(fail(problem))
    gc.collect()
    go.set()
    await tasks.wait()
    assert (done, heard, len(tasks)) == ([True], [problem], 0)


async def test_a_failure_that_its_caller_hears_of_is_not_told_twice() -> None:
    heard: list[BaseException] = []
    tasks = Tasks(on_failure=heard.append)
    kept = tasks.keep(asyncio.create_task(fail(ValueError("broken"))))
    await tasks.wait()
    assert isinstance(kept.exception(), ValueError)
    assert heard == []


async def test_waiting_counts_what_is_begun_meanwhile_and_not_who_waits() -> None:
    tasks, order = Tasks(), []

    async def second() -> None:
        order.append("second")

    async def first() -> None:
        await asyncio.sleep(0)
        tasks.spawn(second())

    async def owner() -> None:
        tasks.spawn(first())
        await tasks.wait()
        order.append("waited")

    await tasks.spawn(owner())
    assert order == ["second", "waited"]


async def test_closing_ends_all_and_waits_for_what_they_tidy_up() -> None:
    tasks, order = Tasks(), []

    async def tidy() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            order.append("tidied")

    spared = tasks.spawn(tidy())
    tasks.spawn(tidy())
    await asyncio.sleep(0)
    tasks.cancel(but=spared)
    await tasks.wait(0.01)
    assert (order, len(tasks), spared.done()) == (["tidied"], 1, False)
    await tasks.aclose()
    assert (order, len(tasks), spared.cancelled()) == (["tidied"] * 2, 0, True)
