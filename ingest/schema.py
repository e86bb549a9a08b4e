"""The database's schema, as steps: a new database takes all of them, an older one the rest.

So the schema of a migrated database is the same to the letter as that of a new one, which lets
``check_schema`` compare them.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from core.errors import StoreDamagedError, StoreError
from ingest import digests, stored_text
from ingest.language import fold, passage_language
from ingest.names import folder_of
from ingest.terms import search_terms
from ingest.vectors import pack_vector

_FIRST = """
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

# Hashes of what is stored. The index over them is all that bringing a vector index up to date
# reads, so it takes the place of the one without.
_DIGESTS = f"""
ALTER TABLE collections ADD COLUMN digest INTEGER NOT NULL DEFAULT 0;
ALTER TABLE documents ADD COLUMN digest INTEGER NOT NULL DEFAULT 0;
ALTER TABLE documents ADD COLUMN text_digest INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chunks ADD COLUMN digest INTEGER NOT NULL DEFAULT 0;
ALTER TABLE chunks ADD COLUMN vector_digest INTEGER NOT NULL DEFAULT 0;
UPDATE collections SET digest = {digests.SQL_NAME}({digests.COLLECTION_COLUMNS});
UPDATE documents SET digest = {digests.SQL_NAME}({digests.DOCUMENT_COLUMNS}),
    text_digest = {digests.SQL_NAME}(text);
UPDATE chunks AS k SET vector_digest = {digests.SQL_NAME}(k.vector), digest = (
    SELECT {digests.SQL_NAME}(
        k.document_id, k.collection_id, d.source, d.title, k.start, k."end", k.heading, k.text,
        k.owner_token
    ) FROM documents d WHERE d.id = k.document_id
);
DROP INDEX chunks_collection;
CREATE INDEX chunks_collection ON chunks(collection_id, id, vector_digest);
"""  # noqa: S608 - constants

# The full-text index holds terms that are made here, by each passage's language: SQLite's own
# tokenizers know English endings alone, and no script without spaces.
_LANGUAGES = f"""
ALTER TABLE chunks ADD COLUMN language TEXT NOT NULL DEFAULT '';
DROP TRIGGER chunks_added;
DROP TRIGGER chunks_removed;
DROP TABLE chunk_terms;
DROP TABLE chunk_fts;
UPDATE chunks AS k SET language = (
    SELECT passage_language(k.text, d.text) FROM documents d WHERE d.id = k.document_id
);
UPDATE chunks AS k SET digest = (
    SELECT {digests.SQL_NAME}({digests.CHUNK_COLUMNS}) FROM documents d WHERE d.id = k.document_id
);
CREATE INDEX chunks_language ON chunks(collection_id, language);
CREATE VIRTUAL TABLE chunk_fts USING fts5(text, heading, owner_token, tokenize='ascii');
CREATE VIRTUAL TABLE chunk_terms USING fts5vocab('chunk_fts', 'row');
CREATE TRIGGER chunks_added AFTER INSERT ON chunks BEGIN
    INSERT INTO chunk_fts(rowid, text, heading, owner_token) VALUES (
        new.id, search_terms(new.text, new.language), search_terms(new.heading, new.language),
        new.owner_token
    );
END;
CREATE TRIGGER chunks_removed AFTER DELETE ON chunks BEGIN
    DELETE FROM chunk_fts WHERE rowid = old.id;
END;
INSERT INTO chunk_fts(rowid, text, heading, owner_token)
SELECT id, search_terms(text, language), search_terms(heading, language), owner_token FROM chunks;
"""  # noqa: S608 - constants

# What late interaction keeps of a passage's tokens; empty in one that was stored before.
_TOKENS = f"""
ALTER TABLE chunks ADD COLUMN tokens BLOB NOT NULL DEFAULT x'';
ALTER TABLE chunks ADD COLUMN tokens_digest INTEGER NOT NULL DEFAULT {digests.digest(b"")};
"""

# By which a file that only got another name, or came from elsewhere, is found.
_CONTENT = """
CREATE INDEX documents_content ON documents(collection_id, sha256);
CREATE INDEX documents_origin ON documents(collection_id, origin);
"""

# By the document's name, not its row, which is another one each time that it is read again.
_TAGS = """
CREATE TABLE tags (
    collection_id INTEGER NOT NULL REFERENCES collections(id) ON DELETE CASCADE,
    source TEXT NOT NULL,
    tag TEXT NOT NULL,
    PRIMARY KEY (collection_id, source, tag)
) WITHOUT ROWID;
"""

