"""Removes documents, copies them, gives them to another owner; what was inside of one follows.

What is copied or given away is written anew, and neither read nor embedded anew.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from core.errors import DocumentError, StoreError
from ingest.database import marks
from ingest.digests import DOCUMENT_COLUMNS, DocumentRow, digest
from ingest.loaders import titles
from ingest.sources import origin_inside

_MOVED: Final = """
INSERT INTO chunks(document_id, collection_id, start, "end", heading, text, owner_token,
    language, vector, digest, vector_digest, tokens, tokens_digest)
SELECT k.document_id, ?1, k.start, k."end", k.heading, k.text, ?2, k.language, k.vector,
    content_digest(
        k.document_id, ?1, d.source, d.title, k.start, k."end", k.heading, k.text, ?2, k.language
    ), k.vector_digest, k.tokens, k.tokens_digest
FROM chunks k JOIN documents d ON d.id = k.document_id
WHERE k.document_id = ?3 AND k.collection_id = ?4 ORDER BY k.id
"""

_INSERTED: Final = (
    f"INSERT INTO documents({DOCUMENT_COLUMNS}, digest, text, text_digest)"
    f" VALUES ({marks(DocumentRow._fields)}, ?, ?, ?)"
)
_COPIED: Final = """
INSERT INTO chunks(document_id, collection_id, start, "end", heading, text, owner_token,
    language, vector, digest, vector_digest, tokens, tokens_digest)
SELECT ?1, h.collection_id, h.start, h."end", h.named, h.text, h.owner_token, h.language,
    h.vector, content_digest(
        ?1, h.collection_id, ?2, ?3, h.start, h."end", h.named, h.text, h.owner_token, h.language
    ), h.vector_digest, h.tokens, h.tokens_digest
FROM (
    SELECT k.*, CASE WHEN substr(k.heading, 1, ?5) = ?4 THEN ?3 || substr(k.heading, ?5 + 1)
        ELSE k.heading END AS named
    FROM chunks k WHERE k.document_id = ?6
) h ORDER BY h.id
"""


def move(
    db: sqlite3.Connection,
    document_id: int,
    document: DocumentRow,
    *,
    collection: int,
    token: str,
) -> None:
    """Write a document and its passages to another collection.

    ``token`` is that collection's in the full-text index. Raises ``DocumentError`` when there is
    one of that name already, ``StoreError`` when the two are of different embedders.
    """
    before, source = document.collection_id, document.source
    made_by = "SELECT embedder, splitter FROM collections WHERE id = ?"
    if db.execute(made_by, (before,)).fetchone() != db.execute(made_by, (collection,)).fetchone():
        raise StoreError("The documents are being brought up to date. Please try again later.")
    if db.execute(
        "SELECT 1 FROM documents WHERE collection_id = ? AND source = ?", (collection, source)
    ).fetchone():
        raise DocumentError(f"There is a document named {source} there already.")
    db.execute(
        "UPDATE documents SET collection_id = ?, digest = ? WHERE id = ?",
        (collection, digest(*document._replace(collection_id=collection)), document_id),
    )
    # Written anew and not changed: the full-text index follows what is added and removed.
    db.execute(
        _MOVED,
        (collection, token, document_id, before),
    )
    db.execute(
        "DELETE FROM chunks WHERE document_id = ? AND collection_id = ?", (document_id, before)
    )
    db.execute(
        "UPDATE tags SET collection_id = ? WHERE collection_id = ? AND source = ?",
        (collection, before, source),
    )


def copy(
    db: sqlite3.Connection, document_id: int, document: DocumentRow, *, source: str, origin: str
) -> None:
    """Write a document once more under another name; a title that is its name changes with it."""
    title = document.title
    if title == titles.from_name(document.source):
        title = titles.from_name(source)
    row = document._replace(source=source, origin=origin, title=title)
    text = db.execute(
        "SELECT text, text_digest FROM documents WHERE id = ?", (document_id,)
    ).fetchone()
    cursor = db.execute(_INSERTED, (*row, digest(*row), *text))
    given = (cursor.lastrowid, source, title, document.title, len(document.title), document_id)
    db.execute(_COPIED, given)
    db.execute(
        "INSERT OR IGNORE INTO tags SELECT collection_id, ?, tag FROM tags"
        " WHERE collection_id = ? AND source = ?",
        (source, document.collection_id, document.source),
    )


def inside(db: sqlite3.Connection, collection: int, source: str) -> list[tuple[int, str]]:
    """Return the id and name of each document that was in the archive or mail ``source``."""
    return db.execute(
        "SELECT id, source FROM documents WHERE collection_id = ? AND origin = ?",
        (collection, origin_inside(source)),
    ).fetchall()


def all_inside(db: sqlite3.Connection, collection: int, source: str) -> list[tuple[int, str]]:
    """Return what ``inside`` does, and what was in that, however deep."""
    found: list[tuple[int, str]] = []
    waiting = [source]
    while waiting:
        rows = inside(db, collection, waiting.pop())
        found += rows
        waiting += [name for _, name in rows]
    return found


def remove(db: sqlite3.Connection, document_id: int, collection: int, source: str) -> None:
    """Delete a document and all that was inside of it."""
    gone = [(document_id, source), *all_inside(db, collection, source)]
    db.executemany("DELETE FROM documents WHERE id = ?", [(one,) for one, _ in gone])
    db.executemany(
        "DELETE FROM tags WHERE collection_id = ? AND source = ?",
        [(collection, name) for _, name in gone],
    )
