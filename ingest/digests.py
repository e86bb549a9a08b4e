"""Short hashes of what is stored: a byte that changed on the disk does not go unseen.

SQLite finds a damaged page when its structure is broken, not when a letter of a text or a bit of
a vector is another one. So each row has a hash of its content beside it (BLAKE2b, 64 bits as a
signed integer, which is what SQLite and NumPy hold): enough against chance, not against malice.
"""

from __future__ import annotations

import hashlib
import sqlite3
import struct
from typing import Final, NamedTuple

HASH_BYTES: Final = 8
SQL_NAME: Final = "content_digest"

Value = str | bytes | int | float | None


class CollectionRow(NamedTuple):
    """What a collection's digest is made of, in this order."""

    id: int
    owner: str
    embedder: str
    dimension: int
    splitter: str


class DocumentRow(NamedTuple):
    """What a document's digest is made of, in this order; its text has one of its own."""

    collection_id: int
    source: str
    origin: str
    sha256: str
    bytes: int
    status: str
    reason: str | None
    kind: str | None
    title: str
    pages: str
    """JSON, and so are the headings."""
    headings: str


class ChunkRow(NamedTuple):
    """What a chunk's digest is made of, in this order; its vector has its own.

    The document's name is part of it, so that reading a passage also proves what it is cited as.
    """

    document_id: int
    collection_id: int
    source: str
    title: str
    start: int
    end: int
    heading: str
    text: str
    owner_token: str
    language: str


COLLECTION_COLUMNS: Final = ", ".join(CollectionRow._fields)
DOCUMENT_COLUMNS: Final = ", ".join(DocumentRow._fields)
CHUNK_COLUMNS: Final = (
    'k.document_id, k.collection_id, d.source, d.title, k.start, k."end", k.heading, k.text,'
    " k.owner_token, k.language"
)
"""Of ``ChunkRow``: ``k`` is the chunk, ``d`` its document."""


def digest(*values: Value) -> int:
    """Return the hash of a row: of its values, their kinds and where each ends."""
    state = hashlib.blake2b(digest_size=HASH_BYTES)
    for value in values:
        kind, raw = _encoded(value)
        state.update(struct.pack("<cq", kind, len(raw)))
        state.update(raw)
    return int.from_bytes(state.digest(), "little", signed=True)


def register(connection: sqlite3.Connection) -> None:
    """Let SQL on ``connection`` call ``content_digest(…)``."""
    connection.create_function(SQL_NAME, -1, digest, deterministic=True)


def _encoded(value: Value) -> tuple[bytes, bytes]:
    if isinstance(value, bytes):
        return b"b", value
    if isinstance(value, str):
        return b"s", value.encode("utf-8", "surrogatepass")
    if value is None:
        return b"n", b""
    return b"i", repr(value).encode()
