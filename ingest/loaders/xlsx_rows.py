"""Reads the rows of a worksheet, one after the other.

openpyxl's own way through them keeps an element of each, walks the whole sheet twice where it does
not say how large it is, and cannot tell an empty cell from a formula that nobody has calculated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import IO, Any

from lxml import etree
from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format, is_timedelta_format
from openpyxl.utils.cell import column_index_from_string, range_boundaries
from openpyxl.utils.datetime import from_excel, from_ISO8601

from ingest.loaders.number_formats import shown
from ingest.loaders.sheet_layout import Row
from ingest.loaders.sheet_rows import MAX_COLUMNS, MergedDown, Tally
from ingest.loaders.sheet_text import cell_text
from ingest.loaders.xml_parts import XmlArchive, parse_xml

_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_ROW, _DATA, _CELL = f"{_MAIN}row", f"{_MAIN}sheetData", f"{_MAIN}c"
_VALUE, _FORMULA, _LETTERS = f"{_MAIN}v", f"{_MAIN}f", f"{_MAIN}t"
_MERGED_RANGE = re.compile(
    rb"""<(?:\w{1,9}:)?mergeCell\s[^<>]{0,99}?\bref=["']([A-Z]{1,3}\d{1,7}:[A-Z]{1,3}\d{1,7})"""
)
_STYLES = "xl/styles.xml"
_MAX_MERGED = 20_000
_MAX_MERGED_ROWS = 1_000
_PIECE_BYTES = 1024 * 1024
_OVERLAP_BYTES = 200


@dataclass
class _Merged:
    """Which cells are merged: by row, the first column, and how far they reach."""

    widths: dict[int, dict[int, int]] = field(default_factory=dict)
    """In columns."""
    last_rows: dict[int, dict[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Book:
    """What the cells of all sheets refer to."""

    strings: Sequence[str]
    formats: Sequence[str]
    """Of numbers, by the number of a style."""
    dates: frozenset[int]
    """Styles that show a number as a date or a time."""
    durations: frozenset[int]
    epoch: datetime
    """From which days are counted."""

    @classmethod
    def read(cls, archive: XmlArchive, strings: Sequence[str], epoch: datetime) -> Book:
        """Read the formats of the workbook's styles."""
        formats = _formats(archive)
        return cls(
            strings,
            formats,
            frozenset(style for style, shape in enumerate(formats) if is_date_format(shape)),
            frozenset(style for style, shape in enumerate(formats) if is_timedelta_format(shape)),
            epoch,
        )


def _formats(archive: XmlArchive) -> list[str]:
    """Return the number format of each style, by Excel's own list or by the workbook's.

    Of all that a style says this alone is read: there are programs that write the rest in ways
    that openpyxl refuses.
    """
    if _STYLES not in archive.namelist():
        return []
    root = parse_xml(archive, _STYLES)
    own = {one.get("numFmtId"): one.get("formatCode") for one in root.iter(f"{_MAIN}numFmt")}
    numbers = [style.get("numFmtId", "0") for style in root.iterfind(f"{_MAIN}cellXfs/{_MAIN}xf")]
    return [own.get(number) or BUILTIN_FORMATS.get(int(number), "General") for number in numbers]


def rows_of(archive: XmlArchive, part_name: str, book: Book, tally: Tally) -> Iterator[Row]:
    """Yield the rows of a sheet that are not blank, each cell as it is shown."""
    with archive.open(part_name) as part:
        merged = _merged_cells(part)
    cells_of, down, number = _Cells(book, tally), MergedDown(), 0
    with archive.open(part_name) as part:
        for element in _row_elements(part):
            given = element.get("r")
            number = int(given) if given else number + 1
            cells = cells_of(element)
            tally.cells_left -= len(cells)
            if tally.cells_left < 0:
                return
            down.fill(cells, number, merged.last_rows.get(number, {}))
            if cells:
                yield Row(number, cells, merged.widths.get(number, {}))


class _Cells:
    """Reads the cells of a row as they are shown."""

    def __init__(self, book: Book, tally: Tally) -> None:
        self._book = book
        self._tally = tally

    def __call__(self, row: Any) -> dict[int, str]:
        cells, column = {}, 0
        for cell in row.iterchildren(_CELL):
            column = _column(cell.get("r")) or column + 1
            text = self._shown(cell)
            if text and column <= MAX_COLUMNS:
                cells[column] = text
        return cells

    def _shown(self, cell: Any) -> str:
        kind = cell.get("t", "n")
        if kind == "inlineStr":
            return cell_text("".join(cell.itertext(_LETTERS)))
        written = cell.findtext(_VALUE)
        if not written:
            # An empty text that a formula gives is kept as one.
            self._tally.uncalculated += kind != "str" and cell.find(_FORMULA) is not None
            return ""
        if kind == "n":
            return cell_text(self._number(written, int(cell.get("s", 0))))
        if kind == "s":
            return cell_text(self._book.strings[int(written)])
        if kind == "b":
            return shown(written != "0", "")
        if kind == "d":
            return cell_text(shown(from_ISO8601(written), self._format(int(cell.get("s", 0)))))
        return cell_text(written)

    def _number(self, written: str, style: int) -> str:
        if style in self._book.dates:
            duration = style in self._book.durations
            try:
                value = from_excel(float(written), self._book.epoch, timedelta=duration)
            except (OverflowError, ValueError):
                return written  # no date: a spreadsheet shows a row of #
            return shown(value, self._format(style))
        number_format = self._format(style)
        if written.isdecimal() and number_format == "General":
            return written
        return shown(float(written), number_format)

    def _format(self, style: int) -> str:
        formats = self._book.formats
        return formats[style] if 0 <= style < len(formats) else "General"


@lru_cache(maxsize=MAX_COLUMNS)
def _column_of_letters(letters: str) -> int:
    return int(column_index_from_string(letters))


def _column(cell: str | None) -> int:
    """Return the column of a cell by its name; 0 where it has none."""
    return _column_of_letters(cell.rstrip("0123456789")) if cell else 0


def _row_elements(part: IO[bytes]) -> Iterator[Any]:
    """Yield the elements of rows one by one; none is kept, and nothing after them is read."""
    for _, element in etree.iterparse(
        part,
        tag=(_ROW, _DATA),
        resolve_entities=False,
        no_network=True,
        huge_tree=False,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
    ):
        if element.tag == _DATA:
            return
        yield element
        element.clear()
        while element.getprevious() is not None:
            del element.getparent()[0]


def _merged_cells(part: IO[bytes]) -> _Merged:
    """Return which cells are merged, looked for in the bytes: they stand after all rows."""
    merged, count, data = _Merged(), 0, b""
    while count < _MAX_MERGED and (piece := part.read(_PIECE_BYTES)):
        data = data[-_OVERLAP_BYTES:] + piece
        for found in _MERGED_RANGE.finditer(data):
            column, row, last_column, last_row = range_boundaries(found[1].decode("ascii"))
            if last_column > column:
                merged.widths.setdefault(row, {})[column] = last_column - column + 1
            if row < last_row < row + _MAX_MERGED_ROWS:
                merged.last_rows.setdefault(row, {})[column] = last_row
            count += 1
    return merged
