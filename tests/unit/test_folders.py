"""Documents follow their folders: changed, renamed, moved, deleted, copied; nothing twice."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from core.errors import DocumentError
from core.settings import Settings
from ingest.folders import Folder, changes, remove_vanished, sync_folder
from ingest.ingestor import Ingestor
from ingest.loaders import LoadedDocument, ParseLimits, load_document
from ingest.store import Fingerprint, Store
from ingest.vectors import DIMENSION, Encoded

OWNER = "library"


class Embedder:
    """Counts what it is asked for; each text has a vector of its own."""

    def __init__(self) -> None:
        self.embedded: list[str] = []

    def encode(self, texts: Sequence[str]) -> Encoded:
        self.embedded += texts
        vectors = np.zeros((len(texts), DIMENSION), np.float32)
        vectors[:, 0] = [len(self.embedded) for _ in texts]
        return Encoded(vectors, [b"t" for _ in texts])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


class InProcess:
    """Reads where it stands: what confines the parser's process is not tried here."""

    async def parse(self, path: Path, name: str, *_: object) -> LoadedDocument:
        return load_document(path, name=name, limits=ParseLimits())


class Shelf:
    """A folder and the documents that follow it."""

    def __init__(self, base: Path, *, is_library: bool = True) -> None:
        self.path = base / "papers"
        self.path.mkdir()
        self.folder = Folder(self.path, OWNER, is_library=is_library)
        self.embedder = Embedder()
        self.store = Store(base, Fingerprint("e", DIMENSION, "s"))
        self.ingestor = Ingestor(
            self.store,
            self.embedder,  # type: ignore[arg-type]
            InProcess(),  # type: ignore[arg-type]
            Settings(data_dir=base),
        )

    def write(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    async def sync(self) -> dict[str, str]:
        """Return what became of each file, less what is unchanged."""
        self.embedder.embedded.clear()
        found = sync_folder(self.store, self.ingestor, self.folder)
        return {one.name: one.status async for one in found if one.status != "unchanged"}

    def texts(self) -> dict[str, str]:
        found = self.store.documents([OWNER])
        return {one.name: self.store.load_document(one.id).text for one in found}


@pytest.fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    made = Shelf(tmp_path)
    yield made
    made.store.close()


async def test_edits_moves_and_deletes_are_followed_with_no_needless_embedding(
    shelf: Shelf,
) -> None:
    for number in range(40):
        shelf.write(f"{number}.txt", f"Paper {number} is about the number {number}.")
    assert set((await shelf.sync()).values()) == {"ready"}
    assert len(shelf.embedder.embedded) == 40
    assert await shelf.sync() == {}
    assert shelf.embedder.embedded == []
    (shelf.path / "0.txt").unlink()
    (shelf.path / "1.txt").rename(shelf.path / "one.txt")
    shelf.write("deep/below.txt", "")
    (shelf.path / "2.txt").replace(shelf.path / "deep" / "below.txt")
    shutil.copy(shelf.path / "3.txt", shelf.path / "again.txt")
    shelf.write("4.txt", "Paper 4 says something else now.")
    assert await shelf.sync() == {
        "0.txt": "removed",
        "1.txt": "removed",
        "one.txt": "ready",
        "2.txt": "removed",
        "deep/below.txt": "ready",
        "again.txt": "ready",
        "4.txt": "ready",
    }
    assert shelf.embedder.embedded == ["4\nPaper 4 says something else now."]
    texts = shelf.texts()
    assert texts["one.txt"] == "Paper 1 is about the number 1."
    assert texts["deep/below.txt"] == "Paper 2 is about the number 2."
    assert texts["again.txt"] == texts["3.txt"]
    assert len(texts) == 40
    assert await shelf.sync() == {}


async def test_a_copy_is_found_and_cited_under_its_own_name(shelf: Shelf) -> None:
    shelf.write("ferry.txt", "The ferry leaves at eight.")
    shelf.write("plan.md", "# Harbour plan\n\nThe crane is red.")
    await shelf.sync()
    (shelf.path / "ferry.txt").rename(shelf.path / "boat.txt")
    (shelf.path / "plan.md").rename(shelf.path / "map.md")
    await shelf.sync()
    # What is read is compared with its hash, which holds the document's name and title.
    ids = shelf.store.document_chunk_ids(shelf.store.find_document(OWNER, "boat.txt").id)  # type: ignore[union-attr]
    [chunk] = shelf.store.chunks(ids, [OWNER]).values()
    assert (chunk.source, chunk.title, chunk.text) == (
        "boat.txt",
        "Boat",
        "The ferry leaves at eight.",
    )
    assert chunk.heading == "Boat"
    renamed = shelf.store.find_document(OWNER, "map.md")
    assert renamed is not None
    assert renamed.title == "Harbour plan"
    assert shelf.store.check().chunks == 2  # as many as have the hash that they should have


async def test_what_is_there_twice_from_the_start_is_embedded_once(shelf: Shelf) -> None:
    for name in ("a.txt", "b.txt", "deep/c.txt"):
        shelf.write(name, "The same words in three places.")
    assert set(await shelf.sync()) == {"a.txt", "b.txt", "deep/c.txt"}
    assert len(shelf.embedder.embedded) == 1
    assert len(set(shelf.texts().values())) == 1


async def test_the_same_words_as_another_kind_are_read_anew(shelf: Shelf) -> None:
    shelf.write("a.txt", "- [ ] Sails mended")
    await shelf.sync()
    shelf.write("a.md", "- [ ] Sails mended")
    assert await shelf.sync() == {"a.md": "ready"}
    assert len(shelf.embedder.embedded) == 1


@pytest.mark.parametrize("is_library", [True, False])
async def test_a_folder_that_is_away_takes_nothing_with_it(
    tmp_path: Path, is_library: bool
) -> None:
    shelf = Shelf(tmp_path, is_library=is_library)
    shelf.write("a.txt", "One.")
    shelf.write("b.txt", "Two.")
    await shelf.sync()
    shelf.path.rename(tmp_path / "unmounted")
    with pytest.raises(DocumentError, match="not there"):
        await shelf.sync()
    shelf.path.mkdir()  # an unmounted disk leaves an empty folder
    with pytest.raises(DocumentError, match="nothing is left"):
        await shelf.sync()
    assert len(shelf.texts()) == 2
    shelf.path.rmdir()
    (tmp_path / "unmounted").rename(shelf.path)
    (shelf.path / "a.txt").unlink()
    assert set((await shelf.sync()).values()) == {"removed"}
    assert len(shelf.texts()) == 1
    shelf.store.close()


async def test_a_folder_that_never_was_is_no_error(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.path.rmdir()
    assert await shelf.sync() == {}
    shelf.store.close()


async def test_a_folder_of_ones_own_leaves_others_documents_alone(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, is_library=False)
    shelf.write("a.txt", "One.")
    path = tmp_path / "elsewhere.txt"
    path.write_text("Elsewhere.")
    await shelf.sync()
    await shelf.ingestor.ingest_file(path, name="elsewhere.txt", owner=OWNER)
    (shelf.path / "a.txt").rename(shelf.path / "b.txt")
    gone = [one.name async for one in remove_vanished(shelf.store, shelf.folder)]
    assert gone == ["papers/a.txt"]
    assert list(shelf.texts()) == ["elsewhere.txt"]
    shelf.store.close()


async def test_a_change_is_told_once_it_is_over(tmp_path: Path) -> None:
    path = tmp_path / "papers"
    path.mkdir()
    told: list[int] = []

    async def listen() -> None:
        async for _ in changes(path):
            told.append(len((path / "a.txt").read_text()) if (path / "a.txt").exists() else 0)

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0.5)
    with (path / "a.txt").open("w") as file:
        for _ in range(8):  # longer than a change is waited for, and never quiet that long
            file.write("x" * 100)
            file.flush()
            await asyncio.sleep(0.3)
    async with asyncio.timeout(10):
        while not told:
            await asyncio.sleep(0.05)
    assert told == [800]
    listening.cancel()
