"""``xoe ingest``: files and folders into the shared library."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from xoe.cli.common import AsJson, DataDir, errors, fail, print_json, reported, settings_for

if TYPE_CHECKING:
    from core.settings import Settings
    from core.source_settings import SourceSettings
    from ingest.ingestor import DocumentReport, IngestProgress, SourceFile
    from ingest.sources import ProgressSink
    from ingest.store import Store
    from xoe.workbench import Workbench


def ingest_command(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            help="Files, folders, globs, or addresses of web pages.", show_default=False
        ),
    ] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option("--source", help="A source of the settings file; may be given again."),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Take documents into the shared library; what is there unchanged is not read again.

    Of a folder that is given again, documents whose files are gone are removed, and of a source
    those that it does not give any more.
    A server that is running on the same data folder finds them at the next question.
    """
    with reported(as_json):
        if not paths and not sources:
            fail("Name files, folders or globs, or a source with --source.", as_json)
        settings = settings_for(data_dir, quiet=True)
        given = _named_sources(settings, sources or [])
        summary = asyncio.run(_ingest(settings, paths or [], given, show=not as_json))
        if as_json:
            print_json(summary)
        if summary["failed"]:
            raise typer.Exit(1)


async def _ingest(
    settings: Settings, paths: Sequence[str], given: Sequence[SourceSettings], *, show: bool
) -> dict[str, Any]:
    from chains.types import LIBRARY_OWNER
    from ingest.web_pages import ingest_pages, is_address
    from xoe.workbench import open_workbench

    reports: list[DocumentReport] = []
    begun = time.perf_counter()
    async with open_workbench(settings) as bench:
        await bench.ingestor.rebuild_outdated()
        addresses = [path for path in paths if is_address(path)]
        paths = [path for path in paths if not is_address(path)]
        sources, problems = _sources(paths, settings, bench.store)
        with _progress(None if given else len(sources) + len(addresses), show) as progress:
            for name, reason in problems:
                reports.append(_failed(name, reason))
                progress.tell(reports[-1])
            async for report in bench.ingestor.ingest_many(
                sources, owner=LIBRARY_OWNER, on_progress=progress.stage
            ):
                reports.append(report)
                progress.tell(report)
            if addresses:
                async for report in ingest_pages(
                    addresses,
                    settings,
                    bench.store,
                    bench.ingestor,
                    owner=LIBRARY_OWNER,
                    on_progress=progress.stage,
                ):
                    reports.append(report)
                    progress.tell(report)
            for report in await _gone(paths, settings, bench.store):
                reports.append(report)
                progress.tell(report)
            for one in given:
                async for report in _read_source(settings, bench, one, progress.stage):
                    reports.append(report)
                    progress.tell(report)
    summary = _summary(reports, time.perf_counter() - begun)
    others = _passed_over(paths)
    if others and show:
        kinds = ", ".join(f"{ending} ({count})" for ending, count in sorted(others.items()))
        errors.print(f"Passed over, as it cannot be read: {kinds}.", markup=False)
    return {**summary, "passed_over": dict(others)}


def _named_sources(settings: Settings, names: Sequence[str]) -> list[SourceSettings]:
    """Return the sources of the settings file. Raises ``SettingsError`` for an unknown one."""
    from core.errors import SettingsError

    known = {source.name: source for source in settings.sources}
    if missing := [name for name in names if name not in known]:
        there = ", ".join(known) or "none"
        raise SettingsError(f"There is no source {missing[0]} in the settings file ({there}).")
    return [known[name] for name in dict.fromkeys(names)]


async def _read_source(
    settings: Settings, bench: Workbench, source: SourceSettings, on_progress: ProgressSink
) -> AsyncIterator[DocumentReport]:
    """Run a source; where it fails, the last report tells why, with what its loader said."""
    from chains.types import LIBRARY_OWNER
    from core.errors import SourceError
    from ingest.source_sync import sync_source

    try:
        async for report in sync_source(
            bench.store,
            bench.ingestor,
            source,
            owner=LIBRARY_OWNER,
            data_dir=settings.data_dir,
            max_mb=settings.upload_max_mb,
            on_progress=on_progress,
        ):
            yield report
    except SourceError as exc:
        said = f" It said: {exc.detail}" if exc.detail and exc.detail not in str(exc) else ""
        yield _failed(source.name, f"{exc}{said}")


def _summary(reports: Sequence[DocumentReport], seconds: float) -> dict[str, Any]:
    count = Counter(report.status for report in reports)
    passages = sum(report.passages for report in reports if report.status == "ready")
    return {
        "files": len(reports),
        "ready": count["ready"],
        "unchanged": count["unchanged"],
        "failed": count["failed"],
        "removed": count["removed"],
        "cancelled": count["cancelled"],
        "passages": passages,
        "seconds": round(seconds, 3),
        "passages_per_second": round(passages / seconds, 2) if seconds else 0.0,
        "documents": [asdict(report) for report in reports],
    }


