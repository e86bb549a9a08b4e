"""Loads RTF files: paragraphs, headings, lists, rows of tables and notes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ingest.loaders import titles
from ingest.loaders.cleaning import one_line
from ingest.loaders.document import LoadedDocument, Source
from ingest.loaders.flow import Flow
from ingest.loaders.html import lost_formulas
from ingest.loaders.rtf_reader import Block, Reader
from ingest.loaders.running_lines import PAGE_WORDS

_NUMBER = re.compile(r"\(?(?:\d{1,4}|[a-zA-Z]|[ivxlcIVXLC]{1,6})(?:\.\d{1,4}){0,8}[.)]{0,2}")

_TYPED_MARK = re.compile(r"\s*([•▪◦·‣–-]|\d{1,3}[.)])\t")
"""Before an item of a list that is none to the program."""


def load(source: Source) -> LoadedDocument:
    """Load an RTF file; pictures and other embedded data are passed over, hidden text is too."""
    read = Reader(source.path.read_bytes().decode("latin-1")).read()
    flow = Flow()
    seen: set[str] = set()
    _add(flow, _running(read.headers, seen))
    _add(flow, read.body)
    _add(flow, read.notes)
    _add(flow, _running(read.footers, seen))
    headings = flow.builder.headings()
    title = titles.sensible(read.title) or titles.from_headings(headings)
    return LoadedDocument(
        text=flow.builder.text(),
        title=title or titles.from_name(source.name),
        kind="rtf",
        headings=headings,
        warnings=lost_formulas(read.formulas),
    )


def _add(flow: Flow, blocks: Iterable[Block]) -> None:
    rows: list[Sequence[str]] = []
    for block in blocks:
        if block.cells:
            rows.append(block.cells)
            continue
        if rows:
            flow.table(rows)
            rows = []
        _add_paragraph(flow, block)
    flow.table(rows)


def _add_paragraph(flow: Flow, block: Block) -> None:
    mark, text = block.mark, block.text
    typed = _TYPED_MARK.match(text)
    if mark is None and typed is not None:
        mark, text = typed[1], text[typed.end() :]
    mark = None if mark is None else one_line(mark)
    numbered = mark is not None and _NUMBER.fullmatch(mark) is not None
    if block.level is not None:
        flow.heading(f"{mark} {text}" if numbered else text, block.level)
    elif mark is None:
        flow.paragraph(text)
    else:
        flow.item(text, depth=block.depth, mark=f"{mark} " if numbered else "- ")


def _running(blocks: Iterable[Block], seen: set[str]) -> Iterable[Block]:
    """Yield what a page's header or footer says, once, without the page's number."""
    for block in blocks:
        text = one_line(" ".join((block.text, *block.cells)))
        words = {word for word in text.lower().split() if not word.isdecimal()}
        if text not in seen and not words <= PAGE_WORDS:
            seen.add(text)
            yield Block(block.text, cells=block.cells)
