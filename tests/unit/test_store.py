"""The store: one transaction a document, and owners that never see each other's rows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from store_model import FINGERPRINT as OLDER
from store_model import first_schema
from stored import FINGERPRINT, found, put, unit_vectors

from chains import lexical
from core.errors import DocumentError, StoreDamagedError, StoreError
from ingest.loaders import HeadingSpan, LoadedDocument, PageSpan
from ingest.schema import SCHEMA_VERSION, STEPS, register
from ingest.scope import Scope
from ingest.splitter import Chunk
from ingest.store import DATABASE_NAME, Fingerprint, Store
from ingest.vector_index import VectorIndexes


@pytest.fixture
def store(tmp_path: Path):
    store = Store(tmp_path, FINGERPRINT)
    yield store
    store.close()


def test_a_document_comes_back_as_its_loader_gave_it(store: Store) -> None:
    document_id = put(store, "library", "a.txt", "alpha beta", "gamma")
    loaded = store.load_document(document_id)
    assert loaded.text == "alpha beta\n\ngamma"
    assert loaded.pages == (PageSpan(1, 0, 17),)
    assert loaded.headings == (HeadingSpan(1, "A", 0, 1),)


def test_a_passage_that_the_full_text_index_lost_is_found_again(
    store: Store, tmp_path: Path
) -> None:
    put(store, "library", "a.txt", "alpha beta", "gamma")
    db = sqlite3.connect(tmp_path / DATABASE_NAME)
    register(db)
    db.execute("DELETE FROM chunk_fts WHERE rowid = 1")  # as whole as before, and a row behind
    db.commit()
    db.close()
    assert found(store, "beta", "library") == []
    assert store.check().full_text_rebuilt
    assert found(store, "beta", "library") == ["alpha beta"]
    assert store.check().full_text_rebuilt is False


def test_replacing_a_document_leaves_nothing_of_the_old_one(store: Store) -> None:
    put(store, "library", "a.txt", "alpha one", "alpha two")
    put(store, "library", "a.txt", "alpha three")
    assert found(store, "alpha", "library") == ["alpha three"]
    assert store.totals() == (1, 1)
    assert store.term_counts(["two", "three"]) == {"three": 1}


def test_deleting_a_document_removes_its_words_and_vectors(store: Store) -> None:
    document_id = put(store, "library", "a.txt", "alpha")
    assert store.delete_document(document_id, "library")
    assert found(store, "alpha", "library") == []
    assert store.totals() == (0, 0)
    assert not store.delete_document(document_id, "library")


def test_an_owner_sees_and_deletes_only_his_own(store: Store) -> None:
    put(store, "library", "shared.txt", "alpha shared")
    ann = put(store, "visitor:ann", "ann.txt", "alpha ann")
    put(store, "visitor:bob", "bob.txt", "alpha bob")
    assert found(store, "alpha", "library", "visitor:bob") == ["alpha bob", "alpha shared"]
    assert not store.delete_document(ann, "visitor:bob")
    assert [info.name for info in store.documents(["visitor:bob"])] == ["bob.txt"]
    chunk_ids = [match[0] for match in store.match('"alpha"', Scope.of("visitor:ann"), 10)]
    assert store.chunks(chunk_ids, ["visitor:bob"]) == {}


def test_a_document_that_is_shared_is_found_by_all_and_no_longer_ones_own(
    store: Store, tmp_path: Path
) -> None:
    mine = put(store, "user:ada", "plan.txt", "zebra crossing", "alpha two")
    put(store, "user:ben", "plan.txt", "zebra of ben")
    assert not store.move_document(mine, "user:ben", "library")
    assert store.move_document(mine, "user:ada", "library")
    assert found(store, "zebra", "user:ada") == []
    assert found(store, "zebra", "library") == ["zebra crossing"]
    assert store.documents(("user:ada",)) == []
    assert store.load_document(mine).text == "zebra crossing\n\nalpha two"
    assert store.check().full_text_rebuilt is False  # and each row has its own hash
    vectors = unit_vectors(2)
    index = indexes(store, tmp_path / "index")
    assert nearest(index, vectors[0], "library") == ids_of(store, mine)[0]
    assert not store.move_document(mine, "user:ada", "library")


def test_a_shared_document_of_the_same_name_is_not_replaced(store: Store) -> None:
    put(store, "library", "plan.txt", "zebra of all")
    mine = put(store, "user:ada", "plan.txt", "zebra of mine")
    with pytest.raises(DocumentError, match=r"plan\.txt"):
        store.move_document(mine, "user:ada", "library")
    assert found(store, "zebra", "library", "user:ada") == ["zebra of all", "zebra of mine"]


def test_a_question_cannot_reach_another_owners_rows_through_query_syntax(store: Store) -> None:
    put(store, "visitor:ann", "ann.txt", "secret alpha")
    put(store, "visitor:bob", "bob.txt", "plain words")
    for attack in ('x" OR "secret', "xoecollection1", 'alpha") OR owner_token : (xoecollection1'):
        expression = lexical.match_expression(lexical.content_words(attack))
        matches = store.match(expression, Scope.of("visitor:bob"), 10)
        assert store.chunks([m[0] for m in matches], ["visitor:bob", "visitor:ann"]) == {}


def test_the_best_of_ones_own_matches_are_found_whoever_else_has_better_ones(store: Store) -> None:
    """Whether the asker has most chunks, half of them or few: in the same order as without."""
    shares = {"user:most": 40, "user:some": 12, "user:few": 3}
    for owner, count in shares.items():
        texts = [f"alpha {'alpha ' * (n % 7)}{'filler ' * n}of {owner} {n}" for n in range(count)]
        put(store, owner, "a.txt", *texts, "nothing of it")
    everything = store.match('"alpha"', Scope.of(*shares), 1000)
    assert len(everything) == sum(shares.values())
    for owners in (["user:most"], ["user:some"], ["user:few"], ["user:few", "user:some"]):
        own = store.chunks([chunk_id for chunk_id, _ in everything], owners)
        expected = [chunk_id for chunk_id, _ in everything if chunk_id in own]
        for limit in (1, 2, 9, 100):
            matches = store.match('"alpha"', Scope.of(*owners), limit)
            assert [chunk_id for chunk_id, _ in matches] == expected[:limit]


def test_few_own_matches_among_many_better_ones_of_others_are_found(store: Store) -> None:
    put(store, "user:ada", "a.txt", *(f"filler {n}" for n in range(100)), "alpha " + "word " * 50)
    put(store, "user:ben", "b.txt", *(f"alpha {n}" for n in range(90)))
    assert found(store, "alpha", "user:ada") == ["alpha " + "word " * 50]


def test_words_are_counted_anew_when_another_process_has_written(
    store: Store, tmp_path: Path
) -> None:
    put(store, "library", "a.txt", "alpha one", "alpha two")
    assert store.term_counts(["alpha", "beta"]) == {"alpha": 2}
    other = Store(tmp_path, FINGERPRINT)
    put(other, "user:ada", "b.txt", "alpha beta")
    assert store.term_counts(["alpha", "beta"]) == {"alpha": 3, "beta": 1}
    assert store.chunk_count() == 3
    other.delete_owner("library")
    assert store.term_counts(["alpha", "beta"]) == {"alpha": 1, "beta": 1}
    assert (store.chunk_count(), found(store, "alpha", "library")) == (1, [])
    other.close()


def test_a_failed_file_keeps_its_reason_and_its_last_good_version(store: Store) -> None:
    put(store, "library", "a.txt", "alpha")
    failure = {"origin": "folder", "sha256": "t", "size_bytes": 1, "title": "a.txt"}
    store.put_failure("library", "a.txt", reason="It is damaged.", **failure)
    store.put_failure("library", "b.txt", reason="It is empty.", **failure)
    a, b = store.documents(["library"])
    assert (a.status, a.reason, a.chunks) == ("ready", "It is damaged.", 1)
    assert (b.status, b.reason, b.chunks) == ("failed", "It is empty.", 0)
    assert found(store, "alpha", "library") == ["alpha"]


def test_wrong_number_of_vectors_is_refused(store: Store) -> None:
    document = LoadedDocument(text="a", title="a", kind="text")
    with pytest.raises(ValueError, match="vectors"):
        store.put_document(
            "library",
            "a",
            origin="upload",
            sha256="",
            size_bytes=1,
            document=document,
            chunks=[Chunk(0, 1, "a", "")],
            vectors=unit_vectors(2),
        )
    assert store.totals() == (0, 0)


def test_another_embedders_collection_is_neither_searched_nor_written(tmp_path: Path) -> None:
    with_a = Store(tmp_path, FINGERPRINT)
    put(with_a, "library", "a.txt", "alpha")
    with_a.close()
    with_b = Store(tmp_path, Fingerprint("embedder-b", 8, "splitter-a"))
    assert with_b.outdated_owners() == ["library"]
    assert found(with_b, "alpha", "library") == []
    with pytest.raises(StoreError, match="rebuilt"):
        put(with_b, "library", "b.txt", "beta")
    put(with_b, "rebuilding:library", "a.txt", "alpha")
    with_b.replace_collection("library", "rebuilding:library")
    assert with_b.outdated_owners() == []
    assert found(with_b, "alpha", "library") == ["alpha"]
    assert with_b.totals() == (1, 1)
    with_b.close()


def test_a_damaged_database_is_reported_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / DATABASE_NAME
    path.write_bytes(b"this is no database" * 1000)
    before = path.read_bytes()
    with pytest.raises(StoreDamagedError, match="left as it is"):
        Store(tmp_path, FINGERPRINT)
    assert path.read_bytes() == before


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    Store(tmp_path, FINGERPRINT).close()
    with sqlite3.connect(tmp_path / DATABASE_NAME) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(StoreError, match="newer version"):
        Store(tmp_path, FINGERPRINT)


# ── the vector indexes ───────────────────────────────────────────────────────────────────────────


def indexes(store: Store, folder: Path, exact_limit: int = 10) -> VectorIndexes:
    return VectorIndexes(store, folder / "index", exact_limit=exact_limit)


def nearest(index: VectorIndexes, vector: np.ndarray, *owners: str) -> int:
    return index.search(vector, Scope.of(*owners), 1)[0][0]


def ids_of(store: Store, document_id: int) -> list[int]:
    return store.document_chunk_ids(document_id)


@pytest.mark.parametrize("exact_limit", [1000, 10], ids=["exact", "hnsw"])
def test_the_index_follows_the_database(store: Store, tmp_path: Path, exact_limit: int) -> None:
    texts = [f"alpha {i}" for i in range(40)]
    index = indexes(store, tmp_path, exact_limit)
    first = put(store, "library", "a.txt", *texts, seed=1)
    probe = unit_vectors(40, seed=1)[7]
    assert nearest(index, probe, "library") == ids_of(store, first)[7]
    second = put(store, "library", "b.txt", *texts, seed=2)
    assert nearest(index, unit_vectors(40, 2)[3], "library") == ids_of(store, second)[3]
    store.delete_document(first, "library")
    alive = {chunk_id for chunk_id, _ in index.search(probe, Scope.of("library"), 80)}
    assert alive <= set(ids_of(store, second))
    assert len(alive) == 40


def test_rows_read_behind_known_ones_are_those_that_a_whole_read_gives(store: Store) -> None:
    """Whatever happened meanwhile, also where two vectors have only changed places."""
    put(store, "library", "a.txt", "one", "two", "three", seed=1)
    [(collection, _, _)] = store.revisions(["library"])
    known = store.chunk_rows(collection)
    first = put(store, "library", "b.txt", "four", seed=2)
    after = store.chunk_rows(collection, known)
    assert after.tolist() == store.chunk_rows(collection).tolist()
    assert len(after) == 4
    put(store, "library", "b.txt", "five", "six", seed=3, sha="other")
    assert ids_of(store, first) != after[3:, 0].tolist()
    replaced = store.chunk_rows(collection, after)
    assert replaced.tolist() == store.chunk_rows(collection).tolist() != after.tolist()
    swapped = replaced.copy()
    swapped[[0, 1], 1] = swapped[[1, 0], 1]
    assert store.chunk_rows(collection, swapped).tolist() == replaced.tolist()
    assert store.chunk_rows(collection, known[:0]).tolist() == replaced.tolist()


def test_the_index_searches_only_the_owners_asked_for(store: Store, tmp_path: Path) -> None:
    index = indexes(store, tmp_path)
    ann = put(store, "visitor:ann", "a.txt", "alpha", seed=1)
    bob = put(store, "visitor:bob", "b.txt", "beta", seed=2)
    assert nearest(index, unit_vectors(1, 1)[0], "visitor:bob") == ids_of(store, bob)[0]
    assert len(index.search(unit_vectors(1, 1)[0], Scope.of("library", "visitor:ann"), 9)) == 1
    assert nearest(index, unit_vectors(1, 1)[0], "visitor:ann") == ids_of(store, ann)[0]


def test_an_index_that_compares_all_vectors_is_built_anew_and_takes_no_room(
    store: Store, tmp_path: Path
) -> None:
    """What an earlier version, or a larger library, has left goes."""
    document = put(store, "library", "a.txt", *[f"alpha {i}" for i in range(30)], seed=1)
    for limit, files in ((10, 2), (1000, 0)):
        index = indexes(store, tmp_path, limit)
        assert nearest(index, unit_vectors(30, 1)[9], "library") == ids_of(store, document)[9]
        index.save()
        assert len([path for path in (tmp_path / "index").rglob("*") if path.is_file()]) == files


def test_a_saved_generation_is_used_again(store: Store, tmp_path: Path) -> None:
    document = put(store, "library", "a.txt", *[f"alpha {i}" for i in range(30)], seed=1)
    index = indexes(store, tmp_path)
    index.warm(["library"])
    index.save()
    files = sorted(path.name for path in (tmp_path / "index").rglob("*") if path.is_file())
    assert files == ["generation-00000001.faiss", "manifest.json"]
    again = indexes(store, tmp_path)
    assert nearest(again, unit_vectors(30, 1)[9], "library") == ids_of(store, document)[9]


@pytest.mark.parametrize("victim", ["generation-00000001.faiss", "manifest.json"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove", "foreign"])
def test_a_damaged_generation_is_rebuilt(
    store: Store, tmp_path: Path, victim: str, harm: str
) -> None:
    """Whatever happens to the files, the search is right."""
    document = put(store, "library", "a.txt", *[f"alpha {i}" for i in range(30)], seed=1)
    index = indexes(store, tmp_path)
    index.warm(["library"])
    index.save()
    path = next((tmp_path / "index").rglob(victim))
    raw = bytearray(path.read_bytes())
    if harm == "flip":
        raw[len(raw) // 2] ^= 0xFF
        path.write_bytes(raw)
    elif harm == "cut":
        path.write_bytes(raw[: len(raw) // 2])
    elif harm == "remove":
        path.unlink()
    else:
        path.write_bytes(b'{"generation": "x", "file": "../../etc/passwd"}')
    again = indexes(store, tmp_path)
    for row in (0, 9, 29):
        assert nearest(again, unit_vectors(30, 1)[row], "library") == ids_of(store, document)[row]
    again.save()
    assert nearest(indexes(store, tmp_path), unit_vectors(30, 1)[0], "library")


def test_an_older_generation_catches_up(store: Store, tmp_path: Path) -> None:
    first = put(store, "library", "a.txt", *[f"alpha {i}" for i in range(30)], seed=1)
    index = indexes(store, tmp_path)
    index.warm(["library"])
    index.save()
    second = put(store, "library", "b.txt", *[f"beta {i}" for i in range(30)], seed=2)
    store.delete_document(first, "library")
    again = indexes(store, tmp_path)
    assert nearest(again, unit_vectors(30, 2)[5], "library") == ids_of(store, second)[5]
    assert len(again.search(unit_vectors(1)[0], Scope.of("library"), 100)) == 30


def test_what_is_kept_of_the_tokens_goes_with_the_passage_and_is_checked(
    store: Store, tmp_path: Path
) -> None:
    document_id = put(store, "session:a", "a.txt", "alpha", "beta")
    put(store, "library", "b.txt", "gamma")
    assert store.move_document(document_id, "session:a", "library")
    ids = store.document_chunk_ids(document_id)
    assert store.tokens([ids[1], ids[0]]) == [b"beta", b"alpha"]
    with closing(sqlite3.connect(tmp_path / DATABASE_NAME)) as db, db:
        db.execute("UPDATE chunks SET tokens = ? WHERE id = ?", (b"other", ids[0]))
    assert store.tokens(ids[1:]) == [b"beta"]
    with pytest.raises(StoreDamagedError):
        store.check()


def test_a_look_at_documents_takes_their_first_chunks_and_no_foreign_document(
    store: Store,
) -> None:
    mine = put(store, "library", "a.txt", "alpha", "beta", "gamma")
    foreign = put(store, "session:b", "b.txt", "delta")
    found = store.excerpts(["library"], [foreign, mine], 2)
    assert [(one.document_id, one.text) for one in found] == [(mine, "alpha"), (mine, "beta")]


# ── folders ──────────────────────────────────────────────────────────────────────────────────────

CLUB = Scope(("visitor:ann",), "library", ("club",))


@pytest.mark.parametrize("exact_limit", [1000, 10], ids=["exact", "hnsw"])
def test_a_small_folder_is_searched_as_if_there_were_no_other(
    store: Store, tmp_path: Path, exact_limit: int
) -> None:
    """What others hold is left out before anything is ranked, so nothing near is pushed out."""
    rules = put(store, "library", "club/rules.txt", "alpha rules", "alpha fees", seed=9)
    for number in range(20):
        texts = [f"alpha alpha {number} {part}" for part in range(10)]
        put(store, "library", f"house/{number}.txt", *texts, seed=number)
    own = put(store, "visitor:ann", "house/ann.txt", "alpha ann", seed=77)
    put(store, "visitor:bob", "club/bob.txt", "alpha bob", seed=78)
    allowed = sorted(ids_of(store, rules) + ids_of(store, own))
    assert sorted(one for one, _ in store.match('"alpha"', CLUB, 5)) == allowed
    index = indexes(store, tmp_path, exact_limit)
    assert not index.search(unit_vectors(1, 3)[0], Scope((), "library", ("gone",)), 5)
    for probe in unit_vectors(30, seed=5):
        found = index.search(probe, CLUB, 5)
        assert sorted(one for one, _ in found) == allowed
        vectors = store.vectors([one for one, _ in found])
        assert [score for _, score in found] == pytest.approx((vectors @ probe).tolist(), abs=2e-3)
    [(name, owner)] = [
        (d.name, d.owner) for d in store.documents_in(Scope((), "library", ("club",)))
    ]
    assert (name, owner) == ("club/rules.txt", "library")


def test_what_is_added_to_a_folder_moved_or_deleted_is_seen_at_once(
    store: Store, tmp_path: Path
) -> None:
    index, probe = indexes(store, tmp_path), unit_vectors(1, 3)[0]

    def held() -> list[int]:
        by_words = sorted(one for one, _ in store.match('"alpha"', CLUB, 50))
        assert by_words == sorted(one for one, _ in index.search(probe, CLUB, 50))
        return by_words

    first = put(store, "library", "club/a.txt", "alpha one", seed=1)
    assert held() == ids_of(store, first)
    second = put(store, "library", "club/sub/b.txt", "alpha two", seed=2)
    assert held() == sorted(ids_of(store, first) + ids_of(store, second))
    store.move_document(second, "library", "visitor:bob")
    assert held() == ids_of(store, first)
    store.delete_document(first, "library")
    assert held() == []


def test_what_an_archive_at_the_top_brought_lies_in_no_folder(store: Store) -> None:
    put(store, "library", "pack.zip", "alpha pack")
    put(store, "library", "pack.zip/inner/a.txt", "alpha inner")
    put(store, "library", "note.txt", "alpha note")
    put(store, "library", "club/pack.zip/b.txt", "alpha club")
    put(store, "visitor:ann", "trip/a.txt", "alpha trip")
    assert store.top_folders("library", 10) == {"": 3, "club": 1}
    assert store.top_folders("library", 1) == {"": 3}
    loose = store.documents_in(Scope((), "library", ("",)))
    assert [one.name for one in loose] == ["note.txt", "pack.zip", "pack.zip/inner/a.txt"]


def test_the_languages_are_those_of_the_folder(store: Store) -> None:
    german = "Der Hund schläft jede Nacht in der Küche und die Katze auf dem warmen Ofen."
    put(store, "library", "club/a.txt", german)
    put(store, "library", "house/b.txt", "The dog sleeps in the kitchen every night with the cat.")
    assert store.languages(Scope((), "library", ("club",))) == ("de",)
    assert set(store.languages(Scope.of("library"))) == {"de", "en"}


def test_tokens_of_an_older_kind_are_not_read_as_those_of_today(tmp_path: Path) -> None:
    """What else is stored in less room says the same as before."""
    first_schema(tmp_path)
    with sqlite3.connect(tmp_path / DATABASE_NAME) as db:
        register(db)
        for step in STEPS[1:6]:
            db.executescript(step)
        db.execute("UPDATE chunks SET tokens = zeroblob(150), tokens_digest = content_digest(x'')")
        db.execute("PRAGMA user_version = 6")
        (text,) = db.execute("SELECT text FROM documents WHERE id = 1").fetchone()
    db.close()
    store = Store(tmp_path, OLDER)
    assert store.load_document(1).text == text
    assert set(store.tokens(store.document_chunk_ids(1))) == {b""}
    assert store.check().chunks == 6
    store.close()