def _sources(
    paths: Sequence[str], settings: Settings, store: Store
) -> tuple[list[SourceFile], list[tuple[str, str]]]:
    """Return the files to ingest under their documents' names, and what cannot be found."""
    from chains.types import LIBRARY_OWNER
    from core.errors import DocumentError
    from ingest.folders import Folder, named_source
    from ingest.guard import supported_paths

    library = Folder(settings.library_dir.resolve(), LIBRARY_OWNER, is_library=True)
    sources: dict[Path, SourceFile] = {}
    names: set[str] = set()
    problems: list[tuple[str, str]] = []
    for given in paths:
        try:
            found = supported_paths([given])
        except DocumentError as exc:
            problems.append((given, str(exc)))
            continue
        root = Path(given).resolve()
        for path in (one.resolve() for one in found):
            if path in sources:
                continue
            if path.is_relative_to(library.path):
                source = library.source(path, store, names)
            else:
                shown = path.relative_to(root.parent if path.is_relative_to(root) else path.parent)
                source = named_source(path, shown, store, LIBRARY_OWNER, names)
            sources[path] = source
            names.add(source.name)
    return list(sources.values()), problems


async def _gone(paths: Sequence[str], settings: Settings, store: Store) -> list[DocumentReport]:
    """Remove the documents whose files are gone from the folders that were given."""
    from chains.types import LIBRARY_OWNER
    from core.errors import DocumentError
    from ingest.folders import Folder, remove_vanished

    reports = []
    for path in await asyncio.to_thread(_folders, paths):
        if path.is_relative_to(settings.library_dir):
            continue  # the server keeps it in step
        try:
            reports += [one async for one in remove_vanished(store, Folder(path, LIBRARY_OWNER))]
        except DocumentError as exc:
            reports.append(_failed(str(path), str(exc)))
    return reports


def _folders(paths: Sequence[str]) -> list[Path]:
    return [Path(given).resolve() for given in paths if Path(given).is_dir()]


def _passed_over(paths: Sequence[str]) -> Counter[str]:
    """Count the files of other kinds in the folders that were given, by their endings."""
    from core.errors import DocumentError
    from ingest.guard import passed_over

    found: Counter[str] = Counter()
    for given in filter(Path.is_dir, map(Path, paths)):
        try:
            found += passed_over(given)
        except DocumentError:  # a folder that may not be read has failed already
            continue
    return found


def _failed(name: str, reason: str) -> DocumentReport:
    from ingest.ingestor import DocumentReport

    return DocumentReport(name, "failed", 0, reason=reason)


class _Bar:
    """Files done, passages, rate and time left on a terminal; failures as lines anywhere.

    While a recording is transcribed or a scan read it tells how far that is.
    """

    def __init__(self, progress: Progress, total: int | None) -> None:
        self._progress = progress
        self._begun = time.monotonic()
        self._passages = 0
        self._task = progress.add_task("reading", total=total, passages=0, rate=0.0)

    def stage(self, source: SourceFile, progress: IngestProgress) -> None:
        from ingest.recordings import clock

        description = f"{progress.stage} {source.name[-40:]}"
        if progress.stage == "listening":
            heard = clock(progress.done)
            whole = f" of {clock(progress.total)}" if progress.total > progress.done else ""
            description += f", {heard}{whole} heard"
        elif progress.stage == "reading" and progress.total > 1:
            description += f", {progress.done} of {progress.total} pages"
        self._progress.update(self._task, description=description)

    def tell(self, report: DocumentReport) -> None:
        if report.status == "ready":
            self._passages += report.passages
        elapsed = max(time.monotonic() - self._begun, 1e-6)
        self._progress.update(
            self._task, advance=1, passages=self._passages, rate=self._passages / elapsed
        )
        if report.status == "removed":
            self._progress.console.print(f"- {report.name}: it is gone", markup=False)
        if report.status == "cancelled":
            self._progress.console.print(f"- {report.name}: it was cancelled", markup=False)
        if report.status == "failed":
            self._progress.console.print(f"✗ {report.name}: {report.reason}", markup=False)


@contextmanager
def _progress(total: int | None, show: bool) -> Iterator[_Bar]:
    console = errors if show else Console(stderr=True, quiet=True)
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("files · {task.fields[passages]} passages · {task.fields[rate]:.1f}/s"),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        bar = _Bar(progress, total)
        yield bar
    if show:
        console.print(f"{bar._passages} new passages.")
