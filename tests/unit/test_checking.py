"""Who checks answers is told, and the better model is fetched only where that is welcome."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chains.checker import CHECKER_PROFILE, Checker
from chains.llm.engine import LlmEngine
from core.errors import DiskFullError, ModelMissingError
from core.settings import Settings
from state.breakers import Breakers
from xoe import checking as module
from xoe.checking import Checking

PLENTY = 64 << 30


class Told:
    """What was said of this part, in order."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str]] = []

    def __call__(self, state: str, detail: str) -> None:
        self.states.append((state, detail))


def checking(
    folder: Path,
    told: Told,
    *,
    room: int = PLENTY,
    environ: dict[str, str] | None = None,
    **more: Any,
) -> Checking:
    settings = Settings(
        data_dir=folder, models_dir=folder / "models", **({"checker_fetch": True} | more)
    )
    checker = Checker(settings, LlmEngine(settings), Breakers(settings, None))
    return Checking(settings, checker, tell=told, room_bytes=lambda: room, environ=environ or {})


@pytest.fixture
def pulled(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What was to be fetched; nothing is."""
    names: list[tuple[str, ...]] = []

    def pull(wanted: tuple[str, ...], _folder: Path, *, progress: Any) -> None:
        names.append(wanted)
        progress.update(50_000_000, "fetching")
        raise ModelMissingError("There is no network.")

    monkeypatch.setattr(module, "pull", pull)
    return names


async def test_it_is_fetched_behind_the_page_and_how_far_it_is_is_told(
    tmp_path: Path, pulled: list[tuple[str, ...]]
) -> None:
    told = Told()
    await checking(tmp_path, told).run()
    assert pulled == [(CHECKER_PROFILE,)]
    assert "50 of 1,117 MB" in told.states[0][1]
    assert "could not be fetched" in told.states[-1][1]
    assert {state for state, _ in told.states} <= {"ready", "off"}, "nobody waits for it"


@pytest.mark.parametrize(
    "unwelcome",
    [
        {"checker_fetch": False},
        {"environ": {"CI": "true"}},
        {"environ": {"UV_OFFLINE": "1"}},
        {"room": 1 << 30},
        {"llm_profile": CHECKER_PROFILE},
    ],
    ids=["switched off", "CI", "offline", "no memory", "it writes itself"],
)
async def test_nothing_is_fetched_where_that_is_unwelcome_or_of_no_use(
    tmp_path: Path, pulled: list[tuple[str, ...]], unwelcome: dict[str, Any]
) -> None:
    told = Told()
    await checking(tmp_path, told, **unwelcome).run()
    assert pulled == []
    assert len(told.states) == 1


async def test_a_full_disk_is_left_alone(
    tmp_path: Path, pulled: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_free_bytes", lambda _settings: 1 << 30)
    told = Told()
    await checking(tmp_path, told).run()
    assert pulled == []
    assert "no room on the disk" in told.states[-1][1]


async def test_a_disk_that_fills_up_is_said_and_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pull(*_: Any, **__: Any) -> None:
        raise DiskFullError("The disk is full.")

    monkeypatch.setattr(module, "pull", pull)
    told = Told()
    await checking(tmp_path, told).run()
    assert "could not be fetched" in told.states[-1][1]


async def test_the_server_ends_amid_a_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = threading.Event(), threading.Event()

    def pull(*_: Any, progress: Any, **__: Any) -> None:
        begun.set()
        try:
            while True:
                progress.update(1, "fetching")
        finally:
            ended.set()

    monkeypatch.setattr(module, "pull", pull)
    running = asyncio.create_task(checking(tmp_path, Told()).run())
    await _until(begun.is_set)
    running.cancel()
    await asyncio.wait([running])
    await _until(ended.is_set)


async def _until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not so():
            await asyncio.sleep(0.01)
