"""Loads OpenDocument texts (.odt), as LibreOffice writes them."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from ingest.loaders import titles
from ingest.loaders.document import LoadedDocument, Source
from ingest.loaders.html import lost_formulas
from ingest.loaders.open_document import name_of, named, open_parts, value
from ingest.loaders.open_document_blocks import Reader
from ingest.loaders.open_document_styles import Styles
from ingest.loaders.packages import damaged
from ingest.loaders.running_lines import PAGE_WORDS

_CALLED = "OpenDocument text"


def load(source: Source) -> LoadedDocument:
    """Load a text: its headers, what is in it, its notes and its footers; no picture is opened."""
    with open_parts(source.path, source.limits, _CALLED) as parts:
        content, style_part = parts.root("content.xml"), parts.root("styles.xml")
        body = None if content is None else next(named(content, "office:text"), None)
        if body is None:
            raise damaged(_CALLED)
        reader = Reader(parts, Styles((style_part, content)))
        seen: set[str] = set()
        _add_running(reader, style_part, "header", seen)
        reader.read(body)
        reader.read_notes()
        _add_running(reader, style_part, "footer", seen)
        title = parts.title()
    headings = reader.flow.builder.headings()
    return LoadedDocument(
        text=reader.flow.builder.text(),
        title=title or titles.from_headings(headings) or titles.from_name(source.name),
        kind="odt",
        headings=headings,
        warnings=lost_formulas(reader.formulas),
    )


def _add_running(reader: Reader, styles: Element | None, place: str, seen: set[str]) -> None:
    """Add what the headers or footers of the pages say, each once."""
    if styles is None:
        return
    for page in named(styles, "style:master-page"):
        if value(page, "style:name") not in reader.styles.master_pages:
            continue
        for one in page:
            name = name_of(one.tag)
            if not name.startswith(f"style:{place}") or value(one, "style:display") == "false":
                continue
            text = reader.read_running(one)
            if text not in seen and not set(text.lower().split()) <= PAGE_WORDS:
                seen.add(text)
                reader.flow.paragraph(text)
