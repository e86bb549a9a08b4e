"""Documents, chunks, vectors and their full-text index: the only truth, in one database.

Every query names the owners whose rows it may see. Adding or replacing a document is one
transaction, and so is removing one; the collection's revision grows with each, which is how the
vector indexes learn that they are behind.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ingest.database import Database
from ingest.embedder import Vectors
from ingest.loaders import HeadingSpan, LoadedDocument, PageSpan
from ingest.splitter import Chunk, search_heading
from xoe.errors import StoreError

DATABASE_NAME = "xoe.sqlite"


@dataclass(frozen=True)
class Fingerprint:
    """What made a collection's chunks and vectors; when it changes they are out of date."""

    embedder: str
    dimension: int
    splitter: str


@dataclass(frozen=True)
class DocumentInfo:
    """A document as it is listed."""

    id: int
    name: str
    """The source: a path inside the library, or the name of an uploaded file."""
    title: str
    owner: str
    kind: str | None
    pages: int | None
    chunks: int
    status: Literal["ready", "failed"]
    reason: str | None
    """Why it failed or, for a ready one, what of it could not be read; for a person."""
    sha256: str
    bytes: int
    origin: str
    """Where it came from: ``folder`` (the library's), ``upload``, or the file's absolute path."""


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


class Store:
    """Blocking access to the database: call it from a thread."""

    def __init__(self, data_dir: Path, fingerprint: Fingerprint) -> None:
        """Open the store in ``data_dir``. Raises ``StoreError`` subclasses."""
        self._database = Database(data_dir / DATABASE_NAME)
        self.fingerprint = fingerprint

    # ── writing ──────────────────────────────────────────────────────────────────────────────

    def put_document(
        self,
        owner: str,
        source: str,
        *,
        origin: str,
        sha256: str,
        size_bytes: int,
        document: LoadedDocument,
        chunks: Sequence[Chunk],
        vectors: Vectors,
    ) -> int:
        """Add or replace a document in one transaction and return its id.

        ``vectors`` has shape ``(len(chunks), dimension)``, float32.
        """
        if vectors.shape != (len(chunks), self.fingerprint.dimension):
            raise ValueError(f"{len(chunks)} chunks, but vectors of shape {vectors.shape}")
        pages = json.dumps([[page.number, page.start, page.end] for page in document.pages])
        headings = json.dumps([[h.level, h.text, h.start, h.end] for h in document.headings])
        with self._database.writing() as db:
            collection = self._collection_id(db, owner)
            db.execute(
                "DELETE FROM documents WHERE collection_id = ? AND source = ?", (collection, source)
            )
            cursor = db.execute(
                "INSERT INTO documents(collection_id, source, origin, sha256, bytes, status,"
                " reason, kind, title, pages, headings, text)"
                " VALUES (?, ?, ?, ?, ?, 'ready', ?, ?, ?, ?, ?, ?)",
                (
                    *(collection, source, origin, sha256, size_bytes),
                    *(" ".join(document.warnings) or None, document.kind),
                    *(document.title, pages, headings, document.text),
                ),
            )
            document_id = cursor.lastrowid
            assert document_id is not None  # noqa: S101 - an INSERT always sets it
            db.executemany(
                'INSERT INTO chunks(document_id, collection_id, start, "end", heading, text,'
                " owner_token, vector) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        *(document_id, collection, chunk.start, chunk.end),
                        *(search_heading(document.title, chunk.heading), chunk.text),
                        *(owner_token(collection), vector.tobytes()),
                    )
                    for chunk, vector in zip(chunks, vectors, strict=True)
                ),
            )
            _bump(db, collection)
        return document_id

    def put_failure(
        self,
        owner: str,
        source: str,
        *,
        origin: str,
        sha256: str,
        size_bytes: int,
        title: str,
        reason: str,
    ) -> None:
        """Record why a file could not be read; an older good version of it is kept."""
        with self._database.writing() as db:
            collection = self._collection_id(db, owner)
            db.execute(
                "INSERT INTO documents(collection_id, source, origin, sha256, bytes, status,"
                " reason, title) VALUES (?, ?, ?, ?, ?, 'failed', ?, ?)"
                " ON CONFLICT(collection_id, source) DO UPDATE SET"
                " reason = excluded.reason",
                (collection, source, origin, sha256, size_bytes, reason, title),
            )

    def delete_document(self, document_id: int, owner: str) -> bool:
        """Remove a document of ``owner``'s with all that belongs to it; False if there is none."""
        with self._database.writing() as db:
            row = db.execute(
                "SELECT d.collection_id FROM documents d JOIN collections c"
                " ON c.id = d.collection_id WHERE d.id = ? AND c.owner = ?",
                (document_id, owner),
            ).fetchone()
            if row is None:
                return False
            db.execute("DELETE FROM documents WHERE id = ?", (document_id,))
            _bump(db, row[0])
            return True

    def delete_owner(self, owner: str) -> None:
        """Remove everything that belongs to ``owner``."""
        with self._database.writing() as db:
            row = db.execute("SELECT id FROM collections WHERE owner = ?", (owner,)).fetchone()
            if row is not None:
                db.execute("DELETE FROM collections WHERE id = ?", row)

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    def find_document(self, owner: str, source: str) -> DocumentInfo | None:
        """Return the document that ``source`` became, or None."""
        found = self._documents("c.owner = ? AND d.source = ?", (owner, source))
        return found[0] if found else None

    def documents(self, owners: Sequence[str]) -> list[DocumentInfo]:
        """Return all documents of ``owners``, by owner and name."""
        return self._documents(f"c.owner IN ({_marks(owners)})", tuple(owners))

    def owners(self) -> list[str]:
        """Return everyone who has a collection."""
        with self._database.reading() as db:
            return [row[0] for row in db.execute("SELECT owner FROM collections")]

    def outdated_owners(self) -> list[str]:
        """Return the owners whose chunks another embedder or splitter made."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT owner, embedder, dimension, splitter FROM collections ORDER BY id"
            ).fetchall()
        return [row[0] for row in rows if Fingerprint(*row[1:]) != self.fingerprint]

    def load_document(self, document_id: int) -> LoadedDocument:
        """Return a stored document as its loader gave it, to be split and embedded again."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT text, title, kind, pages, headings FROM documents WHERE id = ?",
                (document_id,),
            ).fetchone()
        text, title, kind, pages, headings = row
        return LoadedDocument(
            text=text,
            title=title,
            kind=kind,
            pages=tuple(PageSpan(*page) for page in json.loads(pages)),
            headings=tuple(HeadingSpan(*heading) for heading in json.loads(headings)),
        )

    def replace_collection(self, owner: str, rebuilt_owner: str) -> None:
        """Give the collection of ``rebuilt_owner`` to ``owner``; the old one goes, at once."""
        with self._database.writing() as db:
            db.execute("DELETE FROM collections WHERE owner = ?", (owner,))
            db.execute("UPDATE collections SET owner = ? WHERE owner = ?", (owner, rebuilt_owner))

    def revisions(self, owners: Sequence[str]) -> list[tuple[int, str, int]]:
        """Return ``(collection id, owner, revision)``; cheap enough for each search."""
        with self._database.reading() as db:
            rows: list[tuple[int, str, int]] = db.execute(
                f"SELECT id, owner, revision FROM collections WHERE owner IN ({_marks(owners)})"
                " AND embedder = ? AND splitter = ?",
                (*owners, self.fingerprint.embedder, self.fingerprint.splitter),
            ).fetchall()
        return rows

    def chunk_ids(self, collection_id: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Return all chunk ids of a collection, ascending, int64."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT id FROM chunks WHERE collection_id = ? ORDER BY id", (collection_id,)
            ).fetchall()
        return np.fromiter((row[0] for row in rows), dtype=np.int64, count=len(rows))

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
                found.update(
                    db.execute(
                        f"SELECT id, vector FROM chunks WHERE id IN ({_marks(block)})", block
                    ).fetchall()
                )
        stacked = b"".join(found[chunk_id] for chunk_id in chunk_ids)
        return np.frombuffer(stacked, dtype=np.float32).reshape(-1, self.fingerprint.dimension)

    def chunks(self, chunk_ids: Sequence[int], owners: Sequence[str]) -> dict[int, StoredChunk]:
        """Return those of ``chunk_ids`` that belong to ``owners``."""
        with self._database.reading() as db:
            rows = db.execute(
                'SELECT k.id, d.id, c.owner, d.source, d.title, k.heading, k.start, k."end",'
                " k.text FROM chunks k JOIN documents d ON d.id = k.document_id"
                " JOIN collections c ON c.id = d.collection_id"
                f" WHERE k.id IN ({_marks(chunk_ids)}) AND c.owner IN ({_marks(owners)})",
                (*chunk_ids, *owners),
            ).fetchall()
        return {row[0]: StoredChunk(*row) for row in rows}

    def pages(self, document_id: int) -> tuple[PageSpan, ...]:
        """Return where each page of a document stands in its text."""
        with self._database.reading() as db:
            row = db.execute("SELECT pages FROM documents WHERE id = ?", (document_id,)).fetchone()
        return tuple(PageSpan(*page) for page in json.loads(row[0])) if row else ()

    def headings(self, owners: Sequence[str], limit: int) -> list[tuple[str, str]]:
        """Return ``(title, heading)`` pairs in the documents' order, at most ``limit``."""
        with self._database.reading() as db:
            rows: list[tuple[str, str]] = db.execute(
                "SELECT d.title, k.heading FROM chunks k JOIN documents d ON d.id = k.document_id"
                f" JOIN collections c ON c.id = d.collection_id WHERE c.owner IN ({_marks(owners)})"
                " GROUP BY d.id, k.heading ORDER BY d.id, MIN(k.id) LIMIT ?",
                (*owners, limit),
            ).fetchall()
        return rows

    def totals(self) -> tuple[int, int]:
        """Return how many documents are ready and how many chunks there are, over all owners."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT (SELECT COUNT(*) FROM documents WHERE status = 'ready'),"
                " (SELECT COUNT(*) FROM chunks)"
            ).fetchone()
        return row[0], row[1]

    def match(self, expression: str, owners: Sequence[str], limit: int) -> list[tuple[int, float]]:
        """Return ``(chunk id, BM25 score)`` of the best matches, larger is better.

        ``expression`` is an FTS5 query over the columns ``text`` and ``heading``.
        """
        with self._database.reading() as db:
            ids = db.execute(
                f"SELECT id FROM collections WHERE owner IN ({_marks(owners)})"
                " AND embedder = ? AND splitter = ?",
                (*owners, self.fingerprint.embedder, self.fingerprint.splitter),
            ).fetchall()
            if not ids:
                return []
            mine = " OR ".join(owner_token(row[0]) for row in ids)
            rows = db.execute(
                "SELECT rowid, -bm25(chunk_fts, 1.0, 0.6, 0.0) AS score FROM chunk_fts"
                " WHERE chunk_fts MATCH ? ORDER BY bm25(chunk_fts, 1.0, 0.6, 0.0) LIMIT ?",
                (f"owner_token : ({mine}) AND {{text heading}} : ({expression})", limit),
            ).fetchall()
        return [(row[0], row[1]) for row in rows]

    def term_counts(self, terms: Sequence[str]) -> dict[str, int]:
        """Return in how many chunks each (already stemmed) term stands."""
        with self._database.reading() as db:
            return dict(
                db.execute(
                    f"SELECT term, doc FROM chunk_terms WHERE term IN ({_marks(terms)})",
                    tuple(terms),
                ).fetchall()
            )

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _collection_id(self, db: sqlite3.Connection, owner: str) -> int:
        """Return the owner's collection, made if need be."""
        mine = self.fingerprint
        row = db.execute(
            "SELECT id, embedder, dimension, splitter FROM collections WHERE owner = ?", (owner,)
        ).fetchone()
        if row is not None:
            if Fingerprint(*row[1:]) != mine:
                raise StoreError(
                    "The index is being rebuilt for another embedder; try again in a moment."
                )
            return int(row[0])
        cursor = db.execute(
            "INSERT INTO collections(owner, embedder, dimension, splitter) VALUES (?, ?, ?, ?)",
            (owner, mine.embedder, mine.dimension, mine.splitter),
        )
        return int(cursor.lastrowid or 0)

    def _documents(self, where: str, values: tuple[object, ...]) -> list[DocumentInfo]:
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT d.id, d.source, d.title, c.owner, d.kind,"
                " NULLIF(json_array_length(d.pages), 0),"
                " (SELECT COUNT(*) FROM chunks k WHERE k.document_id = d.id),"
                " d.status, d.reason, d.sha256, d.bytes, d.origin"
                " FROM documents d JOIN collections c ON c.id = d.collection_id"
                f" WHERE {where} ORDER BY c.owner, d.source",
                values,
            ).fetchall()
        return [DocumentInfo(*row) for row in rows]


def owner_token(collection_id: int) -> str:
    """Return the word that stands for a collection in the full-text index."""
    return f"xoecollection{collection_id}"


def _bump(db: sqlite3.Connection, collection_id: int) -> None:
    db.execute("UPDATE collections SET revision = revision + 1 WHERE id = ?", (collection_id,))


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _blocks(values: Sequence[int], size: int = 500) -> list[tuple[int, ...]]:
    """Cut a list of ids into pieces that fit SQLite's limit of variables."""
    return [tuple(int(v) for v in values[i : i + size]) for i in range(0, len(values), size)]
