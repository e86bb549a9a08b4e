"""Long texts in pieces that an engine can take in one go."""

from __future__ import annotations

from collections.abc import Iterator

MAX_CHARS = 400
"""About 30 s of speech. The encoder's attention grows with the square of the length."""

_MARKS = (". ", "! ", "? ", "; ", ": ", ", ", " ")


def pieces(text: str) -> Iterator[str]:
    """Yield ``text`` in pieces of at most ``MAX_CHARS``, cut where a speaker would pause."""
    rest = text.strip()
    while len(rest) > MAX_CHARS:
        cut = MAX_CHARS
        for mark in _MARKS:
            found = rest.rfind(mark, MAX_CHARS // 3, MAX_CHARS)
            if found > 0:
                cut = found + len(mark)
                break
        yield rest[:cut].strip()
        rest = rest[cut:].strip()
    if rest:
        yield rest
