"""Hundreds of documents that mean harm: each is refused or read with a reason, and nothing else.

The figures are printed: ``pytest -s tests/faults/test_hostile_corpus.py``.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import structlog
from hostile import FACT

from ingest.guard import supported_paths
from ingest.ingestor import DocumentReport
from ingest.parse_process import ParserProcess
from xoe.settings import Settings
from xoe.workbench import Workbench

pytestmark = pytest.mark.faults

OWNER = "visitor:x"
MB = 1024 * 1024
GROWTH_MB = 50
PARSE_TIMEOUT_S = 4
"""What takes a sound document longer than this on a busy machine is not in the corpus."""


@dataclass
class Listener:
    """Counts who connects to a port of this computer."""

    port: int = 0
    hits: int = 0
    _socket: socket.socket = field(default_factory=socket.socket)

    def __enter__(self) -> Listener:
        self._socket.bind(("127.0.0.1", 0))
        self._socket.listen(64)
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.hits += 1
            connection.close()


@dataclass
class Watch:
    """Looks at this process and its children many times a second.

    ``others``: ids of children that belong to other tests.
    """

    others: frozenset[int]
    peak_mb: float = 0.0
    sockets: set[str] = field(default_factory=set)
    pids: set[int] = field(default_factory=set)
    _done: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        own = psutil.Process()
        while not self._done.wait(0.02):
            self.peak_mb = max(self.peak_mb, own.memory_info().rss / MB)
            for child in own.children():
                if child.pid in self.others:
                    continue
                try:
                    links = list(Path(f"/proc/{child.pid}/fd").iterdir())
                    targets = {int(link.name): str(link.readlink()) for link in links}
                except OSError:  # it has ended
                    continue
                self.pids.add(child.pid)
                # The lowest five are its input and output, which are socket pairs of asyncio's.
                self.sockets |= {
                    target
                    for number, target in targets.items()
                    if number > 4 and "socket" in target
                }


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    with Listener() as listening:
        yield listening


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, listener: Listener) -> Path:
    """The files, made in a process of their own: this one's memory is measured."""
    folder = tmp_path_factory.mktemp("hostile")
    maker = Path(__file__).parent.parent / "hostile.py"
    subprocess.run([sys.executable, str(maker), str(folder), str(listener.port)], check=True)
    return folder


async def test_each_file_is_refused_or_read_with_a_reason_and_the_server_stays_as_it_was(
    corpus: Path, listener: Listener, tmp_path: Path, need_models
) -> None:
    need_models("embedder")
    settings = Settings(
        data_dir=tmp_path / "data",
        library_dir=tmp_path / "library",
        parse_timeout_s=PARSE_TIMEOUT_S,
        voice=False,
    )
    settings.data_dir.mkdir()
    own = psutil.Process()
    others = frozenset(child.pid for child in own.children())
    bench = await asyncio.to_thread(Workbench.build, settings)
    index: list[tuple[str, str, str]] = json.loads((corpus / "index.json").read_text())
    assert len(index) >= 200
    reports: list[tuple[str, str, DocumentReport]] = []
    begun = time.monotonic()
    with structlog.testing.capture_logs() as logs:
        for name in ("warm.html", "warm.txt"):
            # Enough for the embedder to take a whole window: its memory stays with it.
            (tmp_path / name).write_text(f"# A\n\n{FACT}\n" + f"{FACT} " * 2000)
            await bench.ingestor.ingest_file(tmp_path / name, name=name, owner=OWNER)
        before_mb = own.memory_info().rss / MB
        with Watch(others) as watch:
            for stored, name, expected in index:
                # By way of the path that an upload takes: a name of its own, not the file's.
                report = await bench.ingestor.ingest_file(
                    corpus / stored, name=name, owner=f"{OWNER}{stored}"
                )
                reports.append((name, expected, report))
    took_s = time.monotonic() - begun
    growth_mb = own.memory_info().rss / MB - before_mb
    events = Counter(entry["event"] for entry in logs)
    outcomes = Counter(report.status for _, _, report in reports)
    killed = events["parser.timeout"] + events["parser.crashed"]
    print(
        f"\n{len(index)} files in {took_s:.0f} s: {outcomes['ready']} read, "
        f"{outcomes['failed']} refused; the parser was killed or crashed {killed} times "
        f"({events['parser.timeout']} by the clock) and started {events['parser.started']} times; "
        f"the server grew by {growth_mb:.1f} MB (peak {watch.peak_mb - before_mb:.1f} MB); "
        f"{listener.hits} requests to the listener, {len(watch.sockets)} sockets in parsers"
    )
    wrong = []
    patient = ParserProcess(Settings(parse_timeout_s=300))
    for (stored, _, _), (name, expected, report) in zip(index, reports, strict=True):
        status = {"ready": "read", "failed": "refused"}[report.status]
        if report.status == "failed":
            assert report.reason, name
            assert report.reason.endswith("."), (name, report.reason)
            assert "Traceback" not in report.reason
        if expected == "read" and "took longer" in (report.reason or ""):  # a very busy machine
            assert (await patient.parse(corpus / stored, name)).text
        elif expected not in ("either", status):
            wrong.append((name, expected, report))
    await patient.aclose()
    assert not wrong
    assert listener.hits == 0
    assert not watch.sockets
    assert growth_mb < GROWTH_MB
    assert killed >= 1, "something in the corpus must be stopped from outside"
    assert await asyncio.to_thread(bench.store.totals) is not None
    await bench.aclose()
    children = [child.pid for child in own.children() if child.pid in watch.pids]
    assert not children


def test_what_lies_in_a_folder_and_is_no_document_is_passed_over(tmp_path: Path) -> None:
    """Pipes would be waited on for ever, devices read for ever, links lead to others' files."""
    folder = tmp_path / "library"
    folder.mkdir()
    (folder / "real.txt").write_text(FACT)
    os.mkfifo(folder / "pipe.txt")
    (folder / "device.txt").symlink_to("/dev/zero")
    (folder / "passwd.txt").symlink_to("/etc/passwd")
    (folder / "up.txt").symlink_to("../../../../../../etc/hostname")
    (folder / "loop.txt").symlink_to("loop.txt")
    (folder / "round").symlink_to(folder)
    (folder / "proc").symlink_to("/proc/self")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(folder)
        try:
            listening.bind("socket.txt")
        finally:
            os.chdir(here)
        assert supported_paths([folder]) == [folder / "real.txt"]


async def test_a_file_of_a_gigabyte_that_holds_nothing_costs_nothing(
    tmp_path: Path, need_models
) -> None:
    need_models("embedder")
    library = tmp_path / "library"
    library.mkdir()
    with (library / "sparse.txt").open("wb") as file:
        file.truncate(1024 * MB)
    (library / "new\nline.txt").write_text(FACT)
    (library / "\u202efdp.exe.txt").write_text(FACT)
    settings = Settings(data_dir=tmp_path / "data", library_dir=library)
    settings.data_dir.mkdir()
    bench = await asyncio.to_thread(Workbench.build, settings)
    before = psutil.Process().memory_info().rss
    reports = [report async for report in bench.ingestor.sync_folder(library, owner="library")]
    by_name = {
        report.source if hasattr(report, "source") else report.name: report for report in reports
    }
    assert by_name["sparse.txt"].status == "failed"
    assert "50 MB" in (by_name["sparse.txt"].reason or "")
    assert by_name["new line.txt"].status == "ready"
    assert by_name["fdp.exe.txt"].status == "ready"
    assert psutil.Process().memory_info().rss - before < 200 * MB
    await bench.aclose()
