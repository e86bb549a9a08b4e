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
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from hostile import FACT

from core.settings import Settings
from ingest.folders import Folder, sync_folder
from ingest.guard import supported_paths
from ingest.parse_process import ParserProcess
from xoe.workbench import Workbench

pytestmark = pytest.mark.faults

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
    index: list[tuple[str, str, str]] = json.loads((corpus / "index.json").read_text())
    assert len(index) >= 200
    taker = Path(__file__).parent.parent / "hostile_taker.py"
    ran = subprocess.run(
        [sys.executable, str(taker), str(corpus), str(tmp_path / "data"), str(PARSE_TIMEOUT_S)],
        stdout=subprocess.PIPE,
        check=True,
    )
    told = json.loads(ran.stdout.splitlines()[-1])
    reports: list[tuple[str, str | None]] = told["reports"]
    outcomes = Counter(status for status, _ in reports)
    events = Counter(told["events"])
    killed = events["parser.timeout"] + events["parser.crashed"]
    print(
        f"\n{len(index)} files in {told['took_s']:.0f} s: {outcomes['ready']} read, "
        f"{outcomes['failed']} refused; the parser was killed or crashed {killed} times "
        f"({events['parser.timeout']} by the clock) and started {events['parser.started']} times; "
        f"the server grew by {told['growth_mb']:.1f} MB (peak {told['peak_mb']:.1f} MB); "
        f"{listener.hits} requests to the listener, {len(told['sockets'])} sockets in parsers"
    )
    wrong = []
    patient = ParserProcess(Settings(parse_timeout_s=300))
    for (stored, name, expected), (outcome, reason) in zip(index, reports, strict=True):
        status = {"ready": "read", "failed": "refused"}[outcome]
        if outcome == "failed":
            assert reason, name
            assert reason.endswith("."), (name, reason)
            assert "Traceback" not in reason
        if expected == "read" and "took longer" in (reason or ""):  # a very busy machine
            assert (await patient.parse(corpus / stored, name)).text
        elif expected not in ("either", status):
            wrong.append((name, expected, outcome, reason))
    await patient.aclose()
    assert not wrong
    assert listener.hits == 0
    assert not told["sockets"]
    assert told["growth_mb"] < GROWTH_MB
    assert killed >= 1, "something in the corpus must be stopped from outside"
    assert told["documents"] >= outcomes["ready"]
    assert not told["children_left"]


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
    reports = [
        report
        async for report in sync_folder(
            bench.store, bench.ingestor, Folder(library, "library", is_library=True)
        )
    ]
    by_name = {
        report.source if hasattr(report, "source") else report.name: report for report in reports
    }
    assert by_name["sparse.txt"].status == "failed"
    assert "50 MB" in (by_name["sparse.txt"].reason or "")
    assert by_name["new line.txt"].status == "ready"
    assert by_name["fdp.exe.txt"].status == "ready"
    assert psutil.Process().memory_info().rss - before < 200 * MB
    await bench.aclose()
