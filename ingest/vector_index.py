"""The FAISS indexes: derived from the database, saved as hashed generations.

An index is never trusted further than its manifest: the file's hash is checked before FAISS
reads it, and its chunk ids and the hashes of their vectors are compared with the database's before
it is searched. Whatever disagrees is mended or rebuilt from the vectors in the database. (Ids
alone would not do: a database that was restored or begun anew gives the same ids again.)
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import faiss
import numpy as np
import structlog

from core.durable import publish
from ingest.scope import Scope
from ingest.store import Store
from ingest.vectors import Ids, Rows, Vectors
from models.integrity import sha256_of

log = structlog.get_logger(__name__)

OPEN_INDEXES = 64
"""Indexes held in memory; the least recently used goes first (it is rebuilt when needed)."""

READ_BLOCK = 10_000
"""Vectors read from the database at once: 15 MB."""

HNSW_LINKS = 32
HNSW_BUILD_WIDTH = 120
HNSW_SEARCH_WIDTH = 96
HNSW_DEAD_SHARE = 0.2
"""HNSW cannot forget; past this share of removed vectors it is built anew."""

_PAIR_BYTES = 16
_COUNT_BYTES = 8
_WRITE_BYTES = 2**20
_NONE: Ids = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Manifest:
    """What a saved generation must be to be read."""

    generation: int
    count: int
    dimension: int
    embedder: str
    sha256: str
    """Of the file: FAISS's index, then, all int64, a pair for each live row (chunk id, its
    vector's hash) and the number of pairs."""
    file: str


