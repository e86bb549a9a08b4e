"""Documents, chunks, vectors and their full-text index: the only truth, in one database.

Every query names the owners whose rows it may see. Adding or replacing a document is one
transaction, and so is removing one; the collection's revision grows with each, which is how the
vector indexes learn that they are behind.

Each row has a hash of its content (``ingest.digests``), which is compared when a passage is read:
what is quoted is what was stored, or it is not quoted.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from ingest.database import DocumentDatabase, marks
from ingest.digests import (
    COLLECTION_COLUMNS,
    DOCUMENT_COLUMNS,
    ChunkRow,
    CollectionRow,
    DocumentRow,
    Value,
    digest,
)
from ingest.full_text import FullText, owner_token
from ingest.integrity import CheckReport, Step
from ingest.language import passage_language
from ingest.listing import DocumentInfo as DocumentInfo
from ingest.listing import Excerpt as Excerpt
from ingest.loaders import HeadingSpan, LoadedDocument, PageSpan
from ingest.loaders.document import Kind
from ingest.moving import copy, inside, remove
from ingest.originals import Originals
from ingest.ownership import Ownership, bump, made_by
from ingest.passages import Fingerprint as Fingerprint
from ingest.passages import mending
from ingest.splitter import Chunk, search_heading
from ingest.stored_text import PLAIN_TEXT, packed_text
from ingest.swap import DATABASE_NAME as DATABASE_NAME
from ingest.swap import Hold
from ingest.vectors import Vectors, pack_vector

CHECK_AT_OPEN_BYTES = 64 * 2**20
"""A database up to this size (about 20,000 passages) is checked wholly before it is served: that
takes a second. A larger one is served and checked meanwhile."""

_INSERT = f"INSERT INTO documents({DOCUMENT_COLUMNS}, text, digest, text_digest)"


class Store(Ownership):
    """Blocking access to the database: call it from a thread."""

    def __init__(self, data_dir: Path, fingerprint: Fingerprint) -> None:
        """Open the store in ``data_dir``. Raises ``StoreError`` subclasses."""
        self._hold = Hold.shared(data_dir)
        try:
            super().__init__(DocumentDatabase(data_dir / DATABASE_NAME), fingerprint)
        except BaseException:
            self._hold.release()
            raise

    # ── writing ──────────────────────────────────────────────────────────────────────────────

    @mending
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
        tokens: Sequence[bytes] | None = None,
    ) -> int:
        """Add or replace a document in one transaction and return its id.

        ``vectors`` has shape ``(len(chunks), dimension)``, float32. ``tokens``: what late
        interaction keeps of each chunk; without it they are not ranked again.
        """
        if vectors.shape != (len(chunks), self.fingerprint.dimension):
            raise ValueError(f"{len(chunks)} chunks, but vectors of shape {vectors.shape}")
        with self._database.writing() as db:
            collection = self._collection_id(db, owner)
            row = DocumentRow(
                collection_id=collection,
                source=source,
                origin=origin,
                sha256=sha256,
                bytes=size_bytes,
                status="ready",
                reason=" ".join(document.warnings) or None,
                kind=document.kind,
                title=document.title,
                pages=json.dumps([[page.number, page.start, page.end] for page in document.pages]),
                headings=json.dumps([[h.level, h.text, h.start, h.end] for h in document.headings]),
            )
            db.execute(
                "DELETE FROM documents WHERE collection_id = ? AND source = ?", (collection, source)
            )
            cursor = db.execute(
                f"{_INSERT} VALUES ({marks(row)}, ?, ?, ?)",
                (*row, packed_text(document.text), digest(*row), digest(document.text)),
            )
            document_id = cursor.lastrowid
            assert document_id is not None  # noqa: S101 - an INSERT always sets it
            db.executemany(
                'INSERT INTO chunks(document_id, collection_id, start, "end", heading, text,'
                " owner_token, language, vector, digest, vector_digest, tokens, tokens_digest)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        *_chunk_row(document_id, collection, source, document, chunk, vector),
                        *(packed, digest(packed)),
                    )
                    for chunk, vector, packed in zip(
                        chunks, vectors, tokens or [b""] * len(chunks), strict=True
                    )
                ),
            )
            bump(db, collection)
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
                row = DocumentRow(
                    collection_id=collection,
                    source=source,
                    origin=origin,
                    sha256=sha256,
                    bytes=size_bytes,
                    status="failed",
                    reason=reason,
                    kind=None,
                    title=title,
                    pages="[]",
                    headings="[]",
                )
                db.execute(
                    f"{_INSERT} VALUES ({marks(row)}, ?, ?, ?)",
                    (*row, packed_text(""), digest(*row), digest("")),
                )
                return
            document_id, expected, *values = known
            self._compare("document", expected, *values)
            row = DocumentRow(*values)._replace(reason=reason)
            db.execute(
                "UPDATE documents SET reason = ?, digest = ? WHERE id = ?",
                (reason, digest(*row), document_id),
            )

    @mending
    def put_copy(
        self, owner: str, source: str, *, origin: str, sha256: str, kind: str
    ) -> DocumentInfo | None:
        """Add or replace a document by one of the same content, if there is one; else None.

        Nothing is embedded for it. ``sha256`` and ``kind`` are those of what was read already.
        """
        with self._database.writing() as db:
            collection = self._collection_id(db, owner)
            found = db.execute(
                f"SELECT id, digest, {DOCUMENT_COLUMNS} FROM documents"
                " WHERE collection_id = ? AND sha256 = ? AND kind = ? AND status = 'ready'"
                " AND source != ? LIMIT 1",
                (collection, sha256, kind, source),
            ).fetchone()
            if found is None:
                return None
            document_id, *values = found
            self._compare("document", *values)
            db.execute(
                "DELETE FROM documents WHERE collection_id = ? AND source = ?", (collection, source)
            )
            copy(db, document_id, DocumentRow(*values[1:]), source=source, origin=origin)
            bump(db, collection)
        return self.find_document(owner, source)

    @mending
    def delete_document(self, document_id: int, owner: str) -> bool:
        """Remove a document of ``owner``'s with all that belongs to it; False if there is none.

        What was inside of it goes too.
        """
        with self._database.writing() as db:
            row = db.execute(
                "SELECT d.collection_id, d.source FROM documents d JOIN collections c"
                " ON c.id = d.collection_id WHERE d.id = ? AND c.owner = ?",
                (document_id, owner),
            ).fetchone()
            if row is None:
                return False
            remove(db, document_id, *row)
            bump(db, row[0])
            return True

    @mending
    def keep_members(self, owner: str, source: str, names: Sequence[str]) -> None:
        """Remove what was inside of the document ``source`` and is not among ``names`` now."""
        kept = set(names)
        with self._database.writing() as db:
            collection = self._collection_id(db, owner)
            gone = [one for one in inside(db, collection, source) if one[1] not in kept]
            for document_id, name in gone:
                remove(db, document_id, collection, name)
            if gone:
                bump(db, collection)

    @mending
    def forget_deleted(self) -> None:
        """Take the words of deleted documents out of the full-text index's pieces, and their files.

        They keep them until pieces are merged. Takes seconds for 100,000 passages.
        """
        with self._database.writing() as db:
            db.execute("INSERT INTO chunk_fts(chunk_fts) VALUES ('optimize')")
        collect_originals(self)

    # ── reading ──────────────────────────────────────────────────────────────────────────────

    def outdated_owners(self) -> list[str]:
        """Return the owners whose chunks another embedder or splitter made."""
        with self._database.reading() as db:
            rows = db.execute(
                f"SELECT digest, {COLLECTION_COLUMNS} FROM collections ORDER BY id"
            ).fetchall()
            for row in rows:
                self._compare("collection", *row)
        collections = [CollectionRow(*row[1:]) for row in rows]
        return [one.owner for one in collections if made_by(one) != self.fingerprint]

    def load_document(self, document_id: int) -> LoadedDocument:
        """Return a stored document as its loader gave it, to be split and embedded again."""
        with self._database.reading() as db:
            text, expected_text, expected, *values = db.execute(
                f"SELECT {PLAIN_TEXT}, text_digest, digest, {DOCUMENT_COLUMNS} FROM documents"
                " WHERE id = ?",
                (document_id,),
            ).fetchone()
            self._compare("document", expected, *values)
            self._compare("document's text", expected_text, text)
        row = DocumentRow(*values)
        return LoadedDocument(
            text=text,
            title=row.title,
            kind=cast(Kind, row.kind),
            pages=tuple(PageSpan(*page) for page in json.loads(row.pages)),
            headings=tuple(HeadingSpan(*heading) for heading in json.loads(row.headings)),
        )

    @mending
    def replace_collection(self, owner: str, rebuilt_owner: str) -> None:
        """Give the collection of ``rebuilt_owner`` to ``owner``; the old one goes, at once."""
        with self._database.writing() as db:
            found = db.execute(
                f"SELECT digest, {COLLECTION_COLUMNS} FROM collections WHERE owner = ?",
                (rebuilt_owner,),
            ).fetchone()
            self._compare("collection", *found)
            row = CollectionRow(*found[1:])._replace(owner=owner)
            db.execute(
                "UPDATE OR IGNORE tags SET collection_id = ? WHERE collection_id ="
                " (SELECT id FROM collections WHERE owner = ?)",
                (row.id, owner),
            )
            db.execute("DELETE FROM collections WHERE owner = ?", (owner,))
            db.execute(
                "UPDATE collections SET owner = ?, digest = ? WHERE owner = ?",
                (owner, digest(*row), rebuilt_owner),
            )

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

    def backup_to(self, target: Path, tell: Step | None = None) -> None:
        """Copy the database as it is now into the new file ``target``; see ``DocumentDatabase``."""
        self._database.backup_to(target, tell)

    def close(self) -> None:
        """Close the database."""
        self._database.close()
        self._hold.release()


def collect_originals(store: Store) -> int:
    """Remove each kept file that no document is of any more; return how many were.

    Blocking. Raises ``StoreError``.
    """
    return Originals(store.folder).collect(store.content_hashes)


def _chunk_row(
    document_id: int,
    collection: int,
    source: str,
    document: LoadedDocument,
    chunk: Chunk,
    vector: Vectors,
) -> tuple[Value, ...]:
    heading, token = search_heading(document.title, chunk.heading), owner_token(collection)
    language = passage_language(chunk.text, document.text)
    span = (chunk.start, chunk.end, heading, chunk.text, token, language)
    row = ChunkRow(document_id, collection, source, document.title, *span)
    blob = pack_vector(vector)
    return (document_id, collection, *span, blob, digest(*row), digest(blob))
