"""The words of a message and of a search: the same on both databases.

What somebody types is taken apart into words here, and only words reach the database, so none of
it is ever read as an expression.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

WORDS_MAX: Final = 12
"""Of one search; more narrow it no further."""
WORD_MAX_CHARS: Final = 40
EXCERPT_CHARS: Final = 90

_WORD: Final = re.compile(r"[^\W_]+")


def folded(text: str) -> str:
    """Return ``text`` in lower case and without accents, as it is compared."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in parts if not unicodedata.combining(char))


def words_of(text: str) -> list[str]:
    """Return the words of a text, folded."""
    return _WORD.findall(folded(text))


def wanted_words(search: str) -> list[str]:
    """Return the words that somebody looks for, at most ``WORDS_MAX``."""
    return [word[:WORD_MAX_CHARS] for word in words_of(search[:1000])[:WORDS_MAX]]


def sqlite_expression(words: list[str]) -> str:
    """Return the FTS5 expression for messages that hold words beginning with all of ``words``."""
    return " ".join(f'"{word}"*' for word in words)


def postgresql_expression(words: list[str]) -> str:
    """Return the same as a ``tsquery``."""
    return " & ".join(f"'{word}':*" for word in words)


def excerpt(text: str, words: list[str]) -> str:
    """Return the words of ``text`` round the first one that begins with one of ``words``."""
    line = " ".join(text.split())
    found = (
        match.start()
        for match in _WORD.finditer(line)
        if any(folded(match[0]).startswith(word) for word in words)
    )
    place = next(found, 0)
    start = max(0, place - EXCERPT_CHARS // 3)
    if start:
        start = line.find(" ", start, place) + 1 or start
    piece = line[start : start + EXCERPT_CHARS]
    before, after = "…" if start else "", "…" if start + EXCERPT_CHARS < len(line) else ""
    return f"{before}{piece.strip()}{after}"
