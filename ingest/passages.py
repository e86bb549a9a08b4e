"""The passages as a search reads them: words, vectors and texts, each compared with its hash."""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np

from ingest.database import DocumentDatabase, FullTextDamagedError, damaged_row, marks
from ingest.digests import (
    CHUNK_COLUMNS,
    COLLECTION_COLUMNS,
    DOCUMENT_COLUMNS,
    ChunkRow,
    CollectionRow,
    DocumentRow,
    Value,
    digest,
)
from ingest.full_text import FullText
from ingest.loaders import PageSpan
from ingest.scope import Scope
from ingest.selection import Selection, Selections
from ingest.vectors import Ids, Rows, Vectors, unpack_vectors

Call = TypeVar("Call", bound=Callable[..., Any])


def mending(call: Call) -> Call:
    """Build a damaged full-text index anew and call once more."""

    @functools.wraps(call)
    def mended(self: Passages, *args: Any, **kwargs: Any) -> Any:
        try:
            return call(self, *args, **kwargs)
        except FullTextDamagedError:
            self.rebuild_full_text()
            return call(self, *args, **kwargs)

    return cast(Call, mended)


_SUMS = """
SELECT COUNT(*), SUM(vector_digest & 0xFFFFFFFF), SUM(vector_digest >> 32),
    SUM((id & 0xFFFFF) * (vector_digest & 0x3FFFFF))
FROM chunks WHERE collection_id = ? AND id <= ?
"""


@dataclass(frozen=True)
class Fingerprint:
    """What made a collection's chunks and vectors; when it changes they are out of date."""

    embedder: str
    dimension: int
    splitter: str


@dataclass(frozen=True)
class StoredChunk:
    """A chunk with what is needed to quote it."""

    id: int
    document_id: int
    owner: str
    source: str
    title: str
    heading: str
    start: int
    end: int
    text: str
    language: str


