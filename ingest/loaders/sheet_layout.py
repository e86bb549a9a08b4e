"""Finds the tables of a sheet as a person sees them.

They stand apart by blank rows and columns. Above a table are its title and notes, then the names of
its columns, in one row or in two of which the upper one names groups. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from ingest.column_names import ROWS_COMPARED, are_names, is_value, may_name

_HEAD_ROWS = 10
"""Among which the columns' names are looked for."""
_MOSTLY = 0.8
_MAX_FORM_ROWS = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a sheet that is not blank."""

    number: int
    """As the spreadsheet shows it, from 1."""
    cells: Mapping[int, str]
    """By column, from 1; none is blank."""
    spans: Mapping[int, int] = field(default_factory=dict)
    """Of cells that are merged to the right: over how many columns."""


@dataclass(frozen=True)
class Head:
    """What stands above the rows of a table."""

    rows: int
    """Of the table, which are no data: those of the title and those with names."""
    notes: int
    """Of these, those before the names: a title, a date, a unit."""
    names: tuple[str, ...]
    """Of the columns in order, each perhaps empty; empty where the columns have no names."""
    is_sure: bool = False
    """Whether values stand under names; else all is words, and the first row is only likely to be
    names."""


def bands(rows: Iterable[Row]) -> Iterator[Iterator[Row]]:
    """Yield runs of rows without a blank one between them, each to be read before the next."""
    before, run = 0, 0

    def number_of(row: Row) -> int:
        nonlocal before, run
        run += row.number > before + 1
        before = row.number
        return run

    return (band for _, band in groupby(rows, number_of))


def regions(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield the parts of a sheet that are apart by blank rows or columns, from the top."""
    for band in bands(rows):
        parts = _side_by_side(list(band))
        for part in parts:
            if len(parts) == 1:
                yield part
            else:
                yield from map(list, bands(part))


def columns_of(rows: Iterable[Row]) -> tuple[int, ...]:
    """Return the columns in which something stands, in order."""
    return tuple(sorted({column for row in rows for column in row.cells}))


def _side_by_side(band: list[Row]) -> list[list[Row]]:
    """Cut a band between two tables; a blank column inside of one does not part it."""
    columns = columns_of(band)
    starts = [columns[0], *(after for before, after in pairwise(columns) if after > before + 1)]
    if len(starts) == 1:
        return [band]
    ends = [*starts[1:], columns[-1] + 1]
    parts: list[tuple[int, int]] = []
    for start, end in zip(starts, ends, strict=True):
        wide = sum(start <= column < end for column in columns) > 1
        if parts and not (wide and _begins_table(band, start)):
            parts[-1] = parts[-1][0], end
        else:
            parts.append((start, end))
    if len(parts) == 1:
        return [band]
    return [_cut(band, start, end) for start, end in parts]


def _begins_table(band: Sequence[Row], column: int) -> bool:
    """Tell whether a column holds names of rows, as the first one of a table does."""
    found = [row.cells[column] for row in band if column in row.cells]
    return len(found) > 1 and sum(map(is_value, found)) <= (1 - _MOSTLY) * len(found)


def _cut(band: Sequence[Row], start: int, end: int) -> list[Row]:
    cut = []
    for row in band:
        cells = {column: text for column, text in row.cells.items() if start <= column < end}
        if cells:
            spans = {column: n for column, n in row.spans.items() if start <= column < end}
            cut.append(Row(row.number, cells, spans))
    return cut


def find_head(rows: Sequence[Row], columns: Sequence[int]) -> Head:
    """Return what stands above the data of a table, told by its first rows."""
    best: tuple[int, bool] | None = None
    for at, row in enumerate(rows[:_HEAD_ROWS]):
        names, below = _texts(row, columns), rows[at + 1 :]
        if len(row.cells) < 2 or 2 * len(row.cells) < len(columns) or not below:
            continue
        texts = [_texts(one, columns) for one in below[:ROWS_COMPARED]]
        if not are_names(names, texts):
            break
        sure = _is_over_values(names, texts)
        if best is not None and not (sure and len(row.cells) > len(rows[best[0]].cells)):
            break
        if sure or not _repeats(names, texts):
            best = at, sure
    if best is None:
        notes = 0
        while notes < min(len(rows) - 1, _HEAD_ROWS) and len(rows[notes].cells) == 1:
            notes += 1
        return Head(notes, notes, ())
    at, sure = best
    names = _texts(rows[at], columns)
    groups = _groups(rows[at - 1], columns, names) if at else None
    if groups is not None:
        names = tuple(map(_together, groups, names))
    return Head(at + 1, at - (groups is not None), names, sure)


def _texts(row: Row, columns: Sequence[int]) -> tuple[str, ...]:
    return tuple(row.cells.get(column, "") for column in columns)


def _is_over_values(names: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Tell whether some column is a name over values."""
    for number, name in enumerate(names):
        found = [row[number] for row in below if row[number]]
        if name and found and sum(map(is_value, found)) >= _MOSTLY * len(found):
            return True
    return False


def _repeats(names: Sequence[str], below: Sequence[Sequence[str]]) -> bool:
    """Tell whether one of the names stands again in its column, as data do."""
    return any(name and name == row[number] for number, name in enumerate(names) for row in below)


def _groups(row: Row, columns: Sequence[int], names: Sequence[str]) -> tuple[str, ...] | None:
    """Return the name of each column's group where the row above the names holds them."""
    texts = _texts(row, columns)
    alone = len(row.cells) == 1 and len(set(filter(None, names))) == len(names)
    if alone or not all(map(may_name, texts)) or texts[0] not in ("", names[0]):
        return None
    groups, name, until = [], "", 0
    for column, text in zip(columns, texts, strict=True):
        if text:
            name = text
            until = column + row.spans.get(column, 1 if row.spans else len(columns) + columns[-1])
        groups.append(name if column < until else "")
    return tuple(groups)


def _together(group: str, name: str) -> str:
    return name if group == name else f"{group} {name}".strip()


def is_form(rows: Sequence[Row], columns: Sequence[int], head: Head) -> bool:
    """Tell whether two columns are what is asked and what is answered, rather than a table."""
    if head.is_sure or len(columns) != 2 or len(rows) > _MAX_FORM_ROWS:
        return False
    asked = [row.cells.get(columns[0], "") for row in rows]
    if 2 * sum(text.endswith(":") for text in asked) > len(rows):
        return True
    if len(set(asked)) < len(asked) or any(map(is_value, asked)):
        return False
    answered = [is_value(row.cells[columns[1]]) for row in rows if columns[1] in row.cells]
    return not head.names or (any(answered) and not all(answered))
