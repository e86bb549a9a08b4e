"""Makes safe names of what people and programs call their files."""

from __future__ import annotations

import re
import unicodedata

from ingest.loaders.cleaning import clean, one_line
from ingest.loaders.kinds import EXTENSIONS

MAX_CHARS = 120
MAX_BYTES = 255
"""What file systems take."""
FALLBACK = "document"

_MAX_SUFFIX_CHARS = 16
_MAX_GIVEN_CHARS = 4096
"""Looked at, from the end. Putting endless rows of combining marks in order takes for ever."""
_FORBIDDEN = re.compile(r'[<>:"|?*]')
_DEVICES = re.compile(r"(?:con|prn|aux|nul|clock\$|com\d|lpt\d|conin\$|conout\$)(?=\.|$)", re.I)


def safe_name(name: str) -> str:
    """Return ``name`` as one file name that is safe to show and to store.

    Without folders, control and invisible characters; neither hidden nor reserved anywhere; at
    most 120 characters and 255 bytes, the extension kept. Never empty. Applying it twice changes
    nothing.
    """
    parts = [part for part in re.split(r"[/\\]", name[-_MAX_GIVEN_CHARS:]) if part.strip(". ")]
    text = _stripped(_FORBIDDEN.sub("_", _visible(parts[-1]))) if parts else ""
    if _is_only_suffix(parts[-1] if parts else "", text):
        text = f"{FALLBACK}.{text}"
    if _DEVICES.match(text):
        text = f"_{text}"
    return _shortened(text) or FALLBACK


def safe_relative_name(path: str) -> str:
    """Return a path below a folder with each of its parts made safe: ``guide/voice.md``."""
    parts = [part for part in re.split(r"[/\\]", path[-_MAX_GIVEN_CHARS:]) if part.strip(". ")]
    return "/".join(safe_name(part) for part in parts) or FALLBACK


def _visible(text: str) -> str:
    return one_line("".join(char for char in clean(text) if char.isprintable() or char.isspace()))


def _stripped(text: str) -> str:
    # A combining mark at the start would fuse with whatever is shown before the name.
    while text and (text[0] in ". " or unicodedata.combining(text[0])):
        text = text[1:]
    return text.rstrip(". ")


def _is_only_suffix(original: str, stripped: str) -> bool:
    """Tell a name like ``.pdf``, whose one word is an extension, from a hidden ``.profile``."""
    return original.strip().startswith(".") and f".{stripped.lower()}" in EXTENSIONS


def _shortened(text: str) -> str:
    stem, dot, suffix = text.rpartition(".")
    if not stem or len(suffix) > _MAX_SUFFIX_CHARS or " " in suffix:
        stem, dot, suffix = text, "", ""
    tail = dot + suffix
    stem = stem[: MAX_CHARS - len(tail)]
    room = MAX_BYTES - len(tail.encode())
    stem = stem.encode()[:room].decode(errors="ignore")
    return stem.rstrip(". ") + tail


def folder_of(name: str) -> str:
    """Return the folder that a document's name tells; empty at the top."""
    return name.rpartition("/")[0]
