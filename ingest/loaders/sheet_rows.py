"""What rows of sheets have in common whichever format they come from: bounds, merged cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ingest.loaders.document import ParseLimits

MAX_CELLS = 2_000_000
"""Of a workbook, that hold something."""
MAX_COLUMNS = 16_384
_MAX_REPEATED_CHARS = 200
"""Of a merged cell: a longer one stands in its first row only."""


@dataclass
class Tally:
    """What is counted over all sheets of a workbook."""

    cells_left: int = MAX_CELLS
    """That may still be read; below 0 where there were more."""
    uncalculated: int = 0
    """Formulas without a value."""
    is_repeating: bool = False
    """Whether a row was repeated more often than it was read."""

    def warnings(self) -> list[str]:
        """Return a sentence for each thing that was not read."""
        found = []
        if self.cells_left < 0:
            found.append(f"Only the first {MAX_CELLS:,} cells were read; split it.")
        if self.is_repeating:
            found.append(
                "Of rows that are the same a thousand times, the first thousand were read."
            )
        if self.uncalculated:
            formulas = counted(self.uncalculated, "formula has", "formulas have")
            found.append(f"{formulas} no kept value; open it in Excel or LibreOffice and save it.")
        return found


class MergedDown:
    """Cells that are merged over several rows, each written into all of them."""

    def __init__(self) -> None:
        """Start at a sheet's first row."""
        self._open: dict[int, tuple[int, str]] = {}

    def fill(self, cells: dict[int, str], number: int, last_rows: Mapping[int, int]) -> None:
        """Add to the cells of row ``number`` those that reach into it, unless it is blank.

        ``last_rows``: by column, to which row the cells reach that begin in this one.
        """
        for column, (last, text) in list(self._open.items()):
            if number > last:
                del self._open[column]
            elif cells:
                cells.setdefault(column, text)
        for column, last in last_rows.items():
            text = cells.get(column, "")
            if last > number and 0 < len(text) <= _MAX_REPEATED_CHARS:
                self._open[column] = last, text


def sheet_limits(limits: ParseLimits) -> ParseLimits:
    """Return the limits of sheets, which are read row by row: four times as much XML as others."""
    return replace(limits, max_unpacked_bytes=4 * limits.max_unpacked_bytes)


def counted(number: int, one: str, many: str) -> str:
    """Return a number with its words."""
    return f"{number:,} {one if number == 1 else many}"
