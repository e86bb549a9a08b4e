"""The library as it is looked through, tagged, and deleted from."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from stored import FINGERPRINT, found, put, unit_vectors

from core.errors import DocumentError
from ingest.catalog import Catalog
from ingest.loaders.document import LoadedDocument
from ingest.shelf import Wanted
from ingest.splitter import Chunk
from ingest.store import Store
from ingest.trash import MAX_KEPT

ME, SHARED = "visitor:me", "library"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path, FINGERPRINT)
    yield store
    store.close()


def names(store: Store, *owners: str, **wanted: object) -> list[str]:
    listed, matched = store.look_through(owners, Wanted(**wanted))  # type: ignore[arg-type]
    assert len(listed) <= matched
    return [one.info.name for one in listed]


def test_it_is_filtered_sorted_and_counted(store: Store) -> None:
    put(store, SHARED, "club/fees.md", "The fee is 40 euros.")
    put(store, SHARED, "club/old/notes.md", "Everything else.", "And some more words.")
    put(store, SHARED, "clubs.md", "Another one.")
    put(store, ME, "Über uns.md", "My own words.")
    put(store, "visitor:you", "secret.md", "The fee of somebody else.")
    assert names(store, ME, SHARED, sort="passages", descending=True)[0] == "club/old/notes.md"
    assert names(store, SHARED) == ["club/fees.md", "club/old/notes.md", "clubs.md"]
    assert names(store, SHARED, folder="club") == ["club/fees.md", "club/old/notes.md"]
    assert names(store, ME, SHARED, offset=1, limit=2) == ["club/old/notes.md", "clubs.md"]
    assert names(store, ME, SHARED, text="ÜBER") == ["Über uns.md"]
    totals = store.library_totals((ME, SHARED))
    assert (totals.documents, totals.passages, totals.failed) == (4, 5, 0)
    assert ("library", "club/old", 1) in totals.folders


def test_words_are_found_in_texts_each_in_its_language_and_nobody_elses(store: Store) -> None:
    put(store, SHARED, "fees.md", "The fees are paid in March.", "The club meets on Mondays.")
    put(store, "visitor:you", "secret.md", "The fees of somebody else.")
    (listed, _) = store.look_through((ME, SHARED), Wanted(text="fee Paid"))
    assert [(one.info.name, one.found, one.language) for one in listed] == [
        ("fees.md", "content", "en")
    ]
    assert names(store, ME, SHARED, text="paid Mondays") == []  # not in one passage
    assert names(store, ME, SHARED, text='" OR ""') == []


def test_tags_stay_with_a_document_that_is_read_again_moved_or_copied(store: Store) -> None:
    first = put(store, ME, "a.md", "One.", sha="x")
    store.set_tags(first, [" Bills ", "BILLS", "year  2026", ""])
    again = put(store, ME, "a.md", "Two.", sha="x")
    assert again != first

    def tagged(owner: str, tag: str) -> list[str]:
        return names(store, owner, tag=tag)

    assert tagged(ME, "bills") == tagged(ME, "Year 2026") == ["a.md"]
    store.put_copy(ME, "b.md", origin="upload", sha256="x", kind="text")
    assert tagged(ME, "bills") == ["a.md", "b.md"]
    store.move_document(again, ME, SHARED)
    assert tagged(SHARED, "bills") == ["a.md"]
    assert store.library_totals((ME, SHARED)).tags["bills"] == 2
    store.delete_document(again, SHARED)
    put(store, SHARED, "a.md", "A new one of that name.")
    assert tagged(SHARED, "bills") == []
    with pytest.raises(DocumentError, match="20 tags"):
        store.set_tags(again, [f"tag {n}" for n in range(21)])


async def test_what_is_deleted_is_found_nowhere_and_comes_back_as_it_was(
    store: Store, tmp_path: Path
) -> None:
    catalog = Catalog(store)
    path = tmp_path / "lib" / "a.md"
    path.parent.mkdir()
    path.write_text("The blue valve.")
    document = put(store, SHARED, "a.md", "The blue valve.")
    store.set_tags(document, ["kept"])
    other = put(store, ME, "a.md", "My blue lamp.")
    token, deleted = await catalog.trash.delete(
        {SHARED: [document], ME: [other]}, {document: path}, ME
    )
    assert deleted == [document, other]
    assert not path.exists()
    assert found(store, "blue", ME, SHARED) == []
    assert names(store, ME, SHARED) == []
    assert store.totals() == (0, 0)
    assert store.owners() == [SHARED, ME]
    with pytest.raises(DocumentError, match="too late"):
        await catalog.trash.undo(token, "visitor:you")
    assert sorted(await catalog.trash.undo(token, ME)) == sorted(deleted)
    assert found(store, "blue", ME, SHARED) == ["My blue lamp.", "The blue valve."]
    assert names(store, SHARED, tag="kept") == ["a.md"]
    assert path.read_text() == "The blue valve."
    with pytest.raises(DocumentError, match="too late"):
        await catalog.trash.undo(token, ME)


async def test_a_name_that_is_taken_meanwhile_is_left_to_who_took_it(store: Store) -> None:
    catalog = Catalog(store)
    first = put(store, ME, "a.md", "The old lamp.")
    second = put(store, ME, "b.md", "The other lamp.")
    token, _ = await catalog.trash.delete({ME: [first, second]}, {}, ME)
    put(store, ME, "a.md", "The new lamp.")
    assert await catalog.trash.undo(token, ME) == [second]
    assert found(store, "lamp", ME) == ["The new lamp.", "The other lamp."]
    assert store.deleted_owners() == []


async def test_a_file_that_cannot_be_moved_leaves_all_as_it_was(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog(store)
    first, second = put(store, ME, "a.md", "One."), put(store, ME, "b.md", "Two.")
    paths = {first: tmp_path / "a", second: tmp_path / "b"}
    for path in paths.values():
        path.write_text("x")
    (tmp_path / "trash").write_text("in the way of the folder")
    with pytest.raises(DocumentError, match="cannot be deleted"):
        await catalog.trash.delete({ME: [first, second]}, paths, ME)
    assert names(store, ME) == ["a.md", "b.md"]
    assert all(path.exists() for path in paths.values())


async def test_when_its_time_is_over_nothing_of_it_is_left(store: Store, tmp_path: Path) -> None:
    catalog = Catalog(store)
    path = tmp_path / "a.md"
    path.write_text("The porcupine.")
    document = put(store, ME, "a.md", "The porcupine.")
    put(store, ME, "b.md", "The rest.")
    token, _ = await catalog.trash.delete({ME: [document]}, {document: path}, ME)
    for _ in range(MAX_KEPT):  # so many later ones end it
        one = put(store, ME, "c.md", "Another.")
        await catalog.trash.delete({ME: [one]}, {}, ME)
    with pytest.raises(DocumentError, match="too late"):
        await catalog.trash.undo(token, ME)
    held = b"".join(one.read_bytes() for one in tmp_path.rglob("*") if one.is_file())
    assert b"porcupine" not in held
    assert b"porcupin" not in held


async def test_the_next_start_finishes_what_was_deleted(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("x")
    document = put(store, ME, "a.md", "The porcupine.")
    await Catalog(store).trash.delete({ME: [document]}, {document: path}, ME)
    running = asyncio.create_task(Catalog(store).trash.run())
    while store.deleted_owners() or (tmp_path / "trash").exists():
        await asyncio.sleep(0.02)
    running.cancel()
    assert names(store, ME) == []


def test_what_is_inside_of_a_mail_goes_and_comes_back_with_it(store: Store) -> None:
    mail = put(store, ME, "a.eml", "The letter.")
    text = "The attachment."
    store.put_document(
        ME,
        "a.eml/b.md",
        origin="in:a.eml",
        sha256="y",
        size_bytes=1,
        document=LoadedDocument(text=text, title="b", kind="text"),
        chunks=[Chunk(0, len(text), text, "")],
        vectors=unit_vectors(1),
    )
    assert store.set_aside([mail], ME, "deleted:x:me") == [mail]
    assert names(store, ME) == []
    assert len(store.bring_back("deleted:x:me", ME)) == 2
    assert names(store, ME) == ["a.eml", "a.eml/b.md"]
