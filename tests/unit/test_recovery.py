"""A part that failed is tried again by itself, and told once when it is back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from core.errors import CircuitOpenError, GenerationError
from state import recovery
from state.recovery import Recovery


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_EVERY_S", 0.001)


async def test_a_failed_part_comes_back_by_itself(quick: None) -> None:
    outcomes: Iterator[Exception | None] = iter(
        [CircuitOpenError("llm-load", 1.0), GenerationError("not yet"), None]
    )
    tried, told = [], []

    async def check() -> None:
        tried.append(1)
        error = next(outcomes)
        if error is not None:
            raise error

    after = Recovery({"model": check}, on_change=lambda: told.append(after.works("model")))
    after.report("model", works=True)
    assert told == []
    after.report("model", works=False)
    after.report("model", works=False)
    running = asyncio.create_task(after.run())
    async with asyncio.timeout(10):
        while not after.works("model"):
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.01)
    running.cancel()
    assert len(tried) == 3
    assert told == [False, True]


async def test_a_failed_part_is_tried_at_once_when_something_has_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recovery, "_EVERY_S", 600)

    async def check() -> None:
        return

    after = Recovery({"model": check}, on_change=lambda: None)
    running = asyncio.create_task(after.run())
    await asyncio.sleep(0)
    after.report("model", works=False)
    after.look()
    async with asyncio.timeout(10):
        while not after.works("model"):
            await asyncio.sleep(0.001)
    running.cancel()
