"""Tries an operation on a store once for each thing that it writes, which then fails.

``python store_faults.py FOLDER OPERATION,… SAMPLE SEED``, under ``fault_shim.c``. Each try is a
forked child with a copy of the same data folder; what is left behind is compared with what the
child had acknowledged. SAMPLE 0 takes every point. Prints a JSON object a line.
"""

from __future__ import annotations

import asyncio
import ctypes
import hashlib
import json
import os
import random
import shutil
import sqlite3
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from store_model import (
    FINGERPRINT,
    OTHER,
    contents,
    first_schema,
    indexes_of,
    keys_of,
    passages,
    put,
    vector_of,
)

from chains.types import LIBRARY_OWNER
from core.errors import StoreError
from core.settings import Settings
from ingest.backup import make_backup, read_manifest
from ingest.companions import Companion
from ingest.ingestor import Ingestor
from ingest.opening import open_store
from ingest.restore import restore_backup
from ingest.store import DATABASE_NAME, Store
from ingest.swap import quarantine
from ingest.vectors import Encoded
from telemetry.logging import configure_logging

KINDS = {"eio": 1, "full": 2, "kill": 3, "torn": 4, "eio-always": 5}
BEFORE = {name: passages(name, 0) for name in "abc"}
REPLACED = {**BEFORE, "a": passages("a", 1, 4)}
PEOPLE = Companion("people.sqlite", forget=lambda _copy: None, check=lambda _copy: None)

_shim: Any = ctypes.CDLL(os.environ["LD_PRELOAD"])
_shim.fault_arm.argtypes = (ctypes.c_char_p, ctypes.c_long, ctypes.c_int)
_shim.fault_seen.restype = ctypes.c_long


class OtherEmbedder:
    """Stands for another model: what makes vectors is not what is tried here."""

    def encode(self, texts: Sequence[str]) -> Encoded:
        vectors = np.stack([vector_of(text, OTHER) for text in texts])
        return Encoded(vectors, [text.encode() for text in texts])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


