"""Reads the sheets of an OpenDocument spreadsheet row by row.

LibreOffice writes down what each cell shows. A row or a cell that is the same again and again
stands there once, with a number that may be a million.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import IO, Any

from lxml import etree

from ingest.loaders.cleaning import one_line
from ingest.loaders.number_formats import plain
from ingest.loaders.sheet_layout import Row
from ingest.loaders.sheet_rows import MAX_COLUMNS, MergedDown, Tally
from ingest.loaders.sheet_text import cell_text, column_letters

_OASIS = "urn:oasis:names:tc:opendocument:xmlns"
_TABLE, _OFFICE, _TEXT = (f"{{{_OASIS}:{name}:1.0}}" for name in ("table", "office", "text"))
_CELLS = (f"{_TABLE}table-cell", f"{_TABLE}covered-table-cell")
_GAPS = frozenset(f"{_TEXT}{name}" for name in ("s", "tab", "line-break"))
_SHEETS = f"{_OFFICE}spreadsheet"
_COUNT = re.compile(r"\d{1,9}")
_MAX_SAME_ROWS = 1_000
_MAX_SAME_CELLS = 1_000
_MAX_NOTES = 10_000


@dataclass
class Sheet:
    """A sheet whose rows are read as they are asked for, before the next sheet."""

    name: str
    rows: Iterator[Row]
    notes: list[str]
    """To its cells, each after the name of its cell; complete when the rows have been read."""


def sheets_of(part: IO[bytes], tally: Tally) -> Iterator[Sheet]:
    """Yield the sheets of ``content.xml`` in order."""
    for (_, name), found in groupby(_row_elements(part), lambda one: one[:2]):
        notes: list[str] = []
        yield Sheet(one_line(name), _rows((row for *_, row in found), notes, tally), notes)


def _row_elements(part: IO[bytes]) -> Iterator[tuple[int, str, Any]]:
    """Yield the number and name of each sheet with the elements of its rows; none is kept.

    Copies of other files' sheets, which a workbook keeps to calculate with, are none of its own.
    """
    open_tables: list[Any] = []
    number = 0
    for event, element in etree.iterparse(
        part,
        events=("start", "end"),
        tag=(f"{_TABLE}table", f"{_TABLE}table-row"),
        resolve_entities=False,
        no_network=True,
        huge_tree=False,
        load_dtd=False,
        remove_comments=True,
        remove_pis=True,
    ):
        if element.tag == f"{_TABLE}table":
            if event == "start":
                open_tables.append(element)
                number += len(open_tables) == 1
            else:
                open_tables.pop()
                if not open_tables:
                    _forget(element)
        elif event == "end" and len(open_tables) == 1:
            if _is_sheet(open_tables[0]):
                yield number, open_tables[0].get(f"{_TABLE}name") or "", element
            _forget(element)


def _forget(element: Any) -> None:
    """Empty an element and drop those before it beside it."""
    element.clear(keep_tail=False)
    while (before := element.getprevious()) is not None and before.tag == element.tag:
        element.getparent().remove(before)


def _is_sheet(table: Any) -> bool:
    above = table.getparent()
    return (
        above is not None and above.tag == _SHEETS and table.find(f"{_TABLE}table-source") is None
    )


def _rows(elements: Iterator[Any], notes: list[str], tally: Tally) -> Iterator[Row]:
    number, down = 0, MergedDown()
    for element in elements:
        times = _count(element, "number-rows-repeated")
        cells, widths, heights = _read_row(element, number + 1, notes, tally)
        last_rows = {column: number + height for column, height in heights.items()}
        tally.is_repeating |= bool(cells) and times > _MAX_SAME_ROWS
        for again in range(min(times, _MAX_SAME_ROWS) if cells else 0):
            tally.cells_left -= len(cells)
            if tally.cells_left < 0:
                return
            filled = dict(cells)
            down.fill(filled, number + 1 + again, last_rows)
            yield Row(number + 1 + again, filled, widths)
        number += times


def _read_row(
    element: Any, number: int, notes: list[str], tally: Tally
) -> tuple[dict[int, str], dict[int, int], dict[int, int]]:
    """Return the texts of a row's cells, over how many columns they are merged, and rows."""
    column = 1
    cells: dict[int, str] = {}
    widths: dict[int, int] = {}
    heights: dict[int, int] = {}
    for cell in element.iterchildren(*_CELLS):
        if column > MAX_COLUMNS:
            break
        text = cell_text(_shown(cell, tally)) if len(cell) or cell.attrib else ""
        times = _count(cell, "number-columns-repeated")
        if text:
            if (width := _count(cell, "number-columns-spanned")) > 1:
                widths[column] = width
            if 1 < (height := _count(cell, "number-rows-spanned")) <= _MAX_SAME_ROWS:
                heights[column] = height
            for same in range(column, column + min(times, _MAX_SAME_CELLS)):
                cells[same] = text
        for note in cell.iterchildren(f"{_OFFICE}annotation"):
            said = one_line(" ".join(map(_paragraph, note.iterchildren(f"{_TEXT}p"))))
            if said and len(notes) < _MAX_NOTES:
                notes.append(f"- {column_letters(column)}{number}: {said}")
        column += times
    return cells, widths, heights


def _count(element: Any, name: str) -> int:
    given = element.get(f"{_TABLE}{name}")
    return max(1, int(given)) if given is not None and _COUNT.fullmatch(given) else 1


def _shown(cell: Any, tally: Tally) -> str:
    """Return what a cell shows; its value where no text says it."""
    paragraphs = [_paragraph(one) for one in cell.iterchildren(f"{_TEXT}p")]
    if any(paragraphs):
        return " ".join(paragraphs)
    kind = cell.get(f"{_OFFICE}value-type")
    if kind is None:
        tally.uncalculated += cell.get(f"{_TABLE}formula") is not None
        return ""
    if kind in ("float", "currency", "percentage"):
        return _number(cell.get(f"{_OFFICE}value") or "")
    return cell.get(f"{_OFFICE}{kind}-value") or ""


def _number(written: str) -> str:
    try:
        return plain(float(written))
    except ValueError:
        return written


def _paragraph(element: Any) -> str:
    """Return a paragraph's text; where several spaces stand, there is an element."""
    parts = [element.text or ""]
    for inner in element.iterdescendants():
        if inner.tag in _GAPS:
            parts.append(" ")
        else:
            parts.append(inner.text or "")
        parts.append(inner.tail or "")
    return "".join(parts)
