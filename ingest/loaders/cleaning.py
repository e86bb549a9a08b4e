"""Takes out of a text what cannot be seen, so that it can neither hide nor steer anything."""

from __future__ import annotations

import re
import unicodedata

from core.text import INVISIBLE, JOINING

_LINE_BREAKS = re.compile("\r(?!\n)|[\x0b\x0c\x85\u2028\u2029]")
_INVISIBLE = re.compile(f"[{INVISIBLE}{JOINING}]+")
_SPACES = re.compile(r"[^\S\n]+")
# No script puts as many marks on a letter. Bringing a row of them into order (NFC) takes time that
# grows with the square of its length.
_MARK = (
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u06d6-\u06ed\u0730-\u074a"
    "\u08d3-\u08ff\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u302a-\u302f\ufe20-\ufe2f]"
)
_STACK = re.compile(f"({_MARK}{{16}}){_MARK}+")


def clean(text: str) -> str:
    """Remove invisible characters; every line break but CR LF becomes one line feed.

    Of a row of combining marks without end the first 16 are kept.
    """
    return _STACK.sub(r"\1", _INVISIBLE.sub("", _LINE_BREAKS.sub("\n", text)))


def squeeze(text: str) -> str:
    """Clean a block of extracted text: composed (NFC), single spaces, trimmed lines kept."""
    text = _SPACES.sub(" ", unicodedata.normalize("NFC", clean(text)))
    return "\n".join(line.strip() for line in text.split("\n")).strip()


def one_line(text: str) -> str:
    """Clean a text and put it on one line."""
    return " ".join(unicodedata.normalize("NFC", clean(text)).split())
