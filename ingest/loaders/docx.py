"""Loads Word documents (.docx) with mammoth, by way of HTML."""

from __future__ import annotations

import re
import zipfile
import zlib
from typing import BinaryIO
from xml.etree import ElementTree
from xml.parsers.expat import ExpatError

import mammoth

from ingest.loaders import titles
from ingest.loaders.archives import open_zip
from ingest.loaders.document import LoadedDocument, ParseLimits, Source
from ingest.loaders.html import extract
from xoe.errors import DocumentError, DocumentTooLargeError

_XML = re.compile(r"\.(?:xml|rels)$", re.IGNORECASE)
_HEAD_BYTES = 2048
_CORE = "docProps/core.xml"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_STYLES = "p[style-name='Title'] => h1:fresh\np[style-name='Subtitle'] => p:fresh"


def load(source: Source) -> LoadedDocument:
    """Load a Word document; its pictures are left out and never opened."""
    with source.path.open("rb") as file:
        try:
            title = _check(file, source.limits)
            file.seek(0)
            html = mammoth.convert_to_html(
                file,
                style_map=_STYLES,
                convert_image=lambda _: [],
                include_embedded_style_map=False,
            ).value
        except (
            *(zipfile.BadZipFile, ElementTree.ParseError, ExpatError),
            *(zlib.error, OSError, EOFError, KeyError, ValueError),
        ) as exc:
            raise DocumentError(
                "The Word document is damaged and cannot be read; save it again and retry."
            ) from exc
    builder, _ = extract(html)
    headings = builder.headings()
    return LoadedDocument(
        text=builder.text(),
        title=title or titles.from_headings(headings) or titles.from_name(source.name),
        kind="docx",
        headings=headings,
    )


def _check(file: BinaryIO, limits: ParseLimits) -> str | None:
    """Refuse an archive that would unpack to too much; return the document's own title."""
    with open_zip(file) as archive:
        parts = [m for m in archive.infolist() if _XML.search(m.filename)]
        size = sum(member.file_size for member in parts)
        if size > limits.max_unpacked_bytes:
            raise DocumentTooLargeError(
                f"It unpacks to {size / 1e6:,.0f} MB of text and at most "
                f"{limits.max_unpacked_bytes / 1e6:,.0f} MB are read; split it and try again."
            )
        for member in parts:
            with archive.open(member) as part:
                if b"<!DOCTYPE" in part.read(_HEAD_BYTES):
                    raise DocumentError(
                        "The Word document holds definitions that such documents never need, so "
                        "it is not safe to read; save it again with a word processor."
                    )
        if _CORE not in archive.namelist():
            return None
        # What no head shows is bounded by Expat (since 2.4.1) and by the process's limits.
        root = ElementTree.fromstring(archive.read(_CORE))  # noqa: S314
    return titles.sensible(root.findtext(_TITLE))
