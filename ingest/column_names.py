"""Tells whether the first row of a table names its columns, for every place that has to know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

MAX_COLUMNS_CHARS = 200
"""Of a table's names together, up to which they stand among the headings of its rows."""
EMPTY_CELL = "–"
"""What an empty cell at the edge of a row is written as, or the others would move a column on."""
ROWS_COMPARED = 50
"""Below the first one: enough to tell what a column holds."""

_VALUE = re.compile(
    r"[^\w#]*\d[\d\s.,:/%€$£+-]*\s*\w{0,3}\W*|TRUE|FALSE|#(?:N/A|[A-Z0/]{3,8}[!?])", re.IGNORECASE
)
_YEAR = re.compile(r"(?:19|20)\d\d")
_DATE = re.compile(
    r"(?:19|20)\d\d(?:[-/.]\d\d?){0,2}|(?:19|20)\d\d[-/](?:19|20)?\d\d|\d\d?[./-]\d\d?[./-]\d{2,4}"
)


def is_value(cell: str) -> bool:
    """Tell whether a cell holds a number, an amount, a date, a truth value or an error."""
    return _VALUE.fullmatch(cell) is not None


def may_name(cell: str) -> bool:
    """Tell whether a cell may be a name by itself: no value, or a year or a date."""
    return not is_value(cell) or _DATE.fullmatch(cell) is not None


def are_names(first: Sequence[str], below: Iterable[Sequence[str]]) -> bool:
    """Tell whether the cells of a first row can be names of what is ``below`` in their columns.

    A number is none, but for a year or a date over a column of mostly something else. An empty cell
    is no reason against it; a row of nothing else is.
    """
    if not any(char.isalnum() for cell in first for char in cell):
        return False
    unsure = [number for number, cell in enumerate(first) if is_value(cell)]
    if not unsure:
        return True
    if len(unsure) == len(first) or not all(map(may_name, first)):
        return False
    if _count_on([first[n] for n in unsure]):
        return True
    rows = list(below)
    return not any(_are_dates([row[n] for row in rows if n < len(row)]) for n in unsure)


def _count_on(cells: Sequence[str]) -> bool:
    """Tell whether cells are years one after the other, as two figures hardly ever are."""
    years = [int(cell) for cell in cells if _YEAR.fullmatch(cell)]
    steps = {after - before for before, after in pairwise(years)}
    return len(years) == len(cells) and steps in ({1}, {-1})


def _are_dates(cells: Sequence[str]) -> bool:
    """Tell whether most cells are years or dates; a figure may look like one."""
    found = [cell for cell in cells if cell]
    return 2 * sum(_DATE.fullmatch(cell) is not None for cell in found) > len(found)
