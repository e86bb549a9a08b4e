"""The file that a document was read from is kept with it, once, and goes with it."""

from __future__ import annotations

import hashlib
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import packed
import pytest

import core.allotment
import ingest.originals
from core.settings import Settings
from ingest.catalog import Catalog
from ingest.digests import DOCUMENT_COLUMNS, DocumentRow, digest
from ingest.folders import Folder, sync_folder
from ingest.ingestor import Ingestor
from ingest.loaders import as_read, of_content
from ingest.originals import NOT_KEPT, Originals
from ingest.parse_process import ParserProcess
from ingest.store import Fingerprint, Store
from ingest.vectors import DIMENSION, Encoded

ROOT = Path(__file__).parents[2]
ANNA, BERT = "user:anna", "user:bert"
WORDS = b"The zanzibarite sails are mended in spring.\n"


class Embedder:
    """What makes vectors is not what is tried here."""

    def encode(self, texts: Sequence[str]) -> Encoded:
        return Encoded(np.ones((len(texts), DIMENSION), np.float32), [b"" for _ in texts])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


class Desk:
    """A store, and files put into it."""

    def __init__(self, folder: Path, store: Store, parser: ParserProcess) -> None:
        self.folder, self.store = folder, store
        settings = Settings(data_dir=folder / "data")
        self.ingestor = Ingestor(store, Embedder(), parser, settings)  # type: ignore[arg-type]
        self.originals = Originals(store.folder)
        self.catalog = Catalog(store)

    async def take(self, name: str, data: bytes, owner: str = ANNA) -> str | None:
        path = self.folder / "upload.tmp"
        path.write_bytes(data)
        report = await self.ingestor.ingest_file(path, name=name, owner=owner)
        path.unlink()
        return report.reason

    def kept(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.originals.kept()}

    def holding(self, words: bytes) -> list[Path]:
        """The files of the data folder in which the words stand."""
        files = [path for path in self.store.folder.rglob("*") if path.is_file()]
        return [path for path in files if words in path.read_bytes()]


