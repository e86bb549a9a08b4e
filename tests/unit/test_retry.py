"""What failed for a moment is tried again, within a budget; threads of its own for an engine."""

from __future__ import annotations

import asyncio
import threading

import pytest

from core.bulkhead import Bulkhead
from core.errors import BusyError, GenerationError, GenerationLostError
from core.retry import RESERVE, RetryBudget, attempts, retried


class HiccupError(Exception):
    pass


class Flaky:
    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


async def test_a_transient_error_is_tried_again() -> None:
    work = Flaky(HiccupError())
    assert await retried(work, budget=RetryBudget(), transient=(HiccupError,)) == "done"
    assert work.calls == 2


async def test_a_permanent_error_is_not() -> None:
    work = Flaky(ValueError("no"), HiccupError())
    with pytest.raises(ValueError, match="no"):
        await retried(work, budget=RetryBudget(), transient=(HiccupError,))
    assert work.calls == 1


async def test_a_lost_process_is_not_waited_for() -> None:
    work = Flaky(GenerationLostError("lost"))
    with pytest.raises(GenerationLostError):
        await retried(work, budget=RetryBudget(), transient=(GenerationError,))
    assert work.calls == 1


async def test_the_last_error_is_raised() -> None:
    work = Flaky(HiccupError("one"), HiccupError("two"))
    with pytest.raises(HiccupError, match="two"):
        await retried(work, budget=RetryBudget(), transient=(HiccupError,))
    assert work.calls == 2


async def test_an_outage_is_not_multiplied() -> None:
    """After the reserve at most one call in ten is tried again."""
    budget, calls = RetryBudget(), 0

    async def fail() -> None:
        nonlocal calls
        calls += 1
        raise HiccupError

    for _ in range(100):
        with pytest.raises(HiccupError):
            await retried(fail, budget=budget, transient=(HiccupError,))
    assert 100 + RESERVE <= calls <= 100 + RESERVE + 10


async def test_what_has_begun_to_show_is_not_tried_again() -> None:
    tries: list[int] = []
    with pytest.raises(HiccupError):
        async for attempt in attempts(
            RetryBudget(), (HiccupError,), most=5, may_retry=lambda: len(tries) < 2
        ):
            with attempt:
                tries.append(1)
                raise HiccupError
    assert len(tries) == 2


async def test_a_stuck_thread_keeps_its_place_and_no_other() -> None:
    free = threading.Event()
    stuck, other = Bulkhead("stuck", threads=1, waiting=1), Bulkhead("other", threads=1, waiting=1)
    try:
        with pytest.raises(TimeoutError):
            await stuck.run(free.wait, timeout_s=0.05)
        ran: list[int] = []
        with pytest.raises(TimeoutError):  # waits behind it, and never begins
            await stuck.run(lambda: ran.append(1), timeout_s=0.05)
        assert await other.run(lambda: "free", timeout_s=5) == "free"
        waiting = asyncio.create_task(stuck.run(lambda: "second", timeout_s=60))
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await stuck.run(lambda: None, timeout_s=5)
        free.set()
        assert await waiting == "second"
        assert ran == []
        while stuck.inside:
            await asyncio.sleep(0.001)
        assert await stuck.run(lambda: "again", timeout_s=5) == "again"
    finally:
        free.set()
        stuck.close()
        other.close()
