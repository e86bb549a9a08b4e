"""Looks at a document that is an archive of XML parts before any of them is read."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from typing import IO
from xml.etree import ElementTree
from xml.parsers import expat
from xml.parsers.expat import ExpatError

from core.errors import DocumentError, DocumentLockedError, DocumentTooLargeError
from ingest.loaders.document import ParseLimits

DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, ElementTree.ParseError, ExpatError),
    *(OSError, EOFError, KeyError, ValueError),
)
"""What reading a damaged archive or part raises."""
MACROS = "It holds macros, which were left out; nothing of them was run."
CORE_PROPERTIES = "docProps/core.xml"
"""Of an Office document: its title among them."""

LOCKED = "It is protected by a password; save a copy without one and try again."
_MANIFEST = "META-INF/manifest.xml"
_MAX_MANIFEST_BYTES = 1024 * 1024
_XML = re.compile(r"\.(?:xml|rels)$", re.IGNORECASE)
_VBA = re.compile(r"(?:^|/)vbaProject\.bin$", re.IGNORECASE)
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_PIECE_BYTES = 4096
_LONG_TAG = re.compile(rb"<[^<>]{1000000}")
"""An element whose attributes alone are a megabyte: Expat would read it again for each piece."""


def check_parts(archive: zipfile.ZipFile, limits: ParseLimits, called: str) -> None:
    """Refuse a ``called`` ("Word document") that would unpack to too much or defines entities."""
    parts = [member for member in archive.infolist() if _XML.search(member.filename)]
    check_unpacked(sum(member.file_size for member in parts), limits)
    for member in parts:
        part = archive.read(member)
        check_definitions(io.BytesIO(part), called)
        if _LONG_TAG.search(part):
            raise DocumentError(
                f"The {called} is made in a way that no word processor does; save it again with "
                "one and retry."
            )


def check_unpacked(size: int, limits: ParseLimits) -> None:
    """Refuse parts of ``size`` bytes when that is too much."""
    if size > limits.max_unpacked_bytes:
        raise DocumentTooLargeError(
            f"It unpacks to {size / 1e6:,.0f} MB of text and at most "
            f"{limits.max_unpacked_bytes / 1e6:,.0f} MB are read; split it and try again."
        )


def check_definitions(part: IO[bytes], called: str) -> None:
    """Refuse a part that begins with definitions, in which XML bombs and references hide.

    Expat itself looks for them, so no encoding and no comment before them hides them. They come
    before the first element or never.
    """
    parser = expat.ParserCreate()
    found: list[str] = []
    parser.StartDoctypeDeclHandler = lambda *_: found.append("definitions")
    parser.StartElementHandler = lambda *_: found.append("content")
    size = _PIECE_BYTES
    while not found and (piece := part.read(size)):
        try:
            parser.Parse(piece)
        except ExpatError:
            if not found:
                raise
        # Twice as much each time: what has not ended it reads from its beginning again.
        size *= 2
    if found and found[0] == "definitions":
        raise DocumentError(
            f"The {called} holds definitions that such documents never need, so it is not safe "
            "to read; save it again and retry."
        )


def refuse_locked(archive: zipfile.ZipFile) -> None:
    """Raise ``DocumentLockedError`` for an OpenDocument file that needs a password."""
    names = archive.namelist()
    manifest = b""
    if _MANIFEST in names:
        with archive.open(_MANIFEST) as part:
            manifest = part.read(_MAX_MANIFEST_BYTES)
    if b"encryption-data" in manifest or "encrypted-package" in names:
        raise DocumentLockedError(LOCKED)


def damaged(called: str) -> DocumentError:
    """Return the error for a document that cannot be unpacked or parsed."""
    return DocumentError(f"The {called} is damaged and cannot be read; save it again and retry.")


def without_media(archive: zipfile.ZipFile) -> io.BytesIO:
    """Return the archive with its XML alone: pictures, sounds and macros are there but empty."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        for name in dict.fromkeys(archive.namelist()):
            made.writestr(name, archive.read(name) if _XML.search(name) else b"")
    target.seek(0)
    return target


def has_macros(archive: zipfile.ZipFile) -> bool:
    """Tell whether an Office document brings programs."""
    return any(_VBA.search(name) for name in archive.namelist())


def core_title(archive: zipfile.ZipFile) -> str | None:
    """Return the title among an Office document's properties; its parts have been checked."""
    if CORE_PROPERTIES not in archive.namelist():
        return None
    root = ElementTree.fromstring(archive.read(CORE_PROPERTIES))  # noqa: S314 - checked
    return root.findtext(_TITLE)