@asynccontextmanager
async def open_desk(tmp_path: Path) -> AsyncIterator[Desk]:
    (tmp_path / "data").mkdir(exist_ok=True)
    store = Store(tmp_path / "data", Fingerprint("e", DIMENSION, "s"))
    parser = ParserProcess(Settings())
    try:
        yield Desk(tmp_path, store, parser)
    finally:
        await parser.aclose()
        store.close()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def test_an_upload_is_kept_by_its_hash_private_and_once(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.take("sails.txt", WORDS)
        await desk.take("again.txt", WORDS)
        await desk.take("sails.txt", WORDS, BERT)
        assert desk.kept() == {sha256(WORDS): WORDS}
        path = desk.originals.path(sha256(WORDS))
        assert path.parent.name == sha256(WORDS)[:2]
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(desk.originals.folder.stat().st_mode) == 0o700
        assert not list((desk.originals.folder / "arriving").iterdir())


async def test_deleted_is_deleted_and_what_another_document_is_of_stays(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.take("sails.txt", WORDS)
        await desk.take("sails.txt", WORDS, BERT)
        mine = desk.store.find_document(ANNA, "sails.txt")
        assert mine is not None
        assert await desk.catalog.delete_document(mine.id, ANNA)
        assert desk.kept() == {sha256(WORDS): WORDS}
        await desk.catalog.delete_owner(BERT)
        assert desk.kept() == {}
    assert not [path for path in desk.holding(b"zanzibarite") if "originals" in path.parts]


async def test_what_is_replaced_goes_with_the_document_that_named_it(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.take("sails.txt", WORDS)
        await desk.take("sails.txt", b"Of linen, not of cotton.\n")
        assert list(desk.kept().values()) == [b"Of linen, not of cotton.\n"]


async def test_what_an_archive_packs_is_kept_with_it_and_goes_with_it(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        archive = packed.zipped({"in/sails.txt": WORDS})
        await desk.take("all.zip", archive)
        assert set(desk.kept()) == {sha256(WORDS), sha256(archive)}
        whole = desk.store.find_document(ANNA, "all.zip")
        assert whole is not None
        await desk.catalog.delete_document(whole.id, ANNA)
        assert desk.kept() == {}


async def test_what_lies_in_a_folder_is_not_copied(tmp_path: Path) -> None:
    shelf = tmp_path / "library"
    shelf.mkdir()
    (shelf / "sails.txt").write_bytes(WORDS)
    (shelf / "all.zip").write_bytes(packed.zipped({"mast.txt": b"The mast is of larch.\n"}))
    async with open_desk(tmp_path) as desk:
        folder = Folder(shelf, "library", is_library=True)
        async for report in sync_folder(desk.store, desk.ingestor, folder):
            assert report.status == "ready", report
        assert list(desk.kept().values()) == [b"The mast is of larch.\n"]
        (shelf / "all.zip").unlink()
        async for _ in sync_folder(desk.store, desk.ingestor, folder):
            pass
        assert desk.kept() == {}


async def test_a_file_that_could_not_be_read_is_kept_to_be_tried_again(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        assert await desk.take("broken.pdf", b"%PDF-1.7\nno more of it")
        assert list(desk.kept().values()) == [b"%PDF-1.7\nno more of it"]
        await desk.catalog.delete_named("broken.pdf", ANNA)
        await desk.catalog.scrub(ANNA)
        assert desk.kept() == {}


async def test_the_same_file_dropped_again_brings_back_an_original_that_was_lost(
    tmp_path: Path,
) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.take("sails.txt", WORDS)
        desk.originals.path(sha256(WORDS)).write_bytes(b"cut")
        await desk.take("sails.txt", WORDS)
        assert desk.kept() == {sha256(WORDS): WORDS}
        desk.originals.path(sha256(WORDS)).unlink()
        await desk.take("sails.txt", WORDS)
        assert desk.kept() == {sha256(WORDS): WORDS}


async def test_without_room_a_document_is_read_and_says_that_its_file_was_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.take("first.txt", WORDS)
        monkeypatch.setattr(
            ingest.originals,
            "may_take",
            lambda amount, *, held, free: core.allotment.may_take(amount, held=held, free=60),
        )
        assert await desk.take("more.txt", b"The mast is of larch wood.\n") == NOT_KEPT
        assert await desk.take("bert.txt", b"The keel is of oak wood.\n", BERT) is None
        assert set(desk.kept().values()) == {WORDS, b"The keel is of oak wood.\n"}


READER = """
import hashlib, signal, sys
from pathlib import Path
from ingest.originals import Originals

data_dir, path = map(Path, sys.argv[1:])
arriving = Originals(data_dir).arriving()
arriving.keep(path, hashlib.sha256(path.read_bytes()).hexdigest(), held=0)
print("kept", flush=True)
signal.pause()
"""


def test_what_another_program_is_reading_stays_until_it_ends_or_dies(tmp_path: Path) -> None:
    file = tmp_path / "sails.txt"
    file.write_bytes(WORDS)
    originals = Originals(tmp_path)
    command = [sys.executable, "-c", READER, str(tmp_path), str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as other:
        assert other.stdout is not None
        try:
            assert other.stdout.readline() == b"kept\n"
            assert originals.collect(set) == 0
            [note] = (originals.folder / "arriving").glob("*.txt")
            note.with_suffix(".part").write_bytes(WORDS)  # as if it were amid a second one
        finally:
            other.kill()
    assert originals.collect(set) == 1
    assert [path for path in originals.folder.rglob("*") if path.is_file()] == [
        originals.folder / "lock"
    ]


def test_a_file_that_changes_while_it_is_copied_is_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "sails.txt"
    file.write_bytes(WORDS)
    arriving = Originals(tmp_path).arriving()
    assert not arriving.keep(file, sha256(b"as it was"), held=0)
    arriving.end(set)
    assert not list(Originals(tmp_path).kept())


def test_the_hash_of_the_bytes_is_had_back_from_what_is_stored() -> None:
    plain = sha256(WORDS)
    for kind in ("pdf", "recording", "zip", "csv"):
        assert of_content(as_read(plain, kind)) == plain


async def test_a_start_removes_what_a_killed_program_has_left(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.take("sails.txt", WORDS)
        left = desk.originals.path("ab" * 32)
        left.parent.mkdir(exist_ok=True)
        left.write_bytes(b"of nobody")
        await desk.catalog.check_behind()
        assert desk.kept() == {sha256(WORDS): WORDS}


async def test_a_document_from_before_is_not_read_again_in_its_folder(tmp_path: Path) -> None:
    """Hash and reader's version were once mixed into one."""
    shelf = tmp_path / "library"
    shelf.mkdir()
    (shelf / "sails.txt").write_bytes(WORDS)
    async with open_desk(tmp_path) as desk:
        folder = Folder(shelf, "library", is_library=True)
        assert [r.status async for r in sync_folder(desk.store, desk.ingestor, folder)] == ["ready"]
        _store_as_before(desk.store, hashlib.sha256(f"{sha256(WORDS)} 2".encode()).hexdigest())
        statuses = [r.status async for r in sync_folder(desk.store, desk.ingestor, folder)]
        assert statuses == ["unchanged"]


async def test_an_upload_from_before_is_read_once_more_so_that_its_file_is_kept(
    tmp_path: Path,
) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.take("sails.txt", WORDS)
        _store_as_before(desk.store, hashlib.sha256(f"{sha256(WORDS)} 2".encode()).hexdigest())
        await desk.catalog.check_behind()
        assert desk.kept() == {}
        await desk.take("sails.txt", WORDS)
        assert desk.kept() == {sha256(WORDS): WORDS}


def _store_as_before(store: Store, mixed: str) -> None:
    with store._database.writing() as db:
        row = DocumentRow(*db.execute(f"SELECT {DOCUMENT_COLUMNS} FROM documents").fetchone())
        row = row._replace(sha256=mixed)
        db.execute("UPDATE documents SET sha256 = ?, digest = ?", (mixed, digest(*row)))
