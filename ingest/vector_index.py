"""The FAISS indexes: derived from the database, saved as hashed generations.

An index is never trusted further than its manifest: the file's hash is checked before FAISS
reads it, and its chunk ids are compared with the database's before it is searched. Whatever
disagrees is mended or rebuilt from the vectors in the database.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import faiss
import numpy as np
import structlog

from ingest.embedder import Vectors
from ingest.store import Store
from xoe.durable import publish

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

Ids = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True)
class Manifest:
    """What a saved generation must be to be read."""

    generation: int
    count: int
    dimension: int
    embedder: str
    sha256: str
    file: str


# A single question cannot be shared out among threads; waiting for them only costs time.
faiss.omp_set_num_threads(1)


class VectorIndex:
    """One collection's vectors by chunk id. Not thread-safe: ``VectorIndexes`` holds the lock."""

    def __init__(self, dimension: int, *, exact_limit: int) -> None:
        """Make an empty index; above ``exact_limit`` vectors it changes to HNSW."""
        self._dimension = dimension
        self._exact_limit = exact_limit
        self._index = self._new_index(exact=True)
        self.ids: Ids = np.empty(0, dtype=np.int64)
        """The chunk ids that are alive, ascending."""
        self.revision = -1
        """The collection's revision that this index agrees with."""
        self.saved_revision = -1

    @property
    def exact(self) -> bool:
        """Tell whether each search compares all vectors."""
        return not isinstance(faiss.downcast_index(self._index.index), faiss.IndexHNSW)

    def sync(self, store: Store, collection_id: int, revision: int) -> None:
        """Bring the index to the database's state, reading only what is new."""
        if revision == self.revision:
            return
        wanted = store.chunk_ids(collection_id)
        gone = np.setdiff1d(self.ids, wanted, assume_unique=True)
        new = np.setdiff1d(wanted, self.ids, assume_unique=True)
        exact = len(wanted) <= self._exact_limit
        dead = self._index.ntotal - len(self.ids) + len(gone)
        if exact != self.exact or (not exact and dead > HNSW_DEAD_SHARE * max(1, len(wanted))):
            self._index, new, gone = self._new_index(exact=exact), wanted, gone[:0]
        if len(gone) and exact:
            self._index.remove_ids(faiss.IDSelectorBatch(gone))
        for start in range(0, len(new), READ_BLOCK):
            block = new[start : start + READ_BLOCK]
            self._index.add_with_ids(store.vectors(block.tolist()), block)
        self.ids, self.revision = wanted, revision

    def search(self, vector: Vectors, limit: int) -> list[tuple[int, float]]:
        """Return ``(chunk id, cosine)`` of the nearest chunks to a unit vector ``(dimension,)``."""
        if not len(self.ids):
            return []
        extra = 0 if self.exact else self._index.ntotal - len(self.ids)
        scores, ids = self._index.search(vector[None, :], min(limit + extra, self._index.ntotal))
        alive = np.isin(ids[0], self.ids, assume_unique=True)
        pairs = zip(ids[0][alive].tolist(), scores[0][alive].tolist(), strict=True)
        return list(pairs)[:limit]

    def save(self, folder: Path, embedder: str) -> None:
        """Write the next generation: file first, manifest after it, each whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        previous = _read_manifest(folder)
        generation = previous.generation + 1 if previous else 1
        name = f"generation-{generation:08d}.faiss"
        temporary = folder / f"{name}.tmp"
        faiss.write_index(self._index, str(temporary))
        digest = _sha256(temporary)
        publish(temporary, folder / name)
        manifest = Manifest(generation, len(self.ids), self._dimension, embedder, digest, name)
        note = folder / "manifest.json.tmp"
        note.write_text(json.dumps(asdict(manifest)), encoding="utf-8")
        publish(note, folder / "manifest.json")
        for old in folder.glob("generation-*"):
            if old.name != name:
                old.unlink(missing_ok=True)
        self.saved_revision = self.revision

    @classmethod
    def load(
        cls, folder: Path, *, dimension: int, embedder: str, exact_limit: int
    ) -> VectorIndex | None:
        """Return the saved generation, or None when there is none that can be trusted."""
        manifest = _read_manifest(folder)
        if manifest is None:
            return None
        path = folder / manifest.file
        fits = (manifest.dimension, manifest.embedder) == (dimension, embedder)
        if not fits or not path.is_file() or _sha256(path) != manifest.sha256:
            log.warning("index.generation_refused", folder=folder.name, fits=fits)
            return None
        index = cls(dimension, exact_limit=exact_limit)
        index._index = cast(faiss.IndexIDMap2, faiss.read_index(str(path)))
        index.ids = np.sort(faiss.vector_to_array(index._index.id_map)).astype(np.int64)
        return index

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

    def search(self, vector: Vectors, owners: Sequence[str], limit: int) -> list[tuple[int, float]]:
        """Return ``(chunk id, cosine)`` over the owners' collections, best first."""
        found: list[tuple[int, float]] = []
        with self._lock:
            for collection_id, _owner, revision in self._store.revisions(owners):
                found += self._synced(collection_id, revision).search(vector, limit)
        found.sort(key=lambda pair: pair[1], reverse=True)
        return found[:limit]

    def warm(self, owners: Sequence[str]) -> None:
        """Load or build the owners' indexes before the first question."""
        with self._lock:
            for collection_id, _owner, revision in self._store.revisions(owners):
                self._synced(collection_id, revision)

    def save(self) -> None:
        """Save each open index that is ahead of its file. Raises ``OSError`` on a full disk."""
        with self._lock:
            for collection_id, index in self._open.items():
                if index.saved_revision != index.revision:
                    index.save(self._path(collection_id), self._store.fingerprint.embedder)

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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
