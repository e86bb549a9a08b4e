"""Writes the rows of sheets as a document's text, and keeps which row stands where.

A table is a run of rows, ``cell | cell``, its columns' names first. Names that are together too
long to stand above each row are written into it, ``name: cell | name: cell``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice

from core.errors import DocumentTooLargeError
from ingest.column_names import EMPTY_CELL, MAX_COLUMNS_CHARS
from ingest.loaders.cleaning import one_line
from ingest.loaders.document import MAX_PAGES, PageSpan, ParseLimits, TextBuilder
from ingest.loaders.sheet_layout import Head, Row, bands, columns_of, find_head, is_form, regions

_SAMPLE_ROWS = 200
_WRITTEN_ROWS = 500
_TABLES_ABOVE = 20
"""To one of which rows after a blank one may belong."""
_MAX_TITLE_CHARS = 120
_MAX_TITLE_ROWS = 3
_MAX_ITEM_CHARS = 200


def cell_text(text: str) -> str:
    """Return a text as a cell of a row: on one line, and without what parts the cells."""
    if not (text.isascii() and text.isprintable()):
        text = one_line(text)
    return text.strip().replace("|", "¦")


def column_letters(column: int) -> str:
    """Return what a spreadsheet calls a column, from 1: A, …, Z, AA."""
    letters = ""
    while column:
        column, digit = divmod(column - 1, 26)
        letters = chr(ord("A") + digit) + letters
    return letters


@dataclass(eq=False)
class _Table:
    """A table that has been begun."""

    columns: tuple[int, ...]
    names: tuple[str, ...]

    @cached_property
    def _is_wide(self) -> bool:
        return len(" | ".join(self.names)) > MAX_COLUMNS_CHARS

    def line(self, row: Row) -> str:
        """Write a row of the table, with what stands beyond its columns."""
        cells = [row.cells.get(column, "") for column in self.columns]
        if self._is_wide:
            named = zip(self.names, cells, strict=True)
            cells = [f"{name}: {cell}" if name else cell for name, cell in named]
        last = self.columns[-1]
        if max(row.cells) > last:
            cells += [text for column, text in row.cells.items() if column > last]
        return _row_line(cells)


class SheetText:
    """Writes sheets into a text."""

    def __init__(self, builder: TextBuilder, *, level: int, limits: ParseLimits) -> None:
        """Write by ``builder``; ``level`` is that of a table's heading."""
        self._builder = builder
        self._max_chars = limits.max_chars
        self._level = level
        self._places: list[PageSpan] = []
        self._rows = 0
        self._tables: deque[_Table] = deque(maxlen=_TABLES_ABOVE)
        """The last ones of the sheet, in the order of the text."""
        self._open: _Table | None = None
        """The one to which a further row belongs, as no other text has come since."""
        self._title: list[Row] = []
        """Short lines that may turn out to stand above a table."""

    def places(self) -> tuple[PageSpan, ...]:
        """Return where each row stands; none where there are more than are kept."""
        return tuple(self._places)

    def add_sheet(self, name: str, rows: Iterable[Row]) -> bool:
        """Write a sheet under its name; return whether it is not blank, as then it is left out.

        All rows between two blank ones are in memory at once.
        """
        rows = iter(rows)
        first = next(rows, None)
        if first is None:
            return False
        if name:
            self._builder.add(name, level=self._level - 1)
        self._add(regions(chain([first], rows)))
        return True

    def add_records(self, rows: Iterable[Row]) -> None:
        """Write tables that stand under one another; rows are taken as they come."""
        self._add(bands(rows))

    def add_table(self, names: tuple[str, ...], rows: Iterable[Row]) -> None:
        """Write a table whose columns, the first ones, have these names."""
        table = _Table(tuple(range(1, len(names) + 1)), names)
        self._write_names(table, None)
        self._write_rows(table, rows)

    def _add(self, found: Iterable[Iterable[Row]]) -> None:
        self._tables.clear()
        for region in found:
            self._add_region(region)
        self._write_lines(self._title)
        self._title = []

    def _add_region(self, region: Iterable[Row]) -> None:
        if isinstance(region, list):
            sample, rest = region[:_SAMPLE_ROWS], iter(region[_SAMPLE_ROWS:])
            columns = columns_of(region)
        else:
            rest = iter(region)
            sample = list(islice(rest, _SAMPLE_ROWS))
            columns = columns_of(sample)
        if len(columns) == 1:
            self._add_column(sample, rest)
            return
        head = find_head(sample, columns)
        table = self._above(columns, head)
        if table is not None:
            self._continue(table, columns, chain(sample, rest), sample[0].number)
            return
        self._write_titles(sample[: head.notes], columns[0], sample[0].number)
        if is_form(sample[head.notes :], columns, head):
            self._write_form(sample[head.notes :])
            return
        names = head.names or tuple(map(column_letters, columns))
        table = _Table(tuple(columns), names)
        self._write_names(table, sample[head.rows - 1] if head.names else None)
        self._tables.append(table)
        self._write_rows(table, chain(sample[head.rows :], rest))

    def _add_column(self, sample: list[Row], rest: Iterator[Row]) -> None:
        short = all(len(text) <= _MAX_TITLE_CHARS for row in sample for text in row.cells.values())
        self._write_lines(self._title)
        self._title = []
        if len(sample) <= _MAX_TITLE_ROWS and short:
            self._title = sample
        else:
            self._write_lines(chain(sample, rest), items=True)

    def _above(self, columns: Sequence[int], head: Head) -> _Table | None:
        """Return the table to which rows after a blank one belong, as they have no names."""
        if head.is_sure:
            return None
        above = (one for one in reversed(self._tables) if set(columns) <= set(one.columns))
        table = next(above, None)
        return table if table is not None and head.names != table.names else None

    def _continue(
        self, table: _Table, columns: Sequence[int], rows: Iterable[Row], number: int
    ) -> None:
        if self._title or table is not self._tables[-1]:
            self._write_titles([], columns[0], number)
        if table is not self._open:
            self._write_names(table, None)
        self._tables.remove(table)
        self._tables.append(table)
        self._write_rows(table, rows)

    def _write_titles(self, notes: Sequence[Row], column: int, number: int) -> None:
        """Write what stands above a table; a later one without a title has its first cell's."""
        lines = [*self._title, *notes]
        self._title = []
        title = _line(lines[0]) if lines else ""
        if title and len(title) <= _MAX_TITLE_CHARS:
            self._write_heading(title)
            self._place(lines[:1], [title])
            lines = lines[1:]
        elif not lines and self._tables:
            self._write_heading(f"{column_letters(column)}{number}")
        self._write_lines(lines)

    def _write_heading(self, text: str) -> None:
        self._builder.add(text, level=self._level)
        self._open = None

    def _write_lines(self, rows: Iterable[Row], *, items: bool = False) -> None:
        before = False
        for row in rows:
            text = _line(row)
            item = items and len(text) <= _MAX_ITEM_CHARS
            separator = "\n" if item and before else "\n\n"
            self._builder.add(f"- {text}" if item else text, separator=separator)
            self._place([row], [text])
            before = item
            self._open = None

    def _write_form(self, rows: Sequence[Row]) -> None:
        for number, row in enumerate(rows):
            text = _line(row)
            self._builder.add(text, separator="\n" if number else "\n\n")
            self._place([row], [text])
        self._open = None

    def _write_names(self, table: _Table, row: Row | None) -> None:
        text = _row_line(table.names)
        self._builder.add(text)
        if row is not None:
            self._place([row], [text])
        self._open = table

    def _write_rows(self, table: _Table, rows: Iterable[Row]) -> None:
        # Many at a time: a million small texts take ten times the memory of what they say.
        rows = iter(rows)
        while some := list(islice(rows, _WRITTEN_ROWS)):
            lines = [table.line(row) for row in some]
            self._builder.add("\n\n".join(lines))
            self._place(some, lines, gap=2)

    def _place(self, rows: Sequence[Row], lines: Sequence[str], *, gap: int = 0) -> None:
        """Note where the rows stand that have been written last, ``gap`` characters apart."""
        end = self._builder.length
        if end > self._max_chars:  # as a few cells in each of many columns are
            raise DocumentTooLargeError(
                f"Its tables come to more than {self._max_chars / 1e6:,.0f} million characters; "
                "split it and try again."
            )
        self._rows += len(rows)
        if self._rows > MAX_PAGES:
            self._places.clear()
            return
        start = end - sum(map(len, lines)) - gap * (len(lines) - 1)
        for row, line in zip(rows, lines, strict=True):
            self._places.append(PageSpan(row.number, start, start + len(line)))
            start += len(line) + gap


def _row_line(cells: Sequence[str]) -> str:
    """Write a row; a blank cell at its edge is marked, for what reads rows trims them."""
    return " | ".join([cells[0] or EMPTY_CELL, *cells[1:-1], cells[-1] or EMPTY_CELL])


def _line(row: Row) -> str:
    """Write a row that is no row of a table: ``name: value`` where there are two cells."""
    texts = [row.cells[column] for column in sorted(row.cells)]
    if len(texts) == 2:
        return f"{texts[0].rstrip(': ')}: {texts[1]}"
    return ", ".join(texts)
