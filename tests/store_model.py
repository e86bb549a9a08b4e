"""A small store with made-up vectors, and a plain dict to compare it with."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from chains.types import LIBRARY_OWNER
from ingest.digests import register
from ingest.loaders import LoadedDocument
from ingest.opening import open_store
from ingest.schema import STEPS
from ingest.scope import Scope
from ingest.splitter import Chunk, search_heading
from ingest.store import DATABASE_NAME, Fingerprint, Store
from ingest.vector_index import VectorIndexes
from ingest.vectors import DIMENSION

FINGERPRINT = Fingerprint("embedder-a", DIMENSION, "splitter-a")
OTHER = Fingerprint("embedder-b", DIMENSION, "splitter-a")

Model = Mapping[str, Sequence[str]]
"""The passages of each document by its name; each passage begins with a word of its own."""


def passages(name: str, version: int, count: int = 3) -> tuple[str, ...]:
    filler = " ".join(f"The lantern of {name} is old, says line {i}." for i in range(20))
    return tuple(f"key{name}v{version}p{part} {filler}" for part in range(count))


def keys_of(texts: Iterable[str]) -> list[str]:
    """The words that stand in one passage only."""
    return [word for text in texts for word in text.split() if word.startswith("key")]


def vector_of(text: str, fingerprint: Fingerprint = FINGERPRINT) -> np.ndarray:
    seed = hashlib.sha256(f"{fingerprint.embedder}{text}".encode()).digest()[:8]
    vector = np.random.default_rng(int.from_bytes(seed, "little")).standard_normal(DIMENSION)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def put(store: Store, name: str, texts: Sequence[str], owner: str = LIBRARY_OWNER) -> int:
    whole = "\n\n".join(texts)
    starts = [whole.index(text) for text in texts]
    chunks = [Chunk(s, s + len(t), t, "") for s, t in zip(starts, texts, strict=True)]
    return store.put_document(
        owner,
        name,
        origin="upload",
        sha256=hashlib.sha256(whole.encode()).hexdigest(),
        size_bytes=len(whole),
        document=LoadedDocument(text=whole, title=name, kind="text"),
        chunks=chunks,
        vectors=np.stack([vector_of(text, store.fingerprint) for text in texts]),
    )


def indexes_of(store: Store, data_dir: Path) -> VectorIndexes:
    # Exact ones are not saved.
    return VectorIndexes(store, data_dir / "index", exact_limit=0)


def contents(data_dir: Path, fingerprint: Fingerprint = FINGERPRINT) -> dict[str, tuple[str, ...]]:
    """Open, check wholly, and return what is there; every passage is searched for by both ways."""
    store = open_store(data_dir, fingerprint)
    try:
        return read_all(store, data_dir)
    finally:
        store.close()


def read_all(store: Store, data_dir: Path) -> dict[str, tuple[str, ...]]:
    store.check()
    indexes = indexes_of(store, data_dir)
    indexes.warm([LIBRARY_OWNER])
    found: dict[str, tuple[str, ...]] = {}
    total = 0
    for info in store.documents([LIBRARY_OWNER]):
        ids = store.document_chunk_ids(info.id)
        chunks = store.chunks(ids, [LIBRARY_OWNER])
        assert len(chunks) == info.chunks > 0, f"{info.name} is there by half"
        for chunk_id, chunk in chunks.items():
            for key in keys_of([chunk.text]):
                matches = store.match(f'"{key}"', Scope.of(LIBRARY_OWNER), 10)
                assert [match[0] for match in matches] == [chunk_id], f"{key}: not found by word"
            vector = vector_of(chunk.text, store.fingerprint)
            if store.load_document(info.id).title != info.title:
                raise AssertionError("another document")
            if not is_stored(store, chunk_id, vector):
                # Rebuilt ones are made of the heading and the text.
                heading = search_heading(info.title, "")
                vector = vector_of(f"{heading}\n{chunk.text}", store.fingerprint)
                assert is_stored(store, chunk_id, vector), "another vector"
            nearest = indexes.search(vector, Scope.of(LIBRARY_OWNER), 1)[0]
            assert nearest[0] == chunk_id, f"{info.name} is not found by its vector"
            assert nearest[1] > 0.99
        found[info.name] = tuple(chunks[chunk_id].text for chunk_id in ids)
        total += len(ids)
    probe = vector_of("probe")
    assert len(indexes.search(probe, Scope.of(LIBRARY_OWNER), 10_000)) == total, (
        "the index holds others"
    )
    assert store.totals() == (len(found), total)
    return found


def is_stored(store: Store, chunk_id: int, vector: np.ndarray) -> bool:
    """Tell whether a vector is that of a passage, but for how it is stored."""
    return np.abs(store.vectors([chunk_id])[0] - vector).max() <= np.abs(vector).max() / 250


def first_schema(data_dir: Path) -> dict[str, tuple[str, ...]]:
    """Make a database as version 1 wrote it; return what is in it."""
    data_dir.mkdir(parents=True, exist_ok=True)
    model = {name: passages(name, 0) for name in ("a", "b")}
    db = sqlite3.connect(data_dir / DATABASE_NAME)
    register(db)
    db.executescript(STEPS[0])
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA user_version = 1")
    db.execute(
        "INSERT INTO collections(owner, embedder, dimension, splitter) VALUES (?, ?, ?, ?)",
        (LIBRARY_OWNER, FINGERPRINT.embedder, DIMENSION, FINGERPRINT.splitter),
    )
    for document, (name, texts) in enumerate(model.items(), 1):
        db.execute(
            "INSERT INTO documents(collection_id, source, origin, sha256, bytes, status, title,"
            " text) VALUES (1, ?, 'upload', 's', 1, 'ready', ?, ?)",
            (name, name, "\n\n".join(texts)),
        )
        for number, text in enumerate(texts):
            db.execute(
                'INSERT INTO chunks(document_id, collection_id, start, "end", heading, text,'
                " owner_token, vector) VALUES (?, 1, ?, ?, ?, ?, 'xoecollection1', ?)",
                (document, number, 9, name, text, vector_of(text).tobytes()),
            )
    db.commit()
    db.close()
    return model
