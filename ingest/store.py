"""Documents, chunks, vectors and their full-text index: the only truth, in one database.

Every query names the owners whose rows it may see. Adding or replacing a document is one
transaction, and so is removing one; the collection's revision grows with each, which is how the
vector indexes learn that they are behind.

Each row has a hash of its content (``ingest.digests``), which is compared when a passage is read:
what is quoted is what was stored, or it is not quoted.
"""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import numpy as np

from core.errors import StoreError
from ingest.database import DocumentDatabase, FullTextDamagedError, damaged_row, marks
from ingest.digests import (
    CHUNK_COLUMNS,
    COLLECTION_COLUMNS,
    DOCUMENT_COLUMNS,
    Value,
    digest,
)
from ingest.full_text import FullText, owner_token
from ingest.integrity import CheckReport, Step
from ingest.loaders import HeadingSpan, LoadedDocument, PageSpan
from ingest.moving import move
from ingest.splitter import Chunk, search_heading
from ingest.swap import DATABASE_NAME as DATABASE_NAME
from ingest.swap import Hold
from ingest.vectors import Rows, Vectors

CHECK_AT_OPEN_BYTES = 64 * 2**20
"""A database up to this size (about 20,000 passages) is checked wholly before it is served: that
takes a second. A larger one is served and checked meanwhile."""

_REASON = DOCUMENT_COLUMNS.split(", ").index("reason")
_OWNER = COLLECTION_COLUMNS.split(", ").index("owner")

_Call = TypeVar("_Call", bound=Callable[..., Any])