class Passages:
    """Blocking reading of the passages of those collections that this ``fingerprint`` made."""

    def __init__(self, database: DocumentDatabase, fingerprint: Fingerprint) -> None:
        """Read in an open database."""
        self.fingerprint = fingerprint
        self._database = database
        self._full_text = FullText()
        self._selections = Selections()

    @property
    def folder(self) -> Path:
        """The data folder."""
        return self._database.path.parent

    def revisions(self, owners: Sequence[str]) -> list[tuple[int, str, int]]:
        """Return ``(collection id, owner, revision)``; cheap enough for each search."""
        with self._database.reading() as db:
            rows = db.execute(
                f"SELECT revision, digest, {COLLECTION_COLUMNS} FROM collections"
                f" WHERE owner IN ({marks(owners)}) AND embedder = ? AND splitter = ?",
                (*owners, self.fingerprint.embedder, self.fingerprint.splitter),
            ).fetchall()
            for _revision, *row in rows:
                self._compare("collection", *row)
        found = [(row[0], CollectionRow(*row[2:])) for row in rows]
        return [(collection.id, collection.owner, revision) for revision, collection in found]

    def chunk_rows(self, collection_id: int, known: Rows | None = None) -> Rows:
        """Return ``(chunk id, its vector's hash)`` of a collection, by id; int64, ``(n, 2)``.

        ``known``: what was returned earlier. Where nothing of it has changed, as its number and
        sums tell, only what is behind it is read: SQLite adds up faster than rows are fetched.
        """
        read = "SELECT id, vector_digest FROM chunks WHERE collection_id = ? AND id > ? ORDER BY id"
        with self._database.reading() as db:
            if known is not None and len(known):
                last = int(known[-1, 0])
                if db.execute(_SUMS, (collection_id, last)).fetchone() == _sums(known):
                    fresh = db.execute(read, (collection_id, last)).fetchall()
                    return np.concatenate((known, _rows(fresh)))
            return _rows(db.execute(read, (collection_id, 0)).fetchall())

    def document_chunk_ids(self, document_id: int) -> list[int]:
        """Return a document's chunk ids in the order of its text."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT id FROM chunks WHERE document_id = ? ORDER BY start", (document_id,)
            ).fetchall()
        return [row[0] for row in rows]

    def vectors(self, chunk_ids: Sequence[int]) -> Vectors:
        """Return the vectors of ``chunk_ids`` in that order, shape ``(n, dimension)``."""
        found: dict[int, bytes] = {}
        with self._database.reading() as db:
            for block in _blocks(chunk_ids):
                for chunk_id, vector, expected in db.execute(
                    f"SELECT id, vector, vector_digest FROM chunks WHERE id IN ({marks(block)})",
                    block,
                ):
                    self._compare("vector", expected, vector)
                    found[chunk_id] = vector
        packed = [found[chunk_id] for chunk_id in chunk_ids]
        return unpack_vectors(packed, self.fingerprint.dimension)

    def tokens(self, chunk_ids: Sequence[int]) -> list[bytes]:
        """Return what late interaction keeps of each of ``chunk_ids``; empty where it has none."""
        with self._database.reading() as db:
            rows = db.execute(
                f"SELECT id, tokens_digest, tokens FROM chunks WHERE id IN ({marks(chunk_ids)})",
                tuple(chunk_ids),
            ).fetchall()
        for _id, expected, packed in rows:
            self._compare("passage", expected, packed)
        found = {chunk_id: packed for chunk_id, _digest, packed in rows}
        return [found.get(chunk_id, b"") for chunk_id in chunk_ids]

    def chunks(self, chunk_ids: Sequence[int], owners: Sequence[str]) -> dict[int, StoredChunk]:
        """Return those of ``chunk_ids`` that belong to ``owners``."""
        with self._database.reading() as db:
            rows = db.execute(
                f"SELECT k.id, c.owner, k.digest, {CHUNK_COLUMNS}"
                " FROM chunks k JOIN documents d ON d.id = k.document_id"
                " JOIN collections c ON c.id = d.collection_id"
                f" WHERE k.id IN ({marks(chunk_ids)}) AND c.owner IN ({marks(owners)})",
                (*chunk_ids, *owners),
            ).fetchall()
            found = {}
            for chunk_id, owner, expected, *values in rows:
                self._compare("passage", expected, *values)
                row = ChunkRow(*values)
                found[chunk_id] = StoredChunk(
                    *(chunk_id, row.document_id, owner, row.source, row.title, row.heading),
                    *(row.start, row.end, row.text, row.language),
                )
        return found

    def pages(self, document_id: int) -> tuple[PageSpan, ...]:
        """Return where each page of a document stands in its text."""
        with self._database.reading() as db:
            row = db.execute(
                f"SELECT digest, {DOCUMENT_COLUMNS} FROM documents WHERE id = ?", (document_id,)
            ).fetchone()
            if row is None:
                return ()
            self._compare("document", *row)
        return tuple(PageSpan(*page) for page in json.loads(DocumentRow(*row[1:]).pages))

    @mending
    def match(self, expression: str, scope: Scope, limit: int) -> list[tuple[int, float]]:
        """Return ``(chunk id, BM25 score)`` of the best matches in ``scope``, larger is better.

        ``expression`` is an FTS5 query of terms over the columns ``text`` and ``heading``.
        """
        with self._database.reading() as db:
            whole = self._searched(db, scope.whole)
            if not scope.part_of:
                return self._full_text.match(db, whole, expression, limit)
            documents = [one.documents for _, one in self._selected(db, scope)]
            return self._full_text.match_among(db, whole, documents, expression, limit)

    @mending
    def term_counts(self, terms: Sequence[str]) -> dict[str, int]:
        """Return in how many chunks each (already stemmed) term stands."""
        with self._database.reading() as db:
            return self._full_text.term_counts(db, terms)

    def chunk_count(self) -> int:
        """Return the number of chunks, over all owners; cheap enough for each search."""
        with self._database.reading() as db:
            return self._full_text.chunks(db)

    def languages(self, scope: Scope) -> tuple[str, ...]:
        """Return the languages of the passages in ``scope``, that of the most first."""
        with self._database.reading() as db:
            found = self._full_text.languages(db, self._searched(db, scope.whole))
            for _, part in self._selected(db, scope):
                found.update(part.languages)
        return tuple(language for language, _ in found.most_common())

    def selected(self, scope: Scope) -> dict[int, Ids]:
        """Return the ids of the chunks in ``scope``, of each collection of which not all are.

        Ascending.
        """
        with self._database.reading() as db:
            return {collection: part.chunks for collection, part in self._selected(db, scope)}

    def rebuild_full_text(self) -> None:
        """Build the full-text index anew from the passages."""
        self._database.rebuild_full_text()
        self._full_text = FullText()

    def _selected(self, db: sqlite3.Connection, scope: Scope) -> list[tuple[int, Selection]]:
        """Return what is in ``scope`` of each collection of which not all is."""
        collections = self._searched(db, (scope.part_of,)) if scope.part_of else []
        return [(one, self._selections.select(db, one, scope.folders)) for one in collections]

    def _searched(self, db: sqlite3.Connection, owners: Sequence[str]) -> list[int]:
        """Return the ids of those of the owners' collections that are up to date."""
        rows = db.execute(
            f"SELECT id FROM collections WHERE owner IN ({marks(owners)})"
            " AND embedder = ? AND splitter = ?",
            (*owners, self.fingerprint.embedder, self.fingerprint.splitter),
        )
        return [row[0] for row in rows]

    def _compare(self, what: str, expected: int, *values: Value) -> None:
        """Raise ``StoreDamagedError`` where a row's hash is not that of its content."""
        if digest(*values) != expected:
            raise damaged_row(self._database.path, what)


def _rows(rows: list[tuple[int, int]]) -> Rows:
    return np.array(rows, dtype=np.int64).reshape(-1, 2)


def _sums(rows: Rows) -> tuple[int, int, int, int]:
    """Return what ``_SUMS`` does; the products tell vectors that have changed places."""
    ids, digests = rows.T
    low, high = digests & 0xFFFF_FFFF, digests >> 32
    products = (ids & 0xF_FFFF) * (digests & 0x3F_FFFF)
    return len(rows), int(low.sum()), int(high.sum()), int(products.sum())


def _blocks(values: Sequence[int], size: int = 500) -> list[tuple[int, ...]]:
    """Cut a list of ids into pieces that fit SQLite's limit of variables."""
    return [tuple(int(v) for v in values[i : i + size]) for i in range(0, len(values), size)]
