"""The character sets of RTF, and its control words; the tables are striprtf's."""

from __future__ import annotations

import codecs

from striprtf.striprtf import charset_map, destinations, specialchars

DEFAULT = "cp1252"
SPECIAL = specialchars | dict.fromkeys(("emspace", "enspace", "qmspace"), " ")
"""What control words and signs stand for."""

HEADERS = frozenset(("header", "headerf", "headerl", "headerr"))
FOOTERS = frozenset(("footer", "footerf", "footerl", "footerr"))
NOTES = frozenset(("footnote",))
BOXES = frozenset(("shptxt", "dptxbxtext"))
ASIDES = HEADERS | FOOTERS | NOTES | BOXES
"""Groups whose paragraphs stand inside of another one."""
MARKS = frozenset(("pntext", "listtext"))
"""Groups that hold what stands before an item of a list."""
_SHOWN = ASIDES | MARKS | frozenset(("shp", "shpinst", "do", "object", "result"))
HIDDEN = (frozenset(destinations) | frozenset(("nonshppict",))) - _SHOWN
"""Groups of which nothing is shown."""
SHOWN_IF_KNOWN = ASIDES | MARKS | frozenset(("shpinst", "do"))
"""Shown though older programs are told to pass over them."""
_PAGES = {"mac": "mac_roman", "pc": "cp437", "pca": "cp850", "ansi": DEFAULT}


def code_page(number: str | None) -> str:
    """Return the name of a code page by its number; ``DEFAULT`` where there is none."""
    return _known("utf-8" if number == "65001" else f"cp{number}")


def character_set(number: str | None) -> str | None:
    """Return the encoding of a font's character set; ``None`` where the number says nothing."""
    name = charset_map.get(int(number)) if number is not None else None
    return _known(name, None) if name is not None else None


def general(word: str) -> str | None:
    """Return the encoding that a document's first words name."""
    return _PAGES.get(word)


def _known(name: str, otherwise: str | None = DEFAULT) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        return otherwise or DEFAULT