def _mending(call: _Call) -> _Call:
    """Build a damaged full-text index anew and call once more."""

    @functools.wraps(call)
    def mended(self: Store, *args: Any, **kwargs: Any) -> Any:
        try:
            return call(self, *args, **kwargs)
        except FullTextDamagedError:
            self.rebuild_full_text()
            return call(self, *args, **kwargs)

    return cast(_Call, mended)


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
        self.fingerprint = fingerprint
        self._hold = Hold.shared(data_dir)
        try:
            self._database = DocumentDatabase(data_dir / DATABASE_NAME)
            self._full_text = FullText()
        except BaseException:
            self._hold.release()
            raise

    # ── writing ──────────────────────────────────────────────────────────────────────────────

    @_mending
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
            fields = (
                *(collection, source, origin, sha256, size_bytes, "ready"),
                *(" ".join(document.warnings) or None, document.kind),
                *(document.title, pages, headings),
            )
            db.execute(
                "DELETE FROM documents WHERE collection_id = ? AND source = ?", (collection, source)
            )
            cursor = db.execute(
                f"INSERT INTO documents({DOCUMENT_COLUMNS}, text, digest, text_digest)"
                f" VALUES ({marks(fields)}, ?, ?, ?)",
                (*fields, document.text, digest(*fields), digest(document.text)),
            )
            document_id = cursor.lastrowid
            assert document_id is not None  # noqa: S101 - an INSERT always sets it
            db.executemany(
                'INSERT INTO chunks(document_id, collection_id, start, "end", heading, text,'
                " owner_token, vector, digest, vector_digest)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    _chunk_row(document_id, collection, source, document.title, chunk, vector)
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
            known = db.execute(
                f"SELECT id, digest, {DOCUMENT_COLUMNS} FROM documents"
                " WHERE collection_id = ? AND source = ?",
                (collection, source),
            ).fetchone()
            if known is None:
                fields: tuple[Value, ...] = (
                    *(collection, source, origin, sha256, size_bytes, "failed"),
                    *(reason, None, title, "[]", "[]"),
                )
                db.execute(
                    f"INSERT INTO documents({DOCUMENT_COLUMNS}, text, digest, text_digest)"
                    f" VALUES ({marks(fields)}, '', ?, ?)",
                    (*fields, digest(*fields), digest("")),
                )
                return
            document_id, expected, *values = known
            self._compare("document", expected, *values)
            values[_REASON] = reason
            db.execute(
                "UPDATE documents SET reason = ?, digest = ? WHERE id = ?",
                (reason, digest(*values), document_id),
            )

    @_mending
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

    @_mending
    def move_document(self, document_id: int, owner: str, to_owner: str) -> bool:
        """Give a document of ``owner``'s that could be read to ``to_owner``; False if none is.

        Raises ``DocumentError`` when that one has a document of the same name.
        """
        with self._database.writing() as db:
            row = db.execute(
                f"SELECT d.digest, {_prefixed(DOCUMENT_COLUMNS)}"
                " FROM documents d JOIN collections c ON c.id = d.collection_id"
                " WHERE d.id = ? AND c.owner = ? AND d.status = 'ready'",
                (document_id, owner),
            ).fetchone()
            if row is None:
                return False
            expected, *fields = row
            self._compare("document", expected, *fields)
            target = self._collection_id(db, to_owner)
            move(db, document_id, tuple(fields), collection=target, token=owner_token(target))
            _bump(db, fields[0])
            _bump(db, target)
            return True

    @_mending
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
        return self._documents(f"c.owner IN ({marks(owners)})", tuple(owners))

    def owners(self) -> list[str]:
        """Return everyone who has a collection."""
        with self._database.reading() as db:
            return [row[0] for row in db.execute("SELECT owner FROM collections")]

    def collection_ids(self) -> list[int]:
        """Return the ids of all collections."""
        with self._database.reading() as db:
            return [row[0] for row in db.execute("SELECT id FROM collections")]

    def outdated_owners(self) -> list[str]:
        """Return the owners whose chunks another embedder or splitter made."""
        with self._database.reading() as db:
            rows = db.execute(
                f"SELECT digest, {COLLECTION_COLUMNS} FROM collections ORDER BY id"
            ).fetchall()
            for expected, *values in rows:
                self._compare("collection", expected, *values)
        return [row[2] for row in rows if Fingerprint(*row[3:]) != self.fingerprint]

    def load_document(self, document_id: int) -> LoadedDocument:
        """Return a stored document as its loader gave it, to be split and embedded again."""
        with self._database.reading() as db:
            text, expected_text, expected, *fields = db.execute(
                f"SELECT text, text_digest, digest, {DOCUMENT_COLUMNS} FROM documents WHERE id = ?",
                (document_id,),
            ).fetchone()
            self._compare("document", expected, *fields)
            self._compare("document's text", expected_text, text)
        kind, title, pages, headings = fields[-4:]
        return LoadedDocument(
            text=text,
            title=title,
            kind=kind,
            pages=tuple(PageSpan(*page) for page in json.loads(pages)),
            headings=tuple(HeadingSpan(*heading) for heading in json.loads(headings)),
        )

    @_mending
    def replace_collection(self, owner: str, rebuilt_owner: str) -> None:
        """Give the collection of ``rebuilt_owner`` to ``owner``; the old one goes, at once."""
        with self._database.writing() as db:
            expected, *fields = db.execute(
                f"SELECT digest, {COLLECTION_COLUMNS} FROM collections WHERE owner = ?",
                (rebuilt_owner,),
            ).fetchone()
            self._compare("collection", expected, *fields)
            fields[_OWNER] = owner
            db.execute("DELETE FROM collections WHERE owner = ?", (owner,))
            db.execute(
                "UPDATE collections SET owner = ?, digest = ? WHERE owner = ?",
                (owner, digest(*fields), rebuilt_owner),
            )

    def revisions(self, owners: Sequence[str]) -> list[tuple[int, str, int]]:
        """Return ``(collection id, owner, revision)``; cheap enough for each search."""
        with self._database.reading() as db:
            rows = db.execute(
                f"SELECT revision, digest, {COLLECTION_COLUMNS} FROM collections"
                f" WHERE owner IN ({marks(owners)}) AND embedder = ? AND splitter = ?",
                (*owners, self.fingerprint.embedder, self.fingerprint.splitter),
            ).fetchall()
            for _revision, expected, *fields in rows:
                self._compare("collection", expected, *fields)
        return [(row[2], row[3], row[0]) for row in rows]

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
        stacked = b"".join(found[chunk_id] for chunk_id in chunk_ids)
        return np.frombuffer(stacked, dtype=np.float32).reshape(-1, self.fingerprint.dimension)

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
                document_id, _collection, source, title, start, end, heading, text, _token = values
                found[chunk_id] = StoredChunk(
                    *(chunk_id, document_id, owner, source, title, heading, start, end, text)
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
        return tuple(PageSpan(*page) for page in json.loads(row[-2]))

    def headings(self, owners: Sequence[str], limit: int) -> list[tuple[str, str]]:
        """Return ``(title, heading)`` pairs in the documents' order, at most ``limit``."""
        with self._database.reading() as db:
            rows: list[tuple[str, str]] = db.execute(
                "SELECT d.title, k.heading FROM chunks k JOIN documents d ON d.id = k.document_id"
                f" JOIN collections c ON c.id = d.collection_id WHERE c.owner IN ({marks(owners)})"
                " GROUP BY d.id, k.heading ORDER BY d.id, MIN(k.id) LIMIT ?",
                (*owners, limit),
            ).fetchall()
        return rows

    def statuses(self) -> dict[str, int]:
        """Return how many documents there are of each status, over all owners."""
        with self._database.reading() as db:
            rows = db.execute("SELECT status, COUNT(*) FROM documents GROUP BY status").fetchall()
        return dict(rows)

    def totals(self) -> tuple[int, int]:
        """Return how many documents are ready and how many chunks there are, over all owners."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT (SELECT COUNT(*) FROM documents WHERE status = 'ready'),"
                " (SELECT COUNT(*) FROM chunks)"
            ).fetchone()
        return row[0], row[1]

    @_mending
    def match(self, expression: str, owners: Sequence[str], limit: int) -> list[tuple[int, float]]:
        """Return ``(chunk id, BM25 score)`` of the best matches, larger is better.

        ``expression`` is an FTS5 query over the columns ``text`` and ``heading``.
        """
        with self._database.reading() as db:
            ids = db.execute(
                f"SELECT id FROM collections WHERE owner IN ({marks(owners)})"
                " AND embedder = ? AND splitter = ?",
                (*owners, self.fingerprint.embedder, self.fingerprint.splitter),
            ).fetchall()
            return self._full_text.match(db, [row[0] for row in ids], expression, limit)

    @_mending
    def term_counts(self, terms: Sequence[str]) -> dict[str, int]:
        """Return in how many chunks each (already stemmed) term stands."""
        with self._database.reading() as db:
            return self._full_text.term_counts(db, terms)

    def chunk_count(self) -> int:
        """Return the number of chunks, over all owners; cheap enough for each search."""
        with self._database.reading() as db:
            return self._full_text.chunks(db)

    # ── safety ───────────────────────────────────────────────────────────────────────────────

    @property
    def needs_check(self) -> bool:
        """Tell whether to check the database wholly before it is served."""
        path = self._database.path
        return self._database.suspect or path.stat().st_size <= CHECK_AT_OPEN_BYTES

    def check(self, tell: Step | None = None) -> CheckReport:
        """Check the whole database; the full-text index is built anew where it is damaged.

        Reads all of it: a second for 10,000 passages, a quarter of a minute for 100,000.
        Raises ``StoreDamagedError``, after which every call does.
        """
        report = self._database.check(tell)
        self._full_text = FullText()
        return report

    def rebuild_full_text(self) -> None:
        """Build the full-text index anew from the passages."""
        self._database.rebuild_full_text()
        self._full_text = FullText()

    def backup_to(self, target: Path, tell: Step | None = None) -> None:
        """Copy the database as it is now into the new file ``target``; see ``DocumentDatabase``."""
        self._database.backup_to(target, tell)

    def close(self) -> None:
        """Close the database."""
        self._database.close()
        self._hold.release()

    # ── inside ───────────────────────────────────────────────────────────────────────────────

    def _collection_id(self, db: sqlite3.Connection, owner: str) -> int:
        """Return the owner's collection, made if need be."""
        mine = self.fingerprint
        row = db.execute(
            f"SELECT digest, {COLLECTION_COLUMNS} FROM collections WHERE owner = ?", (owner,)
        ).fetchone()
        if row is not None:
            self._compare("collection", *row)
            if Fingerprint(*row[3:]) != mine:
                raise StoreError(
                    "The index is being rebuilt for another embedder; try again in a moment."
                )
            return int(row[1])
        cursor = db.execute(
            "INSERT INTO collections(owner, embedder, dimension, splitter) VALUES (?, ?, ?, ?)",
            (owner, mine.embedder, mine.dimension, mine.splitter),
        )
        collection = int(cursor.lastrowid or 0)
        fields = (collection, owner, mine.embedder, mine.dimension, mine.splitter)
        db.execute("UPDATE collections SET digest = ? WHERE id = ?", (digest(*fields), collection))
        return collection

    def _compare(self, what: str, expected: int, *values: Value) -> None:
        """Raise ``StoreDamagedError`` where a row's hash is not that of its content."""
        if digest(*values) != expected:
            raise damaged_row(self._database.path, what)

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


def _chunk_row(
    document_id: int, collection: int, source: str, title: str, chunk: Chunk, vector: Vectors
) -> tuple[Value, ...]:
    heading, token = search_heading(title, chunk.heading), owner_token(collection)
    place = (document_id, collection)
    span = (chunk.start, chunk.end, heading, chunk.text, token)
    blob = vector.tobytes()
    return (*place, *span, blob, digest(*place, source, title, *span), digest(blob))


def _bump(db: sqlite3.Connection, collection_id: int) -> None:
    db.execute("UPDATE collections SET revision = revision + 1 WHERE id = ?", (collection_id,))


def _prefixed(columns: str) -> str:
    return ", ".join(f"d.{column}" for column in columns.split(", "))


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