def nothing(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody looks at."""


def prepare(folder: Path) -> None:
    """A store with three documents, a saved generation that lacks the third, and a backup."""
    store = Store(folder, FINGERPRINT)
    indexes = indexes_of(store, folder)
    for name, texts in BEFORE.items():
        if name == "c":
            indexes.warm([LIBRARY_OWNER])
            indexes.save()
        put(store, name, texts)
    store.close()


def with_store(act: Callable[[Store], object], fingerprint: Any = FINGERPRINT) -> Callable:
    def run(folder: Path) -> None:
        store = Store(folder, fingerprint)
        try:
            act(store)
        finally:
            store.close()

    return run


def add(folder: Path) -> None:
    with_store(lambda store: put(store, "d", passages("d", 0)))(folder)


def replace(folder: Path) -> None:
    with_store(lambda store: put(store, "a", REPLACED["a"]))(folder)


def delete(folder: Path) -> None:
    def act(store: Store) -> None:
        known = store.find_document(LIBRARY_OWNER, "a")
        if known is not None:  # the commit may have been told as failed
            assert store.delete_document(known.id, LIBRARY_OWNER)

    with_store(act)(folder)


def save(folder: Path) -> None:
    def act(store: Store) -> None:
        indexes = indexes_of(store, folder)
        indexes.warm([LIBRARY_OWNER])
        indexes.save()

    with_store(act)(folder)


def damage_index(folder: Path) -> None:
    prepare(folder)
    path = next((folder / "index").rglob("*.faiss"))
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def change_embedder(folder: Path) -> None:
    def act(store: Store) -> None:
        ingestor = Ingestor(store, OtherEmbedder(), None, Settings())  # type: ignore[arg-type]
        asyncio.run(ingestor.rebuild_outdated())
        indexes = indexes_of(store, folder)
        indexes.warm([LIBRARY_OWNER])
        indexes.save()

    with_store(act, OTHER)(folder)


def write_word(folder: Path, word: str) -> None:
    with closing(sqlite3.connect(folder / PEOPLE.name)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS words(word)")
        connection.execute("DELETE FROM words")
        connection.execute("INSERT INTO words VALUES (?)", (word,))
        connection.commit()


def read_word(folder: Path) -> str:
    with closing(sqlite3.connect(folder / PEOPLE.name)) as connection:
        return str(connection.execute("SELECT word FROM words").fetchone()[0])


def prepare_backup(folder: Path) -> None:
    prepare(folder)
    write_word(folder, "before")
    backup(folder)


def backup(folder: Path) -> None:
    make_backup(folder, folder / "old.xoe", nothing, [PEOPLE])


def prepare_restore(folder: Path) -> None:
    prepare_backup(folder)
    replace(folder)
    write_word(folder, "after")


def restore(folder: Path) -> None:
    restore_backup(folder / "old.xoe", folder, nothing, [PEOPLE])


def check_restore(folder: Path, acknowledged: bool) -> None:
    """Documents and their companion are the old ones, or both are those of the backup."""
    found = (contents(folder), read_word(folder))
    assert found == (BEFORE, "before") or (not acknowledged and found == (REPLACED, "after"))


def prepare_damage(folder: Path) -> None:
    prepare(folder)
    path = folder / DATABASE_NAME
    raw = bytearray(path.read_bytes())
    raw[-3000:] = bytes(3000)
    path.write_bytes(raw)
    (folder / "sha").write_text(hashlib.sha256(raw).hexdigest())


def check_quarantine(folder: Path, acknowledged: bool) -> None:
    """The damaged database is here or in quarantine, to the byte, and once."""
    expected = (folder / "sha").read_text()
    with_store(lambda _store: None)(folder)  # finishes what was begun
    held = [
        path
        for path in folder.rglob(DATABASE_NAME)
        if hashlib.sha256(path.read_bytes()).hexdigest() == expected
    ]
    assert len(held) == 1, held
    assert not acknowledged or "quarantine" in held[0].parts


def states(*allowed: Any, done: Any) -> Callable:
    """Compare with the states before and after; after, once it was acknowledged."""

    def check(folder: Path, acknowledged: bool) -> None:
        found = contents(folder)
        assert found in ([done] if acknowledged else [*allowed, done]), sorted(found)

    return check


def check_embedder(folder: Path, acknowledged: bool) -> None:
    store = open_store(folder, OTHER)
    assert not acknowledged or store.outdated_owners() == []
    store.close()
    change_embedder(folder)
    # They are split anew, so that the passages are others; their words are the same.
    found = {name: keys_of(texts) for name, texts in contents(folder, OTHER).items()}
    assert found == {name: keys_of(texts) for name, texts in BEFORE.items()}


def check_backup(folder: Path, _acknowledged: bool) -> None:
    manifest = read_manifest(folder / "old.xoe", nothing)
    assert (manifest.chunks, list(manifest.others)) == (9, [PEOPLE.name])
    assert contents(folder) == BEFORE
    for left in folder.glob(".old.xoe.*"):  # of a killed one
        shutil.rmtree(left)


_AFTER_ADD = {**BEFORE, "d": passages("d", 0)}
_AFTER_DELETE = {name: texts for name, texts in BEFORE.items() if name != "a"}
_FIRST = {name: passages(name, 0) for name in ("a", "b")}

OPERATIONS: dict[str, tuple[Callable, Callable, Callable]] = {
    "add": (prepare, add, states(BEFORE, done=_AFTER_ADD)),
    "replace": (prepare, replace, states(BEFORE, done=REPLACED)),
    "delete": (prepare, delete, states(BEFORE, done=_AFTER_DELETE)),
    "save": (prepare, save, states(done=BEFORE)),
    "rebuild": (damage_index, save, states(done=BEFORE)),
    "embedder": (prepare, change_embedder, check_embedder),
    "migrate": (first_schema, with_store(lambda _store: None), states(done=_FIRST)),
    "backup": (prepare_backup, backup, check_backup),
    "restore": (prepare_restore, restore, check_restore),
    "quarantine": (prepare_damage, lambda f: quarantine(f, "A test."), check_quarantine),
}


def attempt(folder: Path, act: Callable, at: int, kind: int, after: Callable) -> tuple[int, str]:
    """Run ``act`` in a child; return the points it passed and how it went."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        said = ""
        try:
            _shim.fault_arm(os.fsencode(folder), at, kind)
            try:
                act(folder)
                said = "done"
            except (StoreError, OSError, RuntimeError) as exc:
                said = "refused"
                if isinstance(exc, StoreError) and "Traceback" in str(exc):
                    said = "ugly"
            passed = _shim.fault_seen()
            _shim.fault_arm(b"", 0, 0)
            if said == "refused":
                after(folder, False)  # nothing is lost, and
                act(folder)  # it works again once the disk does
                said = "recovered"
            os.write(write_end, f"{passed} {said}".encode())
        except BaseException:  # noqa: BLE001 - told to the parent
            os.write(write_end, f"0 {traceback.format_exc()}".encode()[:4000])
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        passed, _, said = pipe.read().decode().partition(" ")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return 0, "killed"
    return int(passed or 0), said


def run_all(folder: Path, operation: str, sample: int, seed: int) -> None:
    prepare_, act, check = OPERATIONS[operation]
    base = folder / "base"
    base.mkdir()
    prepare_(base)
    shutil.copytree(base, folder / "count")
    points, said = attempt(folder / "count", act, 0, 0, check)
    assert said == "done", said
    check(folder / "count", True)
    rng = random.Random(seed)
    outcomes: dict[str, int] = {}
    problems: list[str] = []
    for name, kind in KINDS.items():
        chosen = range(1, points + 1)
        if sample and sample < points:
            chosen = sorted(rng.sample(chosen, sample))
        for at in chosen:
            data = folder / "data"
            shutil.rmtree(data, ignore_errors=True)
            shutil.copytree(base, data)
            _passed, said = attempt(data, act, at, kind, check)
            try:
                if said not in ("done", "recovered", "killed"):
                    raise AssertionError(said)
                check(data, said in ("done", "recovered"))
            except Exception:  # noqa: BLE001 - told in the report
                problems.append(f"{operation} {name} {at}: {said}\n{traceback.format_exc()}")
            outcomes[f"{name} {said[:9]}"] = outcomes.get(f"{name} {said[:9]}", 0) + 1
    print(
        json.dumps(
            {
                "operation": operation,
                "points": points,
                "tries": sum(outcomes.values()),
                "outcomes": outcomes,
                "problems": problems,
            }
        ),
        flush=True,
    )


configure_logging("error")
for wanted in sys.argv[2].split(","):
    home = Path(sys.argv[1]) / wanted
    home.mkdir()
    run_all(home, wanted, int(sys.argv[3]), int(sys.argv[4]))
