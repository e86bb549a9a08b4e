"""Measuring the real models in the real engine: once at a time, behind everybody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from llm_engines import FRIENDLY, ask, settings_for, until_idle

from chains.llm.engine import ChatTurn, LlmEngine
from chains.llm.measuring import Measuring, MeasuringStatus
from core.errors import MeasuringError

pytestmark = pytest.mark.integration

OPENING = (ChatTurn("system", FRIENDLY),)


@asynccontextmanager
async def measuring(tmp_path: Path, *models: str, **options: Any) -> AsyncIterator[Measuring]:
    """A measuring of ``models`` alone, whose first one is loaded."""
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "data").mkdir()
    for name in models:
        real = settings_for(name).models_dir / name
        (folder / name).symlink_to(real)
    settings = settings_for(models[0], models_dir=folder, data_dir=tmp_path / "data")
    engine = LlmEngine(settings)
    await engine.start()
    measuring = Measuring(settings, engine, opening=OPENING, **options)
    try:
        yield measuring
    finally:
        await measuring.aclose()
        await engine.aclose()


def engine_of(measuring: Measuring) -> LlmEngine:
    assert measuring._engine is not None
    return measuring._engine


async def ended(measuring: Measuring) -> MeasuringStatus:
    async with asyncio.timeout(90):
        while (await measuring.status()).state == "running":
            await asyncio.sleep(0.02)
    return await measuring.status()


async def test_it_measures_what_is_installed_and_keeps_it(tmp_path: Path) -> None:
    async with measuring(tmp_path, "fast", "tiny") as subject:
        assert (await subject.status()).state == "none"
        for _ in range(5):  # another program may take the processor from one of the models
            await subject.start()
            status = await ended(subject)
            assert (status.state, status.doing) == ("done", "")
            assert status.measurement is not None
            speeds = status.measurement.speeds
            if speeds["tiny"].reading > speeds["fast"].reading:
                break
        assert set(speeds) == {"tiny", "fast"}
        assert all(
            1 < speed.reading < 1e5 and 0.5 < speed.writing < 1e5 for speed in speeds.values()
        )
        assert speeds["tiny"].reading > speeds["fast"].reading
        advice, room = subject.advice(status.measurement)
        assert [one.installed for one in advice.prospects] == [False, True, True]
        assert room > 0
        await until_idle(engine_of(subject))
        assert engine_of(subject).loaded_profile == "fast"  # as it was before
        again = Measuring(subject._settings, None, opening=OPENING)
        assert (await again.status()).measurement == status.measurement


async def test_there_is_never_more_than_one(tmp_path: Path) -> None:
    async with measuring(tmp_path, "tiny") as subject:
        begun = await asyncio.gather(*(subject.start() for _ in range(20)), return_exceptions=True)
        assert begun.count(None) == 1
        refused = [one for one in begun if one is not None]
        assert all(isinstance(one, MeasuringError) for one in refused)
        assert (await ended(subject)).state == "done"
        await subject.start()  # and then again
        assert await subject.cancel()


async def test_it_can_be_cancelled_at_any_moment_and_leaves_the_engine_as_it_was(
    tmp_path: Path,
) -> None:
    async with measuring(tmp_path, "tiny") as subject:
        assert not await subject.cancel()
        for moment_s in (None, 0.0, 0.05, 0.3):
            await subject.start()
            if moment_s is not None:
                await asyncio.sleep(moment_s)
            assert await subject.cancel()
            assert (await subject.status()).state == "cancelled"
        await until_idle(engine_of(subject))
        assert (await ask(engine_of(subject), "Say yes.")).text


async def test_whoever_asks_goes_first(tmp_path: Path) -> None:
    async with measuring(tmp_path, "tiny") as subject:
        await subject.start()
        while engine_of(subject).idle:
            await asyncio.sleep(0.01)
        assert (await ask(engine_of(subject), "Say yes.")).text
        status = await subject.status()
        assert status.state == "running" and status.done == 0  # it has begun anew
        assert (await ended(subject)).state == "done"


async def test_what_keeps_it_from_beginning_is_said(tmp_path: Path) -> None:
    async with measuring(tmp_path, "tiny", saves_memory=lambda: True) as subject:
        with pytest.raises(MeasuringError, match="Memory is short"):
            await subject.start()
    remote = Measuring(subject._settings, None, opening=OPENING)
    with pytest.raises(MeasuringError, match="XOE_LLM_BASE_URL"):
        await remote.start()
    stopped = Measuring(subject._settings, engine_of(subject), opening=OPENING)
    with pytest.raises(MeasuringError, match=r"loading|not running"):
        await stopped.start()


async def test_a_model_without_room_is_worked_out_and_never_loaded(tmp_path: Path) -> None:
    async with measuring(tmp_path, "tiny", "fast", room_bytes=lambda: 200_000_000) as subject:
        await subject.start()
        status = await ended(subject)
        assert status.measurement is not None and set(status.measurement.speeds) == {"tiny"}
        advice, _ = subject.advice(status.measurement)
        assert [(one.profile, one.measured) for one in advice.prospects] == [
            *(("quality", False), ("fast", False), ("tiny", True)),
        ]
