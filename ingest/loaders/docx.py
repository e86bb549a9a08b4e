"""Loads Word documents (.docx) with mammoth, by way of HTML."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from typing import BinaryIO
from xml.etree import ElementTree
from xml.parsers.expat import ExpatError

import mammoth

from core.errors import DocumentError, DocumentTooLargeError
from ingest.loaders import titles
from ingest.loaders.archives import open_zip
from ingest.loaders.blocks import LABELLED
from ingest.loaders.document import LoadedDocument, ParseLimits, Source
from ingest.loaders.docx_parts import ITEM_STYLE, simplified
from ingest.loaders.html import extract
from ingest.loaders.xml_parts import check_definitions

_XML = re.compile(r"\.(?:xml|rels)$", re.IGNORECASE)
_LONG_TAG = re.compile(rb"<[^<>]{1000000}")
"""An element whose attributes alone are a megabyte: Expat would read it again for each piece."""
_VBA = re.compile(r"(?:^|/)vbaProject\.bin$", re.IGNORECASE)
_MACROS = "It holds macros, which were left out; nothing of them was run."
_CORE = "docProps/core.xml"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_STYLES = f"""
p[style-name='Title'] => h1:fresh
p[style-name='Subtitle'] => p:fresh
p.{ITEM_STYLE} => ul.{LABELLED} > li:fresh
"""


def load(source: Source) -> LoadedDocument:
    """Load a Word document; its pictures are left out and never opened."""
    with source.path.open("rb") as file:
        try:
            title, warnings = _check(file, source.limits)
            with open_zip(file) as archive:
                simple, unread = simplified(archive)
            html = mammoth.convert_to_html(
                simple,
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
    builder, _, _ = extract(html)
    headings = builder.headings()
    return LoadedDocument(
        text=builder.text(),
        title=title or titles.from_headings(headings) or titles.from_name(source.name),
        kind="docx",
        headings=headings,
        warnings=(*warnings, *unread),
    )


def _check(file: BinaryIO, limits: ParseLimits) -> tuple[str | None, tuple[str, ...]]:
    """Refuse what would unpack to too much or defines entities; return title and warnings."""
    with open_zip(file) as archive:
        parts = [m for m in archive.infolist() if _XML.search(m.filename)]
        size = sum(member.file_size for member in parts)
        if size > limits.max_unpacked_bytes:
            raise DocumentTooLargeError(
                f"It unpacks to {size / 1e6:,.0f} MB of text and at most "
                f"{limits.max_unpacked_bytes / 1e6:,.0f} MB are read; split it and try again."
            )
        for member in parts:
            part = archive.read(member)
            check_definitions(io.BytesIO(part))
            if _LONG_TAG.search(part):
                raise DocumentError(
                    "The Word document is made in a way that no word processor does; save it again "
                    "with one and retry."
                )
        names = archive.namelist()
        warnings = (_MACROS,) if any(_VBA.search(name) for name in names) else ()
        if _CORE not in names:
            return None, warnings
        root = ElementTree.fromstring(archive.read(_CORE))  # noqa: S314 - it defines no entities
    return titles.sensible(root.findtext(_TITLE)), warnings
