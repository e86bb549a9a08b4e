"""The store, when the disk or the process fails at any of the things that it writes.

Each operation is tried with every write, sync, cut, rename, removal and new folder failing in
turn, SQLite's own included: refused once, refused from there on, the disk full, killed before it,
killed half way through it. Afterwards all that was acknowledged is there and is found by its
words and its vectors, and nothing is there by half. Here a sample is tried, always the same;
``tests/store_faults.py`` with SAMPLE 0 tries all of them (see ``reports`` below).
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from shims import built_shim
from store_model import FINGERPRINT, contents, passages, put

from core.errors import StoreError
from ingest import database
from ingest.store import DATABASE_NAME, Store

pytestmark = pytest.mark.faults

TESTS = Path(__file__).resolve().parent.parent
SAMPLE = 2
"""Points of each operation and kind of fault; there are five kinds."""
OPERATIONS = (
    *("add", "replace", "delete", "save", "rebuild", "embedder"),
    *("migrate", "backup", "restore", "quarantine"),
)


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built_shim(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="module")
def reports(shim: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What became of each operation; tried in one process, which has loaded the engines once."""
    home, what = str(tmp_path_factory.mktemp("stores")), ",".join(OPERATIONS)
    done = subprocess.run(
        [sys.executable, str(TESTS / "store_faults.py"), home, what, str(SAMPLE), "7"],
        env={**os.environ, "LD_PRELOAD": str(shim), "PYTHONPATH": f"{TESTS.parent}:{TESTS}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {report["operation"]: report for report in found}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_whatever_fails_what_was_acknowledged_is_there(
    operation: str, reports: dict[str, dict[str, Any]]
) -> None:
    report = reports[operation]
    assert report["problems"] == []
    assert report["points"] >= 15, "the shim does not see what is written"
    outcomes = report["outcomes"]
    assert outcomes["kill killed"] == outcomes["torn killed"] == SAMPLE
    assert any(name.endswith("recovered") for name in outcomes), "no fault was noticed"


def test_a_database_that_another_process_has_locked_is_told_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_TIMEOUT_S", 0.3)
    store = Store(tmp_path, FINGERPRINT)
    try:
        put(store, "a", passages("a", 0))
        other = sqlite3.connect(tmp_path / DATABASE_NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="in use by another program"):
            put(store, "b", passages("b", 0))
        assert store.totals() == (1, 3)  # reading goes on
        other.execute("ROLLBACK")
        other.close()
        put(store, "b", passages("b", 0))
    finally:
        store.close()
    assert contents(tmp_path) == {name: passages(name, 0) for name in "ab"}


def test_a_lock_that_is_let_go_in_time_is_waited_for(tmp_path: Path) -> None:
    store = Store(tmp_path, FINGERPRINT)
    other = sqlite3.connect(tmp_path / DATABASE_NAME, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    threading.Timer(0.5, lambda: other.execute("ROLLBACK")).start()
    put(store, "a", passages("a", 0))
    store.close()
    other.close()
    assert contents(tmp_path) == {"a": passages("a", 0)}


def test_a_reader_does_not_keep_a_document_from_being_stored(tmp_path: Path) -> None:
    """The log cannot be folded while an older state is read; what is committed is safe in it."""
    store = Store(tmp_path, FINGERPRINT)
    put(store, "a", passages("a", 0))
    reader = sqlite3.connect(tmp_path / DATABASE_NAME, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT COUNT(*) FROM chunks").fetchone() == (3,)
    put(store, "b", passages("b", 0))
    assert reader.execute("SELECT COUNT(*) FROM chunks").fetchone() == (3,)
    reader.close()
    put(store, "c", passages("c", 0))
    assert (tmp_path / f"{DATABASE_NAME}-wal").stat().st_size == 0, "the log is not folded"
    store.close()
    assert set(contents(tmp_path)) == {"a", "b", "c"}
