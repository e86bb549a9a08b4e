"""Loads separated values (.csv, .tsv), whatever parts them, as tables with their columns' names."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import PurePath
from typing import Any

import clevercsv

from core.errors import DocumentError
from ingest.loaders import titles
from ingest.loaders.cleaning import clean
from ingest.loaders.document import LoadedDocument, Source, TextBuilder
from ingest.loaders.encoding import decode
from ingest.loaders.sheet_layout import Row
from ingest.loaders.sheet_rows import MAX_COLUMNS
from ingest.loaders.sheet_text import SheetText, cell_text

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_CHARS = 65_536
_NAMED_DELIMITER = re.compile(r'"?sep=(?P<mark>[^\r\n"])"?[ \t]*(?:\r?\n|$)', re.IGNORECASE)
_LONG_CELL = re.compile(r'([^,;\t|"\n]{100})[^,;\t|"\n]+')
"""clevercsv's time to tell what a cell holds grows with the square of its length."""


@dataclass(frozen=True)
class _Form:
    """How the values of a file are written."""

    delimiter: str
    quote: str = '"'
    """Empty where quotation marks are part of the text."""
    escape: str | None = None

    def reader(self, text: str, begin: int) -> Any:
        """Return a ``csv.reader`` of a text from ``begin`` on."""
        return csv.reader(
            _lines(text, begin),
            delimiter=self.delimiter,
            quotechar=self.quote or None,
            escapechar=self.escape,
            quoting=csv.QUOTE_MINIMAL if self.quote else csv.QUOTE_NONE,
        )


def load(source: Source) -> LoadedDocument:
    """Load a file of separated values; what stands above its table is its heading and notes."""
    text = clean(decode(source.path.read_bytes()))
    named = _NAMED_DELIMITER.match(text)
    begin = named.end() if named else 0
    form = _Form(named["mark"]) if named else _form(text[:_SAMPLE_CHARS], source.name)
    if not _is_sound(text, begin, form):
        form = replace(form, quote="")
    builder = TextBuilder()
    sheet = SheetText(builder, level=1, limits=source.limits)
    try:
        sheet.add_records(_rows(text, begin, form))
    except csv.Error as exc:
        raise DocumentError(
            f"A cell of it holds more than {csv.field_size_limit():,} characters; save it as text."
        ) from exc
    headings = builder.headings()
    return LoadedDocument(
        text=builder.text(),
        title=titles.from_headings(headings) or titles.from_name(source.name),
        kind="csv",
        pages=sheet.places(),
        headings=headings,
    )


def _form(sample: str, name: str) -> _Form:
    """Tell how values are written by the first of them, whole lines only."""
    end = sample.rfind("\n") + 1 if len(sample) == _SAMPLE_CHARS else 0
    sample = _LONG_CELL.sub(r"\1", sample[:end] if end else sample)
    found = clevercsv.Detector().detect(sample, delimiters=_DELIMITERS)
    if found is not None and found.delimiter:
        quote = "'" if found.quotechar == "'" and '"' not in sample else '"'
        return _Form(found.delimiter, quote, found.escapechar or None)
    if PurePath(name).suffix.lower() in (".tsv", ".tab"):
        return _Form("\t")
    first = sample.partition("\n")[0]
    return _Form(max(_DELIMITERS, key=first.count))


def _is_sound(text: str, begin: int, form: _Form) -> bool:
    """Tell whether quotation marks are closed: a lone one makes one cell of all that follows."""
    reader = form.reader(text, begin)
    before = last = 0
    try:
        for _ in reader:
            before, last = last, reader.line_num
    except csv.Error:
        return False
    lines = text.rstrip("\n").rsplit("\n", last - before)[1:]
    return last - before < 2 or "".join(lines).count(form.quote) % 2 == 0


def _rows(text: str, begin: int, form: _Form) -> Iterator[Row]:
    """Yield the records that are not blank, numbered as a spreadsheet shows them."""
    for number, record in enumerate(form.reader(text, begin), start=1):
        cells = {
            column: shown
            for column, cell in enumerate(islice(record, MAX_COLUMNS), start=1)
            if (shown := cell_text(cell if form.quote else cell.strip('"')))
        }
        if cells:
            yield Row(number, cells)


def _lines(text: str, begin: int) -> Iterator[str]:
    while begin < len(text):
        end = text.find("\n", begin) + 1 or len(text)
        yield text[begin:end]
        begin = end