# What is stored takes less room. The full-text index has its terms made anew where it needs them:
# from the passages, which say the same as when they were added (a passage is never changed), and by
# the same rules, so a step that rebuilds the index belongs to each change of these.
# The tokens' codes are of another kind now, and made when the collection is built anew.
_SLIM = f"""
UPDATE documents SET text = packed_text(text);
UPDATE chunks SET vector = packed_vector(vector), tokens = x'',
    tokens_digest = {digests.digest(b"")};
UPDATE chunks SET vector_digest = {digests.SQL_NAME}(vector);
DROP TRIGGER chunks_added;
DROP TRIGGER chunks_removed;
DROP TABLE chunk_terms;
DROP TABLE chunk_fts;
CREATE VIEW passage_terms AS
    SELECT id, search_terms(text, language) AS text, search_terms(heading, language) AS heading,
        owner_token
    FROM chunks;
CREATE VIRTUAL TABLE chunk_fts USING fts5(
    text, heading, owner_token, content='passage_terms', content_rowid='id', tokenize='ascii'
);
CREATE VIRTUAL TABLE chunk_terms USING fts5vocab('chunk_fts', 'row');
CREATE TRIGGER chunks_added AFTER INSERT ON chunks BEGIN
    INSERT INTO chunk_fts(rowid, text, heading, owner_token) VALUES (
        new.id, search_terms(new.text, new.language), search_terms(new.heading, new.language),
        new.owner_token
    );
END;
CREATE TRIGGER chunks_removed AFTER DELETE ON chunks BEGIN
    INSERT INTO chunk_fts(chunk_fts, rowid, text, heading, owner_token) VALUES (
        'delete', old.id, search_terms(old.text, old.language),
        search_terms(old.heading, old.language), old.owner_token
    );
END;
INSERT INTO chunk_fts(chunk_fts) VALUES ('rebuild');
"""  # noqa: S608 - constants

STEPS: Final = (_FIRST, _DIGESTS, _LANGUAGES, _TOKENS, _CONTENT, _TAGS, _SLIM)
"""Step ``n`` leads from version ``n`` to ``n + 1``. Never changed once released, only added to."""

SCHEMA_VERSION: Final = len(STEPS)


def register(connection: sqlite3.Connection) -> None:
    """Let ``connection`` call the functions that the schema is written with."""
    digests.register(connection)
    stored_text.register(connection)
    connection.create_function("packed_vector", 1, _packed_vector, deterministic=True)
    connection.create_function("search_terms", 2, search_terms, deterministic=True)
    connection.create_function("passage_language", 2, passage_language, deterministic=True)
    connection.create_function("fold_text", 1, fold, deterministic=True)
    connection.create_function("folder_of", 1, folder_of, deterministic=True)


def _packed_vector(plain: bytes) -> bytes:
    """Return what is stored now of a vector that was stored as float32."""
    return pack_vector(np.frombuffer(plain, dtype=np.float32))


def version_of(connection: sqlite3.Connection) -> int:
    """Return the schema's version; 0 is an empty database."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the database to the newest schema, all steps or none.

    Raises ``StoreError`` for a newer one, ``StoreDamagedError`` where the schema is not its
    version's, and SQLite's errors.
    """
    found = version_of(connection)
    if found > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer version (schema {found}); this one knows "
            f"schema {SCHEMA_VERSION}. Update Xoe-NovAi, or choose another data folder."
        )
    if found == SCHEMA_VERSION:
        check_schema(connection, path)
        return
    register(connection)
    connection.execute("BEGIN IMMEDIATE")
    try:
        found = version_of(connection)  # another process may have been faster
        check_schema(connection, path)
        for step in STEPS[found:]:
            for statement in _statements(step):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Compare the schema with what its version should be, to the letter.

    Raises ``StoreDamagedError``: one changed letter in it would change what queries find.
    """
    version = version_of(connection)
    if _layout(connection) != _expected(version):
        raise StoreDamagedError(
            f"The database {path} is damaged (its schema is not that of version {version})."
        )


@cache
def _expected(version: int) -> tuple[tuple[str, ...], ...]:
    connection = sqlite3.connect(":memory:")
    try:
        register(connection)
        for step in STEPS[:version]:
            connection.executescript(step)
        return _layout(connection)
    finally:
        connection.close()


def _layout(connection: sqlite3.Connection) -> tuple[tuple[str, ...], ...]:
    # FTS5's own tables are SQLite's affair and may change with its version.
    rows = connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'chunk#_fts#_%'"
        " ESCAPE '#' AND name NOT LIKE 'sqlite#_%' ESCAPE '#' ORDER BY type, name"
    ).fetchall()
    return tuple(tuple(row) for row in rows)


def _statements(script: str) -> list[str]:
    """Cut a script into its statements; ``executescript`` would commit what is open."""
    statements, part = [], ""
    for line in script.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            statements.append(part)
            part = ""
    return statements