class VectorIndex:
    """One collection's vectors by chunk id. Not thread-safe: ``VectorIndexes`` holds the lock."""

    def __init__(self, dimension: int, *, exact_limit: int) -> None:
        """Make an empty index; above ``exact_limit`` vectors it changes to HNSW."""
        self._dimension = dimension
        self._exact_limit = exact_limit
        self._index = self._new_index(exact=True)
        self.rows: Rows = np.empty((0, 2), dtype=np.int64)
        """The chunk ids that are alive, ascending, each with its vector's hash; ``(n, 2)``."""
        self.revision = -1
        """The collection's revision that this index agrees with."""
        self.saved_revision = -1

    @property
    def ids(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The chunk ids that are alive, ascending."""
        return self.rows[:, 0]

    @property
    def exact(self) -> bool:
        """Tell whether each search compares all vectors."""
        return not isinstance(faiss.downcast_index(self._index.index), faiss.IndexHNSW)

    def sync(self, store: Store, collection_id: int, revision: int) -> None:
        """Bring the index to the database's state, reading only what is new."""
        if revision == self.revision:
            return
        # What was loaded is compared row by row once.
        known = self.rows if self.revision >= 0 else None
        wanted = store.chunk_rows(collection_id, known)
        try:
            self._follow(store, wanted)
        except BaseException:
            self._forget()  # half of it may have happened
            raise
        self.rows, self.revision = wanted, revision

    def _follow(self, store: Store, wanted: Rows) -> None:
        ids = wanted[:, 0]
        if len(self.rows) and np.array_equal(wanted[: len(self.rows)], self.rows):
            gone, new, changed = ids[:0], ids[len(self.rows) :], False
        else:
            gone = np.setdiff1d(self.ids, ids, assume_unique=True)
            new = np.setdiff1d(ids, self.ids, assume_unique=True)
            changed = _other_vectors(self.rows, wanted)
        exact = len(ids) <= self._exact_limit
        dead = self._index.ntotal - len(self.ids) + len(gone)
        worn = not exact and dead > HNSW_DEAD_SHARE * max(1, len(ids))
        if exact != self.exact or worn or changed:
            self._index, new, gone = self._new_index(exact=exact), ids, gone[:0]
        if len(gone) and exact:
            self._index.remove_ids(faiss.IDSelectorBatch(gone))
        for start in range(0, len(new), READ_BLOCK):
            block = new[start : start + READ_BLOCK]
            self._index.add_with_ids(store.vectors(block.tolist()), block)

    def _forget(self) -> None:
        self._index = self._new_index(exact=True)
        self.rows, self.revision = self.rows[:0], -1

    def search(
        self, vector: Vectors, limit: int, among: Ids | None = None
    ) -> list[tuple[int, float]]:
        """Return ``(chunk id, cosine)`` of the nearest chunks to a unit vector ``(dimension,)``.

        ``among``: ids, ascending, of those that may be found. Each of them is compared, of however
        many vectors: a graph's walk would miss the few that may be found among the many.
        """
        if not len(self.ids):
            return []
        if among is not None:
            return self._search_among(vector, limit, among)
        # A single question cannot be shared out among threads; OpenMP's would only spin, on the
        # core that ranks the words meanwhile. Their number is set for each thread that searches.
        faiss.omp_set_num_threads(1)
        extra = 0 if self.exact else self._index.ntotal - len(self.ids)
        scores, ids = self._index.search(vector[None, :], min(limit + extra, self._index.ntotal))
        alive = np.isin(ids[0], self.ids, assume_unique=True)
        pairs = zip(ids[0][alive].tolist(), scores[0][alive].tolist(), strict=True)
        return list(pairs)[:limit]

    def _search_among(self, vector: Vectors, limit: int, among: Ids) -> list[tuple[int, float]]:
        if not len(among):
            return []
        faiss.omp_set_num_threads(1)
        held = faiss.vector_to_array(self._index.id_map)
        places = np.searchsorted(among, held)
        mask = among[np.minimum(places, len(among) - 1)] == held
        # FAISS's type stubs are those of C++: Python's own arguments are not in them.
        vectors: Any = faiss.downcast_index(self._index.index)
        if not self.exact:
            vectors = faiss.downcast_index(vectors.storage)
        chosen = cast(Any, faiss.IDSelectorBitmap)(np.packbits(mask, bitorder="little"))
        parameters = cast(Any, faiss.SearchParameters)(sel=chosen)
        wanted = min(limit, len(among))
        scores, rows = vectors.search(vector[None, :], wanted, params=parameters)
        found = rows[0] >= 0
        return list(zip(held[rows[0][found]].tolist(), scores[0][found].tolist(), strict=True))

    def save(self, folder: Path, embedder: str) -> None:
        """Write the next generation: file first, manifest after it, each whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        previous = _read_manifest(folder)
        generation = previous.generation + 1 if previous else 1
        name = f"generation-{generation:08d}.faiss"
        temporary = folder / f"{name}.tmp"
        digest = self._write(temporary)
        publish(temporary, folder / name)
        manifest = Manifest(generation, len(self.ids), self._dimension, embedder, digest, name)
        note = folder / "manifest.json.tmp"
        note.write_text(json.dumps(asdict(manifest)), encoding="utf-8")
        publish(note, folder / "manifest.json")
        for old in folder.glob("generation-*"):
            if old.name != name:
                old.unlink(missing_ok=True)
        self.saved_revision = self.revision

    def _write(self, path: Path) -> str:
        """Write the file and return its SHA-256."""
        digest = hashlib.sha256()
        failure: list[OSError] = []

        with path.open("wb") as file:

            def write(piece: bytes) -> int:
                # FAISS would tell an OSError as its own RuntimeError, without the reason. Its own
                # way to write files does not notice a disk that is full at the very end.
                try:
                    file.write(piece)
                except OSError as exc:
                    failure.append(exc)
                    return 0
                digest.update(piece)
                return len(piece)

            try:
                writer = faiss.PyCallbackIOWriter(write, _WRITE_BYTES)  # type: ignore[attr-defined]
                faiss.write_index(self._index, writer)
            except RuntimeError as exc:
                raise (failure[0] if failure else exc) from exc
            if failure:
                raise failure[0]
            rows = np.append(self.rows.ravel(), len(self.rows)).astype("<i8").tobytes()
            file.write(rows)
            digest.update(rows)
        return digest.hexdigest()

    @classmethod
    def load(
        cls, folder: Path, *, dimension: int, embedder: str, exact_limit: int
    ) -> VectorIndex | None:
        """Return the saved generation, or None when there is none that can be trusted."""
        manifest = _read_manifest(folder)
        if manifest is None:
            return None
        fits = (manifest.dimension, manifest.embedder) == (dimension, embedder)
        index = cls(dimension, exact_limit=exact_limit)
        try:
            if not fits or sha256_of(folder / manifest.file) != manifest.sha256:
                log.warning("index.generation_refused", folder=folder.name, fits=fits)
                return None
            index._read(folder / manifest.file, manifest.count)
        except (OSError, RuntimeError, ValueError) as exc:  # FAISS raises RuntimeError
            log.warning("index.generation_refused", folder=folder.name, error=str(exc))
            return None
        return index

    def _read(self, path: Path, count: int) -> None:
        """Read a file whose hash was checked. Raises as FAISS does, and ``ValueError``."""
        self._index = cast(faiss.IndexIDMap2, faiss.read_index(str(path)))
        with path.open("rb") as file:
            file.seek(-count * _PAIR_BYTES - _COUNT_BYTES, os.SEEK_END)
            tail = np.fromfile(file, dtype="<i8").astype(np.int64)
        self.rows = tail[:-1].reshape(count, 2)
        held = faiss.vector_to_array(self._index.id_map)
        fits = tail[-1] == count and self._index.d == self._dimension
        if not fits or not np.isin(self.ids, held).all():
            raise ValueError("the file holds other rows than its manifest says")

    def _new_index(self, *, exact: bool) -> faiss.IndexIDMap2:
        if exact:
            # Half precision: all vectors are compared, at two thirds of the time and half the
            # memory of float32; the database keeps float32.
            return faiss.IndexIDMap2(
                faiss.IndexScalarQuantizer(
                    self._dimension,
                    faiss.ScalarQuantizer.QT_fp16,
                    faiss.METRIC_INNER_PRODUCT,
                )
            )
        graph = faiss.IndexHNSWFlat(self._dimension, HNSW_LINKS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = HNSW_BUILD_WIDTH
        graph.hnsw.efSearch = HNSW_SEARCH_WIDTH
        return faiss.IndexIDMap2(graph)


class VectorIndexes:
    """The open indexes of all owners, each brought up to date before it is searched.

    Thread-safe and blocking.
    """

    def __init__(self, store: Store, folder: Path, *, exact_limit: int) -> None:
        """Keep the saved generations below ``folder``."""
        self._store = store
        self._folder = folder
        self._exact_limit = exact_limit
        self._open: OrderedDict[int, VectorIndex] = OrderedDict()
        self._lock = threading.Lock()

    def search(self, vector: Vectors, scope: Scope, limit: int) -> list[tuple[int, float]]:
        """Return ``(chunk id, cosine)`` of the nearest chunks in ``scope``, best first."""
        found: list[tuple[int, float]] = []
        parts = self._store.selected(scope)
        with self._lock:
            for collection_id, _owner, revision in self._store.revisions(scope.whole):
                found += self._synced(collection_id, revision).search(vector, limit)
            for collection_id, _owner, revision in self._store.revisions((scope.part_of,)):
                among = parts.get(collection_id, _NONE)
                found += self._synced(collection_id, revision).search(vector, limit, among)
        found.sort(key=lambda pair: pair[1], reverse=True)
        return found[:limit]

    def warm(self, owners: Sequence[str]) -> None:
        """Load or build the owners' indexes before the first question."""
        with self._lock:
            for collection_id, _owner, revision in self._store.revisions(owners):
                self._synced(collection_id, revision)

    def save(self) -> None:
        """Save each open index that is ahead of its file. Raises ``OSError`` on a full disk.

        One that compares all vectors is built from the database in less time than is worth a file.
        """
        with self._lock:
            for collection_id, index in self._open.items():
                if index.saved_revision != index.revision:
                    self._save(collection_id, index)

    def scrub(self, owner: str) -> None:
        """Take what was deleted out of ``owner``'s file, and the files of deleted collections away.

        Raises ``OSError``.
        """
        with self._lock:
            for collection_id, _owner, revision in self._store.revisions((owner,)):
                if self._path(collection_id).is_dir():
                    self._save(collection_id, self._synced(collection_id, revision))
            saved = list(self._folder.glob("collection-*"))
            kept = {self._path(number).name for number in self._store.collection_ids()}
            for folder in saved:
                if folder.name not in kept:
                    shutil.rmtree(folder)
            for number in tuple(self._open):
                if self._path(number).name not in kept:
                    del self._open[number]

    def _save(self, collection_id: int, index: VectorIndex) -> None:
        """Save an index that takes long to build; any other would only be its vectors once more."""
        folder = self._path(collection_id)
        if index.exact:
            if folder.is_dir():
                shutil.rmtree(folder)
            index.saved_revision = index.revision
        else:
            index.save(folder, self._store.fingerprint.embedder)

    def _synced(self, collection_id: int, revision: int) -> VectorIndex:
        fingerprint = self._store.fingerprint
        index = self._open.get(collection_id)
        if index is None:
            index = VectorIndex.load(
                self._path(collection_id),
                dimension=fingerprint.dimension,
                embedder=fingerprint.embedder,
                exact_limit=self._exact_limit,
            ) or VectorIndex(fingerprint.dimension, exact_limit=self._exact_limit)
            self._open[collection_id] = index
            if len(self._open) > OPEN_INDEXES:
                self._open.popitem(last=False)
        self._open.move_to_end(collection_id)
        index.sync(self._store, collection_id, revision)
        return index

    def _path(self, collection_id: int) -> Path:
        return self._folder / f"collection-{collection_id}"


def _other_vectors(known: Rows, wanted: Rows) -> bool:
    """Tell whether a chunk id stands for another vector now than it did."""
    _, here, there = np.intersect1d(
        known[:, 0], wanted[:, 0], assume_unique=True, return_indices=True
    )
    return bool((known[here, 1] != wanted[there, 1]).any())


def _read_manifest(folder: Path) -> Manifest | None:
    try:
        fields = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        manifest = Manifest(**fields)
        _ = manifest.generation + manifest.count + manifest.dimension
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as exc:
        log.warning("index.manifest_unreadable", folder=folder.name, error=str(exc))
        return None
    return manifest if Path(manifest.file).name == manifest.file else None
