"""A byte that changed on the disk: derived files are rebuilt, damaged truth is told and set aside.

Nothing is ever wrong in silence: after each change either everything is as it was, or the damage
is told. Offsets are a sample that is always the same, the whole header of the database apart.
"""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from store_model import (
    FINGERPRINT,
    OTHER,
    contents,
    first_schema,
    indexes_of,
    passages,
    put,
    read_all,
    vector_of,
)

from chains.types import LIBRARY_OWNER
from core.errors import StoreDamagedError, StoreError
from ingest.opening import open_store
from ingest.schema import SCHEMA_VERSION
from ingest.scope import Scope
from ingest.store import DATABASE_NAME, Store
from ingest.swap import PLAN_NAME, quarantined
from ingest.vectors import pack_vector

pytestmark = pytest.mark.faults

MODEL = {name: passages(name, 0) for name in "abcdef"}
PASSAGE_OF_C = b"of c is old, says line 19.xoecollection1"
"""The end of a passage in the database, not of the document's text."""
HEADER = range(100)
PAGES_SAMPLED = 1
"""Bytes of each page of the database, besides one of its structure."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home") / "data"
    folder.mkdir()
    store = Store(folder, FINGERPRINT)
    for name, texts in MODEL.items():
        put(store, name, texts)
    indexes = indexes_of(store, folder)
    indexes.warm([LIBRARY_OWNER])
    indexes.save()
    store.close()
    return folder


@pytest.fixture
def data(home: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(home, tmp_path / "data"))


def flip(path: Path, offset: int, bit: int = 0) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))


def page_offsets(path: Path) -> list[tuple[int, int]]:
    rng = random.Random(11)
    offsets = [(offset, rng.randrange(8)) for offset in HEADER]
    for page in range(path.stat().st_size // 4096):
        # The beginning of a page is its structure; the rest is content.
        offsets.append((4096 * page + rng.randrange(12), rng.randrange(8)))
        offsets += [
            (4096 * page + rng.randrange(4096), rng.randrange(8)) for _ in range(PAGES_SAMPLED)
        ]
    return offsets


def test_a_changed_byte_in_the_database_is_told_or_does_no_harm(home: Path, tmp_path: Path) -> None:
    told = harmless = 0
    for offset, bit in page_offsets(home / DATABASE_NAME):
        data = tmp_path / "data"
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(home, data)
        flip(data / DATABASE_NAME, offset, bit)
        before = (data / DATABASE_NAME).read_bytes()
        try:
            assert contents(data) == MODEL, f"byte {offset}, bit {bit}: wrong in silence"
            harmless += 1
        except StoreDamagedError as exc:
            told += 1
            assert "xoe restore" in str(exc)
            (aside,) = quarantined(data)
            assert (aside / DATABASE_NAME).read_bytes() == before, "not what was there"
            assert contents(data) == {}  # one can begin anew
        except StoreError as exc:  # the byte is of the schema's number
            told += 1
            assert "newer version" in str(exc)
            assert (data / DATABASE_NAME).read_bytes() == before
    assert told > 50
    assert harmless > 0  # unused space, and what the full-text index is rebuilt from


def test_a_changed_letter_that_sqlite_cannot_see_is_found_when_it_is_read(data: Path) -> None:
    """It is not quoted, nothing is served from then on, and the next start sets it aside."""
    store = Store(data, FINGERPRINT)
    ids = store.document_chunk_ids(store.documents([LIBRARY_OWNER])[2].id)
    raw = (data / DATABASE_NAME).read_bytes()
    flip(data / DATABASE_NAME, raw.index(PASSAGE_OF_C) + 3)
    with sqlite3.connect(data / DATABASE_NAME) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    with pytest.raises(StoreDamagedError, match="passage is not what was stored"):
        store.chunks(ids, [LIBRARY_OWNER])
    with pytest.raises(StoreDamagedError):
        store.documents([LIBRARY_OWNER])
    with pytest.raises(StoreDamagedError):
        put(store, "g", passages("g", 0))
    store.close()
    with pytest.raises(StoreDamagedError, match="quarantine"):
        open_store(data, FINGERPRINT)
    assert contents(data) == {}


def test_a_changed_bit_of_a_vector_is_found_when_the_index_is_built(data: Path) -> None:
    raw = (data / DATABASE_NAME).read_bytes()
    flip(data / DATABASE_NAME, raw.index(pack_vector(vector_of(MODEL["b"][1]))) + 30)
    shutil.rmtree(data / "index")
    store = Store(data, FINGERPRINT)
    with pytest.raises(StoreDamagedError, match="vector is not what was stored"):
        indexes_of(store, data).warm([LIBRARY_OWNER])
    store.close()


def test_a_damaged_full_text_index_is_built_anew(data: Path) -> None:
    with sqlite3.connect(data / DATABASE_NAME) as db:
        (size,) = db.execute("SELECT LENGTH(block) FROM chunk_fts_data WHERE id > 10").fetchone()
        db.execute("UPDATE chunk_fts_data SET block = zeroblob(?) WHERE id > 10", (size,))
    db.close()
    assert contents(data) == MODEL
    assert quarantined(data) == []


def test_a_full_text_index_that_is_found_damaged_by_a_question_is_built_anew(data: Path) -> None:
    store = Store(data, FINGERPRINT)
    with sqlite3.connect(data / DATABASE_NAME) as db:
        db.execute("DELETE FROM chunk_fts_data WHERE id > 10")
    db.close()
    assert len(store.match('"keycv0p1"', Scope.of(LIBRARY_OWNER), 10)) == 1
    assert read_all(store, data) == MODEL
    store.close()


def test_any_changed_byte_of_an_index_is_seen_and_the_index_rebuilt(
    home: Path, tmp_path: Path
) -> None:
    rng = random.Random(5)
    data = Path(shutil.copytree(home, tmp_path / "data"))
    for path in sorted(p for p in (data / "index").rglob("*") if p.is_file()):
        raw = path.read_bytes()
        for offset in rng.sample(range(len(raw)), 20):
            path.write_bytes(raw)
            flip(path, offset, rng.randrange(8))
            assert contents(data) == MODEL, f"{path.name}, byte {offset}"


def test_an_index_of_a_database_begun_anew_is_not_used(data: Path) -> None:
    """The same ids stand for other passages then."""
    for name in (DATABASE_NAME, f"{DATABASE_NAME}-wal", f"{DATABASE_NAME}-shm"):
        (data / name).unlink(missing_ok=True)
    store = Store(data, FINGERPRINT)
    model = {name: passages(name, 5) for name in "zyxwvu"}
    for name, texts in model.items():
        put(store, name, texts)
    store.close()
    assert contents(data) == model


def test_another_collections_index_is_not_used(data: Path) -> None:
    store = Store(data, FINGERPRINT)
    put(store, "other", passages("other", 0), "visitor:ann")
    indexes = indexes_of(store, data)
    indexes.warm(["visitor:ann"])
    indexes.save()
    store.close()
    shutil.rmtree(data / "index" / "collection-1")
    shutil.copytree(data / "index" / "collection-2", data / "index" / "collection-1")
    store = Store(data, FINGERPRINT)
    index = indexes_of(store, data)
    vector = vector_of(passages("other", 0)[0])
    assert index.search(vector, Scope.of(LIBRARY_OWNER), 1)[0][1] < 0.9
    assert len(index.search(vector, Scope.of(LIBRARY_OWNER), 100)) == 18
    store.close()


@pytest.mark.parametrize(
    ("field", "value"),
    [("embedder", "another"), ("dimension", 8), ("count", 7), ("generation", -3), ("sha256", "0")],
)
def test_a_manifest_that_says_something_else_is_not_believed(
    data: Path, field: str, value: object
) -> None:
    path = next((data / "index").rglob("manifest.json"))
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    assert contents(data) == MODEL


@pytest.mark.parametrize("harm", ["gone", "a file", "folders"])
def test_an_index_folder_that_cannot_be_read_is_done_without(data: Path, harm: str) -> None:
    folder = data / "index" / "collection-1"
    if harm == "folders":  # where files should be: reading them is an OSError, for root too
        for path in list(folder.iterdir()):
            path.unlink()
            path.mkdir()
    else:
        shutil.rmtree(folder)
    if harm == "a file":
        folder.write_bytes(b"")
    assert contents(data) == MODEL


def test_an_embedder_that_changed_does_not_search_the_old_vectors(data: Path) -> None:
    store = Store(data, OTHER)
    assert indexes_of(store, data).search(vector_of("x", OTHER), Scope.of(LIBRARY_OWNER), 5) == []
    assert store.outdated_owners() == [LIBRARY_OWNER]
    store.close()
    assert contents(data) == MODEL


def test_a_log_that_a_kill_left_behind_holds_nothing_that_is_needed(data: Path) -> None:
    """SQLite drops without a word what follows a changed byte in it."""
    store = Store(data, FINGERPRINT)
    put(store, "g", passages("g", 0))
    killed = data.parent / "killed"
    shutil.copytree(data, killed)  # what a kill leaves: the files as they are now
    store.close()
    (killed / f"{DATABASE_NAME}-wal").write_bytes(b"")
    assert contents(killed) == {**MODEL, "g": passages("g", 0)}


def test_a_database_in_use_is_not_moved_away(data: Path) -> None:
    """It is told, and set aside by the next start."""
    other = Store(data, FINGERPRINT)
    raw = (data / DATABASE_NAME).read_bytes()
    flip(data / DATABASE_NAME, raw.index(PASSAGE_OF_C) + 3)
    with pytest.raises(StoreDamagedError, match="left as it is"):
        open_store(data, FINGERPRINT)
    assert quarantined(data) == []
    other.close()
    with pytest.raises(StoreDamagedError, match="quarantine"):
        open_store(data, FINGERPRINT)


def test_a_suspicion_that_is_unfounded_goes_away(data: Path) -> None:
    note = data / f"{DATABASE_NAME}.suspect"
    note.write_text("An error that did not come from the disk.\n")
    assert contents(data) == MODEL
    assert not note.exists()


def test_an_older_schema_is_brought_up_to_date_with_its_hashes(tmp_path: Path) -> None:
    model = first_schema(tmp_path / "data")
    assert contents(tmp_path / "data") == model
    with sqlite3.connect(tmp_path / "data" / DATABASE_NAME) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        zeros = "SELECT COUNT(*) FROM chunks WHERE digest = 0 OR vector_digest = 0"
        assert db.execute(zeros).fetchone() == (0,)
    db.close()


def test_a_changed_schema_is_damage(data: Path) -> None:
    with sqlite3.connect(data / DATABASE_NAME) as db:
        db.execute("CREATE TABLE more (id INTEGER)")
    db.close()
    with pytest.raises(StoreDamagedError, match="schema"):
        Store(data, FINGERPRINT)


def test_a_plan_that_is_damaged_is_told(data: Path) -> None:
    (data / PLAN_NAME).write_text('{"aside": "../../etc", "incoming": null, "reason": ""}')
    with pytest.raises(StoreError, match="cannot be understood"):
        Store(data, FINGERPRINT)
    (data / PLAN_NAME).unlink()
    assert contents(data) == MODEL


def test_the_index_holds_each_vector_once_after_a_failed_catching_up(data: Path) -> None:
    store = Store(data, FINGERPRINT)
    indexes = indexes_of(store, data)
    indexes.warm([LIBRARY_OWNER])
    put(store, "g", passages("g", 0))
    real, store.vectors = store.vectors, None  # type: ignore[assignment, method-assign]
    with pytest.raises(TypeError):
        indexes.warm([LIBRARY_OWNER])
    store.vectors = real  # type: ignore[method-assign]
    found = [
        one for one, _ in indexes.search(np.ones(384, np.float32), Scope.of(LIBRARY_OWNER), 100)
    ]
    assert len(found) == len(set(found)) == 21
    store.close()
