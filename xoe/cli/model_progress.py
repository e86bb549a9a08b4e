"""How a person sees a pull get on: bars on a terminal, a line now and then anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from models.advice import megabytes
from models.fetching import ProgressSink, Stage
from models.manifest import ModelEntry, ModelFile

_LINE_EVERY_S = 5.0

_WORDS: dict[Stage, str] = {
    "waiting": "waits for another pull",
    "fetching": "fetching",
    "checking": "checking",
}


@contextmanager
def show_progress(console: Console | None = None) -> Iterator[ProgressSink]:
    """Show the progress of ``models.provision.pull`` or ``verify`` on stderr."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        yield _Bars(progress)


class _Bars:
    """One bar for each file; it starts anew when fetching gives way to checking."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._task = TaskID(0)
        self._label = ""
        self._stage: Stage | None = None

    def begin(self, entry: ModelEntry, file: ModelFile) -> None:
        self._label = _label(entry, file)
        self._stage = None
        key = (entry.name, file.path)
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(self._label, total=file.bytes)
        self._task = self._tasks[key]

    def update(self, done_bytes: int, stage: Stage) -> None:
        if stage == self._stage:
            self._progress.update(self._task, completed=done_bytes)
            return
        # A new stage begins where it begins: what was there before is no part of its rate.
        self._stage = stage
        self._progress.reset(
            self._task, completed=done_bytes, description=f"{self._label} {_WORDS[stage]}"
        )

    def end(self) -> None:
        self._progress.update(self._task, description=self._label)


class _Lines:
    """A line when fetching begins and every few seconds after that."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._label = ""
        self._total_bytes = 0
        self._stage: Stage | None = None
        self._stage_at = self._shown_at = 0.0
        self._stage_bytes = 0

    def begin(self, entry: ModelEntry, file: ModelFile) -> None:
        self._label = _label(entry, file)
        self._total_bytes = file.bytes
        self._stage = None

    def update(self, done_bytes: int, stage: Stage) -> None:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._stage_at, self._stage_bytes = stage, now, done_bytes
            if stage == "checking":  # over in a moment, most of the time
                self._shown_at = now
                return
        elif now - self._shown_at < _LINE_EVERY_S:
            return
        self._shown_at = now
        line = f"{self._label} {_WORDS[stage]}"
        if stage != "waiting":
            line += f": {megabytes(done_bytes)} of {megabytes(self._total_bytes)}"
        rate = (done_bytes - self._stage_bytes) / max(now - self._stage_at, 1e-3)
        if rate > 0:
            left_s = (self._total_bytes - done_bytes) / rate
            line += f", {megabytes(int(rate))}/s, {left_s:.0f} s left"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def end(self) -> None:
        """Nothing is left to say."""


def _label(entry: ModelEntry, file: ModelFile) -> str:
    return f"{entry.name}/{file.path}"
