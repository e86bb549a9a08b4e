"""Measures how fast the installed language models read and write here: about ten seconds.

It asks the one engine that everybody uses, only while nobody else does: it waits until the engine
is idle, gives way within a token when somebody asks, and brings back the model that was loaded
before. There is never more than one measurement at once. The result lies in the data folder.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import psutil
import structlog

from chains.llm.engine import ChatTurn, LlmEngine
from chains.llm.probe import PROBE_TOKENS, GaveWay, probe
from core.errors import EngineError, MeasuringError, ModelError, XoeError
from core.settings import LlmProfile, Settings
from models.manifest import load_manifest
from models.measurement import Measurement, load, save
from models.provision import installed
from models.recommend import BY_QUALITY, Advice, Candidate, Speed, advise, estimate, needed_bytes

log = structlog.get_logger(__name__)

MeasuringState = Literal["none", "running", "done", "failed", "cancelled"]

BUDGET_S: Final = 10.0
"""For all models together; loading them comes on top, and is bounded by ``LIMIT_S``."""
LIMIT_S: Final = 60.0
"""After which it ends with what it has."""
IDLE_WAIT_S: Final = 15.0
"""Longest wait until nobody asks."""
TRIES: Final = 3
"""How often a model is begun anew after it gave way to somebody."""
LONGEST_READ: Final = 0.5
"""Of the time after which the engine takes a model that reads nothing for stuck: one that would
read the probe more slowly is worked out instead."""
_POLL_S: Final = 0.1
_BUSY: Final = "Somebody asks just now, and goes first. Please try again in a moment."


@dataclass(frozen=True)
class MeasuringStatus:
    """How far a measurement is."""

    state: MeasuringState = "none"
    doing: str = ""
    """A sentence for a person: what it does, or why it ended."""
    done: int = 0
    total: int = 0
    """Models measured, of so many."""
    measurement: Measurement | None = None
    """The latest whole one, also while another runs."""


class Measuring:
    """One measurement at a time. Belongs to one event loop; end it with ``aclose``."""

    def __init__(
        self,
        settings: Settings,
        engine: LlmEngine | None,
        *,
        opening: tuple[ChatTurn, ...],
        saves_memory: Callable[[], bool] = lambda: False,
        room_bytes: Callable[[], int] = lambda: int(psutil.virtual_memory().available),
    ) -> None:
        """Measure nothing yet.

        ``opening`` is what the engine keeps read for everybody, and is given back to it;
        ``saves_memory`` tells whether memory is short, ``room_bytes`` how much a model could take
        beside the loaded one.
        """
        self._settings = settings
        self._engine = engine
        self._opening = opening
        self._saves_memory = saves_memory
        self._room_bytes = room_bytes
        self._status = MeasuringStatus()
        self._task: asyncio.Task[None] | None = None
        self._is_read = False

    @property
    def path(self) -> Path:
        """Where the result is kept."""
        return self._settings.data_dir / "measurement.json"

    async def status(self) -> MeasuringStatus:
        """Return how far it is; the kept result is read once."""
        if not self._is_read:
            self._is_read = True
            kept = await asyncio.to_thread(load, self.path)
            if kept is not None and self._status.measurement is None:
                state = "done" if self._status.state == "none" else self._status.state
                self._status = replace(self._status, state=state, measurement=kept)
        return self._status

    def candidates(self) -> tuple[Candidate, ...]:
        """Return the language models there are, installed or not. Blocking for an instant."""
        return candidates(self._settings)

    def advice(self, measurement: Measurement) -> tuple[Advice, int]:
        """Return what a measurement recommends, and the bytes that a model could take now.

        Blocking for an instant.
        """
        there = self.candidates()
        known = {candidate.profile for candidate in there}
        speeds = {name: speed for name, speed in measurement.speeds.items() if name in known}
        room_bytes = self._room(there)
        return advise(there, speeds, room_bytes=room_bytes), room_bytes

    async def start(self) -> None:
        """Begin. Raises ``MeasuringError`` with the reason when it cannot."""
        await self.status()  # before anything is decided: it may wait for the disk
        if self._task is not None and not self._task.done():
            raise MeasuringError("It is being measured already.")
        if self._engine is None:
            raise MeasuringError(
                "Answers come from the model server that XOE_LLM_BASE_URL names, so there is no "
                "model to choose here."
            )
        if self._engine.state != "ready":
            problem = self._engine.problem or "The model is still loading; please try again then."
            raise MeasuringError(problem)
        if self._saves_memory():
            raise MeasuringError("Memory is short just now, so nothing is measured.")
        self._status = replace(
            self._status, state="running", doing="Waiting until nobody asks…", done=0, total=0
        )
        self._task = asyncio.create_task(self._run(self._engine), name="measuring")

    async def cancel(self) -> bool:
        """End it; return whether it ran."""
        task = self._task
        if task is None or task.done():
            return False
        task.cancel()
        await asyncio.wait([task])
        if self._status.state == "running":  # it had not come to its first step
            self._end("cancelled", "Cancelled.")
        return True

    async def aclose(self) -> None:
        """End it with the server."""
        await self.cancel()

    # ── one measurement ──────────────────────────────────────────────────────────────────────

    async def _run(self, engine: LlmEngine) -> None:
        before = engine.loaded_profile or self._settings.llm_profile
        ended: tuple[MeasuringState, str] = ("done", "")
        try:
            async with asyncio.timeout(LIMIT_S):
                await self._measure_all(engine)
        except asyncio.CancelledError:
            ended = ("cancelled", "Cancelled.")
            raise
        except TimeoutError:
            ended = ("failed", "It took longer than a minute, so it was given up.")
        except XoeError as exc:
            ended = ("failed", str(exc))
        except Exception:
            log.exception("measuring.failed")
            ended = ("failed", "Measuring failed; the log says why.")
        finally:
            try:
                await _restore(engine, before, self._opening)
            finally:
                self._end(*ended)

    async def _measure_all(self, engine: LlmEngine) -> None:
        there = await asyncio.to_thread(self.candidates)
        order = _order(there, engine.loaded_profile)
        self._status = replace(self._status, total=len(order))
        speeds: dict[LlmProfile, Speed] = {}
        for place, candidate in enumerate(order):
            if speeds and not self._is_worth(candidate, there, speeds):
                continue
            self._status = replace(self._status, doing=f"Measuring {candidate.title}…", done=place)
            try:
                speeds[candidate.profile] = await self._measure(
                    engine, candidate.profile, BUDGET_S / len(order)
                )
            except ModelError as exc:  # its file is damaged, say; the others can be measured
                log.warning("measuring.skipped", profile=candidate.profile, error=str(exc))
        if not speeds:
            raise MeasuringError("No model could be measured; 'xoe doctor' says what is wrong.")
        measurement = Measurement(at=time.time(), speeds=speeds)
        self._status = replace(self._status, measurement=measurement)
        with suppress(OSError):  # a full disk: it holds until the server ends
            await asyncio.to_thread(save, self.path, measurement)

    async def _measure(self, engine: LlmEngine, profile: LlmProfile, budget_s: float) -> Speed:
        for _ in range(TRIES):
            await _until_idle(engine)
            with suppress(GaveWay):
                return await probe(engine, profile, budget_s)
        raise MeasuringError(_BUSY)

    def _is_worth(
        self,
        candidate: Candidate,
        there: tuple[Candidate, ...],
        speeds: Mapping[LlmProfile, Speed],
    ) -> bool:
        """Whether there is room for a model, and it would not take the engine for too long."""
        if needed_bytes(candidate) > self._room(there):
            return False
        known = next(other for other in there if other.profile in speeds)
        expected = estimate(candidate, known, speeds[known.profile])
        longest_s = LONGEST_READ * self._settings.llm_stall_s
        return expected.reading * longest_s >= PROBE_TOKENS

    def _room(self, there: tuple[Candidate, ...]) -> int:
        loaded = None if self._engine is None else self._engine.loaded_profile
        freed = next((other.bytes for other in there if other.profile == loaded), 0)
        return self._room_bytes() + freed

    def _end(self, state: MeasuringState, doing: str) -> None:
        log.info("measuring.ended", state=state)
        self._status = replace(self._status, state=state, doing=doing, done=self._status.total)


def candidates(settings: Settings) -> tuple[Candidate, ...]:
    """Return the language models of the manifest, the best first. Blocking for an instant."""
    there = {entry.name for entry in installed(settings.models_dir)}
    manifest = load_manifest()
    return tuple(
        Candidate(name, name.capitalize(), manifest.entry(name).bytes, name in there)
        for name in BY_QUALITY
    )


def _order(there: tuple[Candidate, ...], loaded: str | None) -> list[Candidate]:
    """Return the installed ones: the loaded one first, since it costs nothing, then by size."""
    own = [candidate for candidate in there if candidate.installed]
    return sorted(own, key=lambda candidate: (candidate.profile != loaded, candidate.bytes))


async def _until_idle(engine: LlmEngine) -> None:
    """Wait until nobody asks. Raises ``MeasuringError``."""
    until = time.monotonic() + IDLE_WAIT_S
    while not engine.idle:
        if time.monotonic() > until:
            raise MeasuringError(_BUSY)
        await asyncio.sleep(_POLL_S)


async def _restore(engine: LlmEngine, profile: str, opening: tuple[ChatTurn, ...]) -> None:
    """Bring back the model that was loaded, behind whoever asks meanwhile."""
    if engine.loaded_profile == profile or engine.state != "ready":
        return
    try:
        await asyncio.shield(engine.warm(opening, profile))
    except (EngineError, ModelError) as exc:  # the next question loads it, or is told why not
        log.warning("measuring.not_restored", profile=profile, error=str(exc))
