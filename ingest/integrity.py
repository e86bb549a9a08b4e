"""The full check of a database: structure, references, every hash, and the full-text index.

Truth that is damaged is reported; the full-text index is derived, so it is built anew.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from core.errors import StoreDamagedError
from ingest.digests import (
    CHUNK_COLUMNS,
    COLLECTION_COLUMNS,
    DOCUMENT_COLUMNS,
    digest,
)
from ingest.schema import check_schema
from ingest.stored_text import PLAIN_TEXT

log = structlog.get_logger(__name__)

Step = Callable[[int, int], None]
"""Called with how many passages are checked, and of how many."""

TELL_EVERY: Final = 2_000


_COLLECTIONS: Final = f"SELECT digest, {COLLECTION_COLUMNS} FROM collections"  # noqa: S608
_DOCUMENTS: Final = f"SELECT digest, {DOCUMENT_COLUMNS} FROM documents"  # noqa: S608
_TEXTS: Final = f"SELECT text_digest, {PLAIN_TEXT} FROM documents"  # noqa: S608
_CHUNKS: Final = (
    "SELECT k.digest, k.vector_digest, k.vector, k.tokens_digest, k.tokens,"  # noqa: S608
    f" {CHUNK_COLUMNS}"
    " FROM chunks k JOIN documents d ON d.id = k.document_id"
)
_UNMATCHED: Final = (
    "SELECT id FROM chunks WHERE id NOT IN (SELECT id FROM chunk_fts_docsize)"
    " UNION ALL SELECT id FROM chunk_fts_docsize WHERE id NOT IN (SELECT id FROM chunks) LIMIT 1"
)
"""A passage that the full-text index does not know, or one of the index that is no more."""


@dataclass(frozen=True)
class CheckReport:
    """What a full check found; damage to the truth is an exception instead."""

    collections: int
    documents: int
    chunks: int
    full_text_rebuilt: bool


def check(connection: sqlite3.Connection, path: Path, *, tell: Step | None = None) -> CheckReport:
    """Check everything, reading the whole file; build the full-text index anew where it is wrong.

    ``connection`` may write and is in no transaction. Raises ``StoreDamagedError`` with what is
    damaged, and SQLite's errors.
    """
    connection.execute("BEGIN")
    try:
        check_schema(connection, path)
        _check_structure(connection, path)
        collections = _check_rows(connection, path, "collection", _COLLECTIONS)
        documents = _check_rows(connection, path, "document", _DOCUMENTS)
        _check_rows(connection, path, "text", _TEXTS)
        chunks = _check_chunks(connection, path, tell)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    rebuilt = not full_text_is_whole(connection)
    if rebuilt:
        rebuild_full_text(connection, path)
    return CheckReport(collections, documents, chunks, rebuilt)


def full_text_is_whole(connection: sqlite3.Connection) -> bool:
    """Compare the full-text index with the terms of the passages that there are."""
    try:
        connection.execute("INSERT INTO chunk_fts(chunk_fts, rank) VALUES ('integrity-check', 1)")
        return connection.execute(_UNMATCHED).fetchone() is None
    except sqlite3.DatabaseError as exc:
        if not _is_damage(exc):
            raise
        return False


def rebuild_full_text(connection: sqlite3.Connection, path: Path) -> None:
    """Build the full-text index anew from the passages, in one transaction.

    Raises ``StoreDamagedError`` where that does not help.
    """
    log.warning("store.full_text_rebuilt", path=str(path))
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("INSERT INTO chunk_fts(chunk_fts) VALUES ('rebuild')")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    if not full_text_is_whole(connection):
        raise StoreDamagedError(f"The database {path} is damaged (its full-text index).")


def _check_structure(connection: sqlite3.Connection, path: Path) -> None:
    found = [row[0] for row in connection.execute("PRAGMA integrity_check(10)")]
    # Newer versions of SQLite look into the full-text index too, which is derived.
    problems = [line for line in found if line != "ok" and "FTS5" not in line]
    if problems:
        first = problems[0].replace("*** in database main ***", "").strip().splitlines()
        raise StoreDamagedError(f"The database {path} is damaged ({first[0]}).")
    orphan = connection.execute("PRAGMA foreign_key_check").fetchone()
    if orphan is not None:
        raise StoreDamagedError(
            f"The database {path} is damaged (a row of {orphan[0]} belongs to nothing)."
        )


def _check_rows(connection: sqlite3.Connection, path: Path, what: str, query: str) -> int:
    count = 0
    for expected, *values in connection.execute(query):
        if digest(*values) != expected:
            raise StoreDamagedError(
                f"The database {path} is damaged (a {what} is not what was stored)."
            )
        count += 1
    return count


def _check_chunks(connection: sqlite3.Connection, path: Path, tell: Step | None) -> int:
    total = int(connection.execute("SELECT COUNT(*) FROM chunks").fetchone()[0])
    count = 0
    for expected, *made, values in (
        (row[0], row[1:3], row[3:5], row[5:]) for row in connection.execute(_CHUNKS)
    ):
        if digest(*values) != expected or any(digest(blob) != its for its, blob in made):
            raise StoreDamagedError(
                f"The database {path} is damaged (a passage is not what was stored)."
            )
        count += 1
        if tell is not None and count % TELL_EVERY == 0:
            tell(count, total)
    if count != total:
        raise StoreDamagedError(f"The database {path} is damaged ({total - count} lost passages).")
    return count


def _is_damage(exc: sqlite3.DatabaseError) -> bool:
    code: int = getattr(exc, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
