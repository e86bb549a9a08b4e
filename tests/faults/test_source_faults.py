"""A loader that hangs, crashes, swells, never ends or lies costs its own source alone."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import hostile_loaders
import psutil
import pytest

from core.contained import contained_environment
from core.errors import SourceError
from core.settings import Settings
from core.source_settings import SourceSettings
from ingest import source_process
from ingest.source_sync import sync_source
from ingest.sources import DocumentReport
from xoe.workbench import Workbench

pytestmark = pytest.mark.faults
OWNER = "library"
ROOT = Path(__file__).resolve().parent.parent.parent
FIRST = {"hostile/pier.md", "hostile/crane.md"}


@pytest.fixture
async def bench(
    need_models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Workbench]:
    """Give a real store, embedder and parser; a source's process has the hostile loader too."""

    async def started(_: str) -> Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, hostile_loaders.__file__),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env=contained_environment() | {"PYTHONPATH": str(ROOT)},
            process_group=0,
        )

    need_models("embedder")
    monkeypatch.setattr(source_process, "start_contained", started)
    made = await asyncio.to_thread(
        Workbench.build, Settings(data_dir=tmp_path / "data", voice=False)
    )
    yield made
    await made.aclose()


class Run:
    """One run of the hostile loader: its reports, and why it was not read to its end."""

    def __init__(self, bench: Workbench, data_dir: Path, **arguments: Any) -> None:
        self.reports: list[DocumentReport] = []
        self.error: SourceError | None = None
        self._source = SourceSettings(
            name="hostile", loader=f"{hostile_loaders.MODULE}.HostileLoader", arguments=arguments
        )
        self._bench, self._data_dir = bench, data_dir

    async def __call__(self) -> Run:
        found = sync_source(
            self._bench.store,
            self._bench.ingestor,
            self._source,
            owner=OWNER,
            data_dir=self._data_dir,
            max_mb=50,
        )
        try:
            async for report in found:
                self.reports.append(report)
        except SourceError as exc:
            self.error = exc
        assert list((self._data_dir / "unpacking").iterdir()) == []
        return self

    @property
    def problem(self) -> str:
        assert self.error is not None
        return str(self.error)

    def names(self) -> set[str]:
        return {one.name for one in self._bench.store.documents([OWNER])}


@pytest.fixture
def run(bench: Workbench, tmp_path: Path) -> Any:
    """Give a way to run the loader with a harm."""
    return lambda harm, **more: Run(bench, tmp_path / "data", harm=harm, **more)()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("crash", "ended by itself with code 7"),
        ("exit", r"failed \(SystemExit\)"),
        ("raise", r"failed \(RuntimeError\)"),
        ("swell", r"failed \(MemoryError\)"),
        ("no_document", r"failed \(TypeError\)"),
    ],
)
async def test_what_a_failing_loader_gave_is_there_and_nothing_is_removed(
    run: Any, harm: str, said: str
) -> None:
    before = await run("babble")
    assert before.error is None
    assert before.names() == FIRST | {"hostile/buoy.md"}
    failed = await run(harm)
    with pytest.raises(SourceError, match=f"after 2 documents: .*{said}.*earlier documents stay"):
        raise failed.error
    assert "hunter2" not in failed.problem
    assert failed.names() == FIRST | {"hostile/buoy.md"}


async def test_a_loader_that_hangs_is_ended_with_all_that_it_started(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_process, "STALL_S", 5.0)  # importing LangChain comes first
    mark = tmp_path / "pids"
    hung = await run("hang", mark=str(mark))
    assert "gave nothing for 5 s" in hung.problem
    assert hung.names() == FIRST
    await ended([int(pid) for pid in mark.read_text().split()])


async def test_a_run_that_is_cancelled_leaves_no_process(run: Any, tmp_path: Path) -> None:
    mark = tmp_path / "pids"
    task = asyncio.create_task(run("hang", mark=str(mark)))
    while not mark.exists() or not mark.read_text():
        await asyncio.sleep(0.05)
    pids = [int(pid) for pid in mark.read_text().split()]
    assert all(map(is_running, pids))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ended(pids)


async def test_endless_documents_end_at_the_limit(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_process, "MAX_DOCUMENTS", 40)
    endless = await run("endless")
    assert "more than 40 documents" in endless.problem
    assert len(endless.names()) == 40
    monkeypatch.setattr(source_process, "MAX_BYTES", 200)
    assert "after" in (await run("endless")).problem
    assert len(endless.names()) == 40


async def test_a_document_of_100_mb_is_refused_alone(run: Any) -> None:
    large = await run("large")
    assert large.error is None
    status = {one.name: (one.status, one.reason) for one in large.reports}
    assert status.pop("hostile/large.txt") == (
        "failed",
        "It is larger than 50 MB, the limit for one document; split it and try again.",
    )
    assert {name: one for name, (one, _) in status.items()} == dict.fromkeys(FIRST, "ready")


async def test_a_loader_that_gives_nothing_removes_nothing(run: Any) -> None:
    await run("babble")
    empty = await run("nothing")
    assert "gave no documents" in empty.problem
    assert empty.names() == FIRST | {"hostile/buoy.md"}


async def test_names_are_safe_and_differ_and_stay(run: Any) -> None:
    odd = await run("odd")
    assert odd.error is None
    assert {one.status for one in odd.reports} == {"ready"}
    names = odd.names()
    assert len(names) == len(odd.reports) == 2 + 22 + 4
    assert {"hostile/etc/passwd", "hostile/etc/shadow", "hostile/host/a_b=c#d"} <= names
    assert {"hostile/17", "hostile/same", "hostile/same (2)", "hostile/row 1"} <= names
    assert {"hostile/report.pdf.txt", "hostile/book.pdf page 2"} <= names
    for name in names:
        assert ".." not in name.split("/")
        assert name.isprintable()
        assert not name.startswith("/")
    again = await run("odd")
    assert {one.status for one in again.reports} == {"unchanged"}
    assert again.names() == names


@pytest.mark.parametrize("name", ["System", "Abstract", "Missing"])
async def test_what_is_no_loader_of_the_package_is_not_made(
    bench: Workbench, tmp_path: Path, name: str
) -> None:
    kind = f"{hostile_loaders.MODULE}.{name}"
    source = SourceSettings(name="x", loader=kind)
    reports = sync_source(
        bench.store, bench.ingestor, source, owner=OWNER, data_dir=tmp_path / "data", max_mb=50
    )
    with pytest.raises(SourceError, match="loader"):
        _ = [one async for one in reports]


async def ended(pids: list[int]) -> None:
    """Wait until processes that were killed have got round to it."""
    async with asyncio.timeout(30):
        while any(map(is_running, pids)):
            await asyncio.sleep(0.05)


def is_running(pid: int) -> bool:
    """Tell whether a process is there and has not ended."""
    try:
        os.kill(pid, 0)
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
