"""``xoe backup`` and ``xoe restore``: one file, whole or refused; the old data or the new."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sqlite3
import stat
import subprocess
import threading
import zipfile
from pathlib import Path

import pytest
from servers import xoe
from sqlalchemy import select, text
from store_model import FINGERPRINT, contents, first_schema, indexes_of, passages, put

from chains.types import LIBRARY_OWNER
from core.data_folder import DataFolder
from core.errors import BackupError, DiskFullError, StoreDamagedError, StoreError, StoreLockedError
from core.settings import Settings
from ingest import backup
from ingest.backup import MANIFEST_NAME, SEAL_BYTES, make_backup, read_manifest
from ingest.companions import Companion
from ingest.digests import DocumentRow, register
from ingest.digests import digest as row_digest
from ingest.originals import Originals
from ingest.restore import restore_backup
from ingest.schema import SCHEMA_VERSION, version_of
from ingest.store import DATABASE_NAME, Store
from ingest.swap import Hold
from xoe.auth.copies import forget_ways_in
from xoe.db import Database, tables
from xoe.db.schema import check_copy

pytestmark = pytest.mark.integration

WAYS_IN = (tables.logins, tables.invitations, tables.links)
MODEL = {name: passages(name, 0) for name in "abc"}


def tell(_what: str, _done: int, _total: int) -> None:
    """Nobody looks."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
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
def file(data: Path, tmp_path: Path) -> Path:
    make_backup(data, tmp_path / "b.xoe", tell)
    return tmp_path / "b.xoe"


def reseal(file: Path) -> None:
    """Make the hash at the end right again, as somebody who means it would."""
    raw = file.read_bytes()[:-SEAL_BYTES]
    file.write_bytes(raw + hashlib.sha256(raw).hexdigest().encode())


