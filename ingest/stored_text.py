"""A document's text as it is stored: compressed, as it is read less often than its passages."""

from __future__ import annotations

import sqlite3
import zlib
from typing import Final

PLAIN_TEXT: Final = "plain_text(text)"
"""The text of a row of ``documents``, in SQL."""


def packed_text(text: str) -> bytes:
    """Return what is stored of ``text``."""
    return zlib.compress(text.encode())


def plain_text(packed: bytes) -> str | None:
    """Return the text again; None where it is damaged, which its digest then tells."""
    try:
        return zlib.decompress(packed).decode()
    except (TypeError, ValueError, zlib.error):
        return None


def register(connection: sqlite3.Connection) -> None:
    """Let SQL on ``connection`` pack and read texts."""
    connection.create_function("packed_text", 1, packed_text, deterministic=True)
    connection.create_function("plain_text", 1, plain_text, deterministic=True)
