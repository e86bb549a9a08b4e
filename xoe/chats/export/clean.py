"""Text without what cannot be seen, turns its direction, or cannot be written to a file."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from core.text import visible

TEXT_MAX_CHARS: Final = 100_000
"""Of one message or passage; a model's longest answer has about 10,000."""
LINE_MAX_CHARS: Final = 300
"""Of a file's name or a title."""
CUT: Final = "… (cut here: the text is longer than an export may be)"

_NEWLINES: Final = re.compile("\r\n?|[\u0085\u2028\u2029\v\f]")
_PILES: Final = re.compile(
    "([\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]{4})"
    "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+"
)
"""Marks piled on one letter, which would cover the lines above it."""
_SPACE: Final = re.compile(r"\s+")


def clean(text: str, limit: int = TEXT_MAX_CHARS) -> str:
    """Return ``text`` as it may be shown, with lines ended by a newline, ``limit`` long at most."""
    is_cut = len(text) > limit
    text = visible(_NEWLINES.sub("\n", text[:limit]))
    text = _PILES.sub(r"\1", text)
    return f"{text}\n\n{CUT}" if is_cut else text


def line(text: str, limit: int = LINE_MAX_CHARS) -> str:
    """Return ``text`` on one line, for a name or a title."""
    flat = _SPACE.sub(" ", visible(_NEWLINES.sub(" ", text[: limit * 4]))).strip()
    flat = _PILES.sub(r"\1", flat)
    return flat if len(flat) <= limit else f"{flat[: limit - 1].rstrip()}…"


def date_of(at: float) -> datetime | None:
    """Return a time of Unix seconds; ``None`` for one that no calendar has."""
    try:
        return datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def shown_date(at: float) -> str:
    """Return a time for a reader, such as ``2026-11-22 18:05 UTC``; "" where it is none."""
    moment = date_of(at)
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"