def rewrite(file: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name, raw in members.items():
            archive.writestr(zipfile.ZipInfo(name), raw)
        archive.comment = b"0" * SEAL_BYTES
    reseal(file)


def members(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def change_manifest(file: Path, **fields: object) -> None:
    held = members(file)
    held[MANIFEST_NAME] = json.dumps({**json.loads(held[MANIFEST_NAME]), **fields}).encode()
    rewrite(file, held)


def test_what_was_backed_up_comes_back_and_what_was_there_is_kept(data: Path, file: Path) -> None:
    store = Store(data, FINGERPRINT)
    put(store, "later", passages("later", 0))
    store.close()
    done = restore_backup(file, data, tell)
    assert contents(data) == MODEL
    assert done.replaced is not None
    assert set(contents(done.replaced)) == {*MODEL, "later"}
    assert not list(data.glob("restore.*"))


def test_a_backup_is_private_says_what_it_holds_and_leaves_nothing_beside_it(
    data: Path, file: Path
) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    manifest = read_manifest(file, tell)
    assert (manifest.format, manifest.schema, manifest.others) == (3, SCHEMA_VERSION, {})
    assert (manifest.documents, manifest.chunks) == (3, 9)
    assert manifest.embedders == [FINGERPRINT.embedder]
    assert hashlib.sha256(members(file)[DATABASE_NAME]).hexdigest() == manifest.sha256
    assert sorted(path.name for path in file.parent.iterdir()) == ["b.xoe", "data"]


def test_a_backup_is_one_moment_while_others_write(data: Path, tmp_path: Path) -> None:
    """Each document is in it wholly or not at all, and the writers are not held up."""
    store = Store(data, FINGERPRINT)
    over = threading.Event()
    written: list[str] = []

    def write() -> None:
        number = 0
        while not over.is_set() or number < 5:
            number += 1
            put(store, f"w{number}", passages(f"w{number}", 0))
            written.append(f"w{number}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            make_backup(data, tmp_path / f"{number}.xoe", tell)
    finally:
        over.set()
        writer.join()
    store.close()
    for number in range(3):
        folder = tmp_path / f"restored{number}"
        folder.mkdir()
        restore_backup(tmp_path / f"{number}.xoe", folder, tell)
        found = contents(folder)
        assert set(MODEL) <= set(found)
        # What was committed first is in it when something later is.
        later = [name for name in written if name in found]
        assert later == written[: len(later)]
    assert set(contents(data)) == {*MODEL, *written}


def test_every_changed_byte_and_every_cut_is_refused(data: Path, file: Path) -> None:
    raw = file.read_bytes()
    rng = random.Random(3)
    ends = [*range(40), *range(len(raw) - 200, len(raw))]
    for offset in [*ends, *rng.sample(range(len(raw)), 100)]:
        changed = bytearray(raw)
        changed[offset] ^= 1 << rng.randrange(8)
        file.write_bytes(changed)
        with pytest.raises(BackupError):
            read_manifest(file, tell)
    for size in [*range(60), *rng.sample(range(len(raw)), 40), len(raw) - 1]:
        file.write_bytes(raw[:size])
        with pytest.raises(BackupError):
            restore_backup(file, data, tell)
    assert contents(data) == MODEL
    assert not (data / "replaced").exists()


@pytest.mark.parametrize("name", ["../../evil", "/etc/evil", "index/x", DATABASE_NAME + "-wal"])
def test_a_name_that_no_backup_has_is_refused(data: Path, file: Path, name: str) -> None:
    rewrite(file, {**members(file), name: b"evil"})
    with pytest.raises(BackupError, match="not a backup"):
        restore_backup(file, data, tell)
    assert contents(data) == MODEL
    assert not list(data.parent.parent.glob("evil"))


@pytest.mark.parametrize("fields", [{"format": 4}, {"schema": SCHEMA_VERSION + 1}])
def test_a_newer_backup_is_refused_with_what_to_do(
    data: Path, file: Path, fields: dict[str, int]
) -> None:
    change_manifest(file, **fields, version="9.9")
    with pytest.raises(BackupError, match=r"newer Xoe-NovAi \(9\.9\)"):
        restore_backup(file, data, tell)
    assert contents(data) == MODEL


@pytest.mark.parametrize(
    "fields", [{"bytes": 5}, {"sha256": "0"}, {"format": "x"}, {"more": 1}, {"bytes": 10**15}]
)
def test_a_manifest_that_does_not_fit_is_refused(
    data: Path, file: Path, fields: dict[str, object]
) -> None:
    change_manifest(file, **fields)
    with pytest.raises(BackupError, match="damaged"):
        restore_backup(file, data, tell)
    assert contents(data) == MODEL


def test_a_backup_that_hides_a_damaged_database_is_refused(data: Path, file: Path) -> None:
    """Its hashes are right, its passages are not."""
    held = members(file)
    database = bytearray(held[DATABASE_NAME])
    database[database.index(b"says line 19.xoecollection1") + 2] ^= 1
    held[DATABASE_NAME] = bytes(database)
    digest = hashlib.sha256(database).hexdigest()
    manifest = {**json.loads(held[MANIFEST_NAME]), "sha256": digest}
    rewrite(file, {**held, MANIFEST_NAME: json.dumps(manifest).encode()})
    with pytest.raises(BackupError, match="damaged database"):
        restore_backup(file, data, tell)
    assert contents(data) == MODEL
    assert not list(data.glob("restore.*"))


def test_an_older_schema_is_restored_and_brought_up_to_date(
    data: Path, file: Path, tmp_path: Path
) -> None:
    """A backup of version 1: the same file format round a database without hashes."""
    model = first_schema(tmp_path / "old")
    database = tmp_path / "old" / DATABASE_NAME
    with sqlite3.connect(database) as db:
        register(db)
        db.execute("PRAGMA journal_mode = DELETE")
    db.close()
    raw = database.read_bytes()
    manifest = {
        **json.loads(members(file)[MANIFEST_NAME]),
        "schema": 1,
        "bytes": len(raw),
        "sha256": hashlib.sha256(raw).hexdigest(),
    }
    rewrite(file, {MANIFEST_NAME: json.dumps(manifest).encode(), DATABASE_NAME: raw})
    restore_backup(file, data, tell)
    with sqlite3.connect(data / DATABASE_NAME) as db:
        assert version_of(db) == SCHEMA_VERSION
    db.close()
    assert contents(data) == model


def test_a_damaged_database_is_not_backed_up_and_the_last_backup_stays(
    data: Path, file: Path
) -> None:
    before = file.read_bytes()
    database = data / DATABASE_NAME
    raw = bytearray(database.read_bytes())
    raw[raw.index(b"says line 19.xoecollection1") + 2] ^= 1
    database.write_bytes(raw)
    with pytest.raises(StoreDamagedError):
        make_backup(data, file, tell)
    assert file.read_bytes() == before
    assert sorted(path.name for path in file.parent.iterdir()) == ["b.xoe", "data"]


def keep(data: Path, content: bytes, *, named: str = "a") -> Path:
    """Keep a file as that of the document ``named``."""
    path = data.parent / "came.bin"
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    arriving = Originals(data).arriving()
    assert arriving.keep(path, digest, held=0)
    with sqlite3.connect(data / DATABASE_NAME) as db:
        names = "id, collection_id, source, origin, sha256, bytes, status, reason, kind, title"
        row = db.execute(
            f"SELECT {names}, pages, headings FROM documents WHERE source = ?", (named,)
        ).fetchone()
        changed = DocumentRow(*row[1:])._replace(sha256=f"{digest}+2")
        db.execute(
            "UPDATE documents SET sha256 = ?, digest = ? WHERE id = ?",
            (changed.sha256, row_digest(*changed), row[0]),
        )
    db.close()
    arriving.end(lambda: {digest})
    return Originals(data).path(digest)


def test_kept_files_come_back_and_those_of_no_document_do_not(data: Path, tmp_path: Path) -> None:
    path = keep(data, b"the file as it came")
    orphan = Originals(data).path("ab" * 32)
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"of nobody")
    file = tmp_path / "b.xoe"
    manifest = make_backup(data, file, tell)
    assert (manifest.originals, manifest.originals_bytes) == (1, 19)
    path.unlink()
    later = keep(data, b"came after the backup", named="b")
    done = restore_backup(file, data, tell)
    assert path.read_bytes() == b"the file as it came"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in Originals(data).kept()] == [path.name]
    assert done.replaced is not None
    assert Originals(done.replaced).path(later.name).read_bytes() == b"came after the backup"


def test_a_damaged_original_is_left_out_and_a_changed_one_in_a_backup_is_refused(
    data: Path, tmp_path: Path
) -> None:
    path = keep(data, b"the file as it came")
    file = tmp_path / "b.xoe"
    make_backup(data, file, tell)
    held = members(file)
    rewrite(file, {**held, f"originals/{path.name}": b"the file as it cama"})
    with pytest.raises(BackupError, match="damaged"):
        restore_backup(file, data, tell)
    path.write_bytes(b"the file as it cama")
    assert make_backup(data, tmp_path / "other.xoe", tell).originals == 0


def test_a_backup_from_before_files_were_kept_is_restored_without_any(
    data: Path, tmp_path: Path
) -> None:
    file = tmp_path / "b.xoe"
    make_backup(data, file, tell)
    old = json.loads(members(file)[MANIFEST_NAME])
    for name in ("originals", "originals_bytes"):
        del old[name]
    held = members(file)
    rewrite(file, {**held, MANIFEST_NAME: json.dumps({**old, "format": 2}).encode()})
    keep(data, b"the file as it came")
    restore_backup(file, data, tell)
    assert not list(Originals(data).kept())
    assert contents(data) == MODEL


def test_what_is_no_backup_is_neither_restored_nor_written_over(data: Path, tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear aunt, here is a long letter about the harbour and its lanterns.")
    for act in (make_backup, lambda d, f, t: restore_backup(f, d, t)):
        with pytest.raises(BackupError, match=r"no backup|not a backup"):
            act(data, letter, tell)
    assert letter.read_text().startswith("Dear aunt")
    with pytest.raises(BackupError, match="is a folder"):
        make_backup(data, tmp_path, tell)
    with pytest.raises(BackupError, match="no folder"):
        make_backup(data, tmp_path / "nowhere" / "b.xoe", tell)
    with pytest.raises(BackupError, match="nothing to back up"):
        make_backup(tmp_path, tmp_path / "b.xoe", tell)


def test_nothing_is_restored_while_somebody_uses_the_documents(data: Path, file: Path) -> None:
    store = Store(data, FINGERPRINT)
    with pytest.raises(StoreLockedError):
        restore_backup(file, data, tell)
    store.close()
    restore_backup(file, data, tell)
    Hold.alone(data).release()


def test_no_room_is_told_and_nothing_changes(
    data: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "_SPACE_FACTOR", 10.0**15)
    before = file.read_bytes()
    with pytest.raises(DiskFullError, match="no room for a backup"):
        make_backup(data, file, tell)
    assert file.read_bytes() == before


def test_a_small_disk_that_fills_up_leaves_no_half_backup(data: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("no small disk could be mounted")
    try:
        with pytest.raises(DiskFullError):
            make_backup(data, disk / "b.xoe", tell)
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


async def told_in(data_dir: Path) -> tuple[list[str], list[str], int]:
    """Accounts, chats by name, and how many ways in there are."""
    database = await Database.open(Settings(data_dir=data_dir))
    try:
        async with database.read() as connection:
            names = await connection.scalars(select(tables.users.c.name))
            chats = await connection.scalars(select(tables.threads.c.name))
            ways = [len((await connection.execute(select(table))).all()) for table in WAYS_IN]
            return list(names), list(chats), sum(ways)
    finally:
        await database.aclose()


async def with_people(data_dir: Path) -> None:
    """An account that is logged in, an invitation, and a chat that is shared by link."""
    database = await Database.open(Settings(data_dir=data_dir))
    try:
        async with database.write() as connection:
            for statement in (
                "INSERT INTO users VALUES ('anna', 'Anna', 'operator', 'hash', 1, 0)",
                "INSERT INTO logins VALUES "
                "('l', 'h', 'user:anna', 'operator', 'Anna', 1, 1, 9e9, 0, NULL, '::1')",
                "INSERT INTO invitations VALUES ('i', 'ask', 1, 9e9, 2, 'user:anna', NULL)",
                "INSERT INTO threads (owner, id, name, created_at, used_at) "
                "VALUES ('user:anna', 't', 'Coffee', 1, 1)",
                "INSERT INTO thread_messages (thread, id, turn, role, text, at, remembered) "
                "VALUES (1, 'm', 1, 'question', 'How often is it descaled?', 1, 1)",
                "INSERT INTO thread_links VALUES ('k', 'h', 1, NULL, 'Coffee', '', 1, 9e9)",
            ):
                await connection.execute(text(statement))
    finally:
        await database.aclose()


async def test_chats_and_accounts_come_back_and_no_way_in(data: Path, tmp_path: Path) -> None:
    await with_people(data)
    assert await told_in(data) == (["anna"], ["Coffee"], 3)
    holder = sqlite3.connect(data / "people.sqlite")  # as a running server has it, with its log
    holder.execute("UPDATE users SET shown = 'Anna B.'")
    holder.commit()
    made = xoe("backup", "b.xoe", "--data-dir", "data", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "chats and accounts" in made.stderr
    holder.execute("UPDATE threads SET name = 'Tea'")
    holder.execute("DELETE FROM users")
    holder.commit()
    holder.close()
    back = xoe("restore", "b.xoe", "--data-dir", "data", "--json", cwd=tmp_path)
    assert back.returncode == 0, back.stderr
    assert await told_in(data) == (["anna"], ["Coffee"], 0)
    assert stat.S_IMODE((data / "people.sqlite").stat().st_mode) == 0o600
    replaced = Path(json.loads(back.stdout)["replaced"])
    assert (await told_in(replaced))[:2] == ([], ["Tea"])
    with sqlite3.connect(data / "people.sqlite") as found:
        words = "SELECT count(*) FROM thread_words WHERE thread_words MATCH 'descaled'"
        assert found.execute(words).fetchone() == (1,)
        assert found.execute("SELECT shown FROM users").fetchone() == ("Anna B.",)


async def test_chats_stay_where_the_backup_holds_none_or_they_are_elsewhere(
    data: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await with_people(data)
    change_manifest(file, format=1)
    before = xoe("restore", str(file), "--data-dir", "data", cwd=tmp_path)
    assert before.returncode == 0, before.stderr
    assert (await told_in(data))[0] == ["anna"]
    monkeypatch.setenv("XOE_DATABASE_URL", "postgresql://xoe@db.example/xoe")
    made = xoe("backup", "p.xoe", "--data-dir", "data", cwd=tmp_path)
    assert "pg_dump" in made.stderr
    assert read_manifest(tmp_path / "p.xoe", tell).others == {}


async def test_damaged_or_newer_chats_are_refused(data: Path, tmp_path: Path) -> None:
    await with_people(data)
    people = Companion("people.sqlite", forget_ways_in, check_copy)
    make_backup(data, tmp_path / "b.xoe", tell, [people])
    with sqlite3.connect(data / "people.sqlite") as connection:
        connection.execute("UPDATE schema_version SET version = 99")
    make_backup(data, tmp_path / "newer.xoe", tell, [people])
    with pytest.raises(StoreError, match="newer Xoe-NovAi"):
        restore_backup(tmp_path / "newer.xoe", data, tell, [people])
    assert not list(data.glob("restore.*"))
    path = data / "people.sqlite"
    raw = bytearray(path.read_bytes())
    raw[4096:12288] = b"\xa5" * 8192
    path.write_bytes(raw)
    with pytest.raises(StoreDamagedError, match=r"people\.sqlite is damaged"):
        make_backup(data, tmp_path / "b.xoe", tell, [people])
    assert "people.sqlite" in read_manifest(tmp_path / "b.xoe", tell).others
    held = members(tmp_path / "b.xoe")
    rewrite(tmp_path / "b.xoe", {**held, "../../people.sqlite": b""})
    with pytest.raises(BackupError, match="is not a backup"):
        read_manifest(tmp_path / "b.xoe", tell)


def test_the_commands_tell_what_they_did(data: Path, tmp_path: Path) -> None:
    made = xoe("backup", "b.xoe", "--data-dir", "data", "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert told["manifest"]["chunks"] == 9
    assert told["file_bytes"] == (tmp_path / "b.xoe").stat().st_size
    back = xoe("restore", "b.xoe", "--data-dir", "new", "--json", cwd=tmp_path)
    assert json.loads(back.stdout)["replaced"] is None
    assert contents(tmp_path / "new") == MODEL
    with DataFolder(data):
        refused = xoe("restore", "b.xoe", "--data-dir", "data", cwd=tmp_path)
    assert refused.returncode == 1
    assert "Another server" in refused.stderr
    assert "Traceback" not in refused.stderr
    shutil.copy(tmp_path / "b.xoe", tmp_path / "cut.xoe")
    (tmp_path / "cut.xoe").write_bytes((tmp_path / "b.xoe").read_bytes()[:5000])
    cut = xoe("restore", "cut.xoe", "--data-dir", "data", "--json", cwd=tmp_path)
    assert cut.returncode == 1
    assert "damaged" in json.loads(cut.stdout)["error"]
