"""Chooses a document's title."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath

from ingest.loaders.cleaning import one_line
from ingest.loaders.document import HeadingSpan

_MAX_CHARS = 200
# What programs write into the title field by themselves.
_MEANINGLESS = re.compile(
    r"(untitled|unbenannt|sans titre|no title|title|word document|document|new document|"
    r"powerpoint presentation|presentation|slide|layout|page|microsoft word|scan|scanned)?"
    r"[\s\d._-]*",
    re.IGNORECASE,
)
_PROGRAM = re.compile(r"^microsoft (?:word|powerpoint|excel) - ", re.IGNORECASE)
_FILE_NAME = re.compile(
    r"\S\.(?:docx?|odt|rtf|tex|dvi|indd|pptx?|xlsx?|html?|pdf|pmd|qxd|txt|md)$", re.IGNORECASE
)


def sensible(title: str | None) -> str | None:
    """Return a title from a file's metadata, or ``None`` when a program made it up."""
    text = _PROGRAM.sub("", one_line(title or ""))
    if not 3 <= len(text) <= _MAX_CHARS or _FILE_NAME.search(text) or _MEANINGLESS.fullmatch(text):
        return None
    return text if any(char.isalpha() for char in text) else None


def from_headings(headings: Sequence[HeadingSpan]) -> str | None:
    """Return the first heading of level 1."""
    return next((one_line(h.text)[:_MAX_CHARS] for h in headings if h.level == 1), None)


def from_name(name: str) -> str:
    """Make a file name readable: ``pump_manual-v2.pdf`` becomes ``Pump manual v2``."""
    stem = PurePath(one_line(name).replace("\\", "/")).stem
    words = one_line(re.sub(r"[_\s]+|(?<=[^\W\d])-(?=\w)", " ", stem))
    return (words[:1].upper() + words[1:])[:_MAX_CHARS] or "Document"
