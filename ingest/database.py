"""The SQLite database: schema, connections and what its errors mean to a person."""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xoe.errors import DiskFullError, StoreDamagedError, StoreError

SCHEMA_VERSION = 1
READERS = 4
BUSY_TIMEOUT_S = 10.0

_SCHEMA = """
CREATE TABLE collections (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL UNIQUE,
    embedder TEXT NOT NULL,
    dimension INTEGER NOT NULL,
    splitter TEXT NOT NULL,
    revision INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    collection_id INTEGER NOT NULL REFERENCES collections(id) ON DELETE CASCADE,
    source TEXT NOT NULL,
    origin TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('ready', 'failed')),
    reason TEXT,
    kind TEXT,
    title TEXT NOT NULL,
    pages TEXT NOT NULL DEFAULT '[]',
    headings TEXT NOT NULL DEFAULT '[]',
    text TEXT NOT NULL DEFAULT '',
    added_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    UNIQUE (collection_id, source)
);
CREATE TABLE chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    document_id INTEGER NOT NULL REFERENCES documents(id) ON DELETE CASCADE,
    collection_id INTEGER NOT NULL,
    start INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    heading TEXT NOT NULL,
    text TEXT NOT NULL,
    owner_token TEXT NOT NULL,
    vector BLOB NOT NULL
);
CREATE INDEX chunks_document ON chunks(document_id);
CREATE INDEX chunks_collection ON chunks(collection_id, id);
-- The owner is a column of the full-text table, so that it is part of each query.
CREATE VIRTUAL TABLE chunk_fts USING fts5(
    text, heading, owner_token,
    content='chunks', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE chunk_terms USING fts5vocab('chunk_fts', 'row');
CREATE TRIGGER chunks_added AFTER INSERT ON chunks BEGIN
    INSERT INTO chunk_fts(rowid, text, heading, owner_token)
    VALUES (new.id, new.text, new.heading, new.owner_token);
END;
CREATE TRIGGER chunks_removed AFTER DELETE ON chunks BEGIN
    INSERT INTO chunk_fts(chunk_fts, rowid, text, heading, owner_token)
    VALUES ('delete', old.id, old.text, old.heading, old.owner_token);
END;
"""


class Database:
    """One writer and a few readers on one SQLite file in WAL mode.

    Blocking: call it from a thread. ``reading`` and ``writing`` turn SQLite's errors into ours.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the database at ``path``.

        Raises ``StoreDamagedError``, ``DiskFullError`` or ``StoreError``.
        """
        self.path = path
        self._write_lock = threading.Lock()
        with _translated(path):
            self._writer = _connect(path)
            self._migrate()
            self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue(READERS)
            for _ in range(READERS):
                self._readers.put(_connect(path, query_only=True))

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a read-only connection whose statements all see the same snapshot."""
        connection = self._readers.get()
        try:
            with _translated(self.path):
                connection.execute("BEGIN")
                try:
                    yield connection
                finally:
                    connection.execute("ROLLBACK")
        finally:
            self._readers.put(connection)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Lend the writer inside one transaction: all of it happens, or nothing."""
        with self._write_lock, _translated(self.path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close all connections; the write-ahead log is folded into the file."""
        while not self._readers.empty():
            self._readers.get().close()
        with self._write_lock:
            self._writer.close()

    def _migrate(self) -> None:
        version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version == SCHEMA_VERSION:
            return
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} was written by a newer version (schema {version}); this one knows "
                f"schema {SCHEMA_VERSION}. Update Xoe-NovAi, or choose another data folder."
            )
        self._writer.executescript(
            f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )


def _connect(path: Path, *, query_only: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # a committed document survives a power cut
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")  # a deleted document leaves no text behind
    connection.execute("PRAGMA cache_size = -16384")  # 16 MiB for each connection
    connection.execute("PRAGMA mmap_size = 268435456")
    if query_only:
        connection.execute("PRAGMA query_only = ON")
    return connection


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as exc:
        message = str(exc)
        if "full" in message:
            raise DiskFullError(
                f"The disk is full: nothing more can be stored in {path.parent}. "
                "What was stored before is safe. Free some space and try again."
            ) from exc
        if "locked" in message or "busy" in message:
            raise StoreError(
                f"{path} is in use by another program; try again in a moment."
            ) from exc
        raise StoreError(f"{path} cannot be used: {message}.") from exc
    except sqlite3.DatabaseError as exc:
        if isinstance(exc, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise
        raise StoreDamagedError(
            f"The database {path} is damaged ({exc}). It was left as it is: restore it from a "
            "backup, or move it away and ingest your documents again."
        ) from exc
