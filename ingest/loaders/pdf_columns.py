"""Puts what a PDF draws across a page into order: columns one by one, tables row by row.

PDFium makes one line of all letters on one height. A line is cut at its wide gaps; where the gaps
of several lines lie under one another, what stands beside them is a column of text, which is read
to its end before the next one, or of a table, whose rows become ``cell | cell``. Lines whose gaps
tell nothing stay as they were. Pure functions on ``Line``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise

from ingest.loaders.pdf_layout import STOP, Line
from ingest.loaders.ticks import spell_boxes

GAP = 1.0
"""Of the font's size: a wider gap within a line may part columns. Spaces between words that are
spread to the margin rarely reach it, and hardly ever under one another."""
_CORRIDOR = 0.5
"""Of the font's size, that the gaps of all lines have in common, at least."""
_DISTANCE = 3.2
"""Of the font's size, between two lines of one table or of one pair of columns, at most."""
_SAME_SIZE = 0.08
_MAX_PARTS = 40
_MAX_LINES = 200
"""In one table or pair of columns: more than any page shows."""
_CELL_LINES = 3
"""Lines under one another with one cell each, at most, in a table."""
_MIN_SHARE = 0.5
"""Of a table's lines, that have more than one cell."""
_MIN_ROWS = {2: 3}
"""By the number of columns: of two columns, two rows may be an accident."""
_CELL_HEIGHT = 8
"""Lines of one cell, at most, that stand beside those of another without being level with them."""
_LEADING = 1.9
"""Of the font's size, between two lines of one cell, at most."""
_PROSE_WORDS = 2.7
_PROSE_FULL = 0.75
"""Of the widest line of a column, that a line of running text reaches, but for its last ones."""
_MOST_FULL = 0.6
"""Share of a column's lines that do, at least."""
_PROSE_GOES_ON = 0.3
"""Share of a column's lines that begin in the middle of a sentence, at least, in running text."""
_NUMBER_ONLY = re.compile(
    r"(?:[-–—•▪◦·●○■□➢✓*‣⁃☐☑☒]|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,5})[.):]|\d{1,3}(?:\.\d{1,3})+"
    r"|§+\s*\d+\w?|\[\d{1,3}\])"
)
"""Before an item, a clause or a heading: the gap behind it parts no columns."""
_BROKEN = re.compile(r"[^\W\d_]-$")

Row = Sequence[Line]
"""The parts of a line between its wide gaps, from left to right."""


@dataclass(frozen=True, slots=True)
class _Cell(Line):
    """Several lines that are one cell of a table; ``baseline`` is that of the first."""

    bottom: float = 0.0
    """The baseline of the last."""


@dataclass(frozen=True)
class _Corridor:
    left: float
    right: float

    def common(self, other: _Corridor) -> _Corridor:
        return _Corridor(max(self.left, other.left), min(self.right, other.right))

    def is_wide(self, size: float) -> bool:
        return self.right - self.left >= _CORRIDOR * size


def arrange(rows: Sequence[Row]) -> tuple[Line, ...]:
    """Return the lines of a page in reading order."""
    rows = _whole(_downwards(rows))
    levelled = _levelled(rows)
    lines: list[Line] = []
    at = 0
    while at < len(rows):
        end, corridors = _region(rows, at)
        found = _read_levelled(levelled, at)
        if found is None and corridors:
            found = _read(rows[at:end], corridors)
        if found is None:
            lines.append(joined(rows[at]))
            at += 1
            continue
        taken, read = found
        lines += read
        at += taken
    return tuple(lines)


def joined(row: Row) -> Line:
    """Return the parts of a line as one."""
    if len(row) == 1:
        return row[0]
    return replace(
        row[-1],
        text=" ".join(part.text for part in row),
        left=row[0].left,
        baseline=row[0].baseline,
        right=max(part.right for part in row),
        size=max(part.size for part in row),
        bold=all(part.bold for part in row),
        fixed=all(part.fixed for part in row),
    )


def _whole(rows: Sequence[Row]) -> list[list[Line]]:
    """Join lines that PDFium has cut though they stand on one height, and numbers to their text."""
    found: list[list[Line]] = []
    for row in rows:
        parts = list(row)
        last = found[-1][-1] if found else None
        if last is not None and _is_beside(last, parts[0]):
            found[-1] += parts
        else:
            found.append(parts)
    for parts in found:
        # Of code the spaces mean something, of letters that are drawn far apart nothing.
        if all(part.fixed for part in parts) or len(parts) > _MAX_PARTS:
            parts[:] = [joined(parts)]
        parts[:] = _without_narrow_gaps(parts)
        while len(parts) > 1 and _NUMBER_ONLY.fullmatch(parts[0].text):
            parts[:2] = [joined(parts[:2])]
    return found


def _without_narrow_gaps(parts: Row) -> list[Line]:
    """Join what a value, typed beside its label, has been put next to."""
    found = [parts[0]]
    for part in parts[1:]:
        if part.left - found[-1].right < GAP * found[-1].size:
            found[-1] = joined([found[-1], part])
        else:
            found.append(part)
    return found


def _downwards(rows: Sequence[Row]) -> list[Row]:
    """Put turned lines into order: PDFium reads a page that is turned to the right upwards."""
    found: list[Row] = []
    for quarters, group in groupby(rows, key=lambda row: row[0].quarters):
        run = list(group)
        steps = [one[0].baseline < other[0].baseline for one, other in pairwise(run)]
        if quarters and sum(steps) * 2 > len(steps):
            run.sort(key=lambda row: -row[0].baseline)
        found += run
    return found


def _levelled(rows: Sequence[Row]) -> dict[int, tuple[Row, int]]:
    """Return the rows by where they begin, with how many lines each is of.

    Where cells are set in the middle of their row, their lines are not level with one another:
    the lines of each are one cell then. A file draws cell after cell. Empty where there are none.
    """
    found: dict[int, tuple[Row, int]] = {}
    at = 0
    while at < len(rows):
        cells: list[list[Line]] = []
        end = at
        while run := _stacked(rows, end):
            if not all(_stand_beside(run, cell) for cell in cells):
                break
            cells.append(run)
            end += len(run)
        if len(cells) > 1:
            found[at] = (sorted(map(_as_cell, cells), key=lambda cell: cell.left), end - at)
            at = end
        else:
            found[at] = (rows[at], 1)
            at += 1
    return found if any(length > 1 for _, length in found.values()) else {}


def _stacked(rows: Sequence[Row], start: int) -> list[Line]:
    """Return the lines that stand under one another from ``start`` on; none for a row of parts."""
    run: list[Line] = []
    for row in rows[start : start + _CELL_HEIGHT]:
        line = row[0]
        if len(row) > 1:
            break
        if run:
            above = run[-1]
            is_below = 0 < above.baseline - line.baseline <= _LEADING * above.size
            if not is_below or abs(above.left - line.left) > above.size:
                break
        run.append(line)
    return run


def _stand_beside(run: Sequence[Line], cell: Sequence[Line]) -> bool:
    """Tell whether two runs of lines share some height, and have a gap between them."""
    size = run[0].size
    left, right = sorted((run, cell), key=lambda lines: lines[0].left)
    gap = min(line.left for line in right) - max(line.right for line in left)
    top = min(run[0].baseline, cell[0].baseline)
    bottom = max(run[-1].baseline, cell[-1].baseline)
    return gap >= GAP * size and bottom <= top + 0.3 * size


def _as_cell(run: Sequence[Line]) -> Line:
    text = "".join(line.text + ("" if line.broken else " ") for line in mended(run))
    first = run[0]
    return _Cell(
        text=text.strip(),
        left=min(line.left for line in run),
        right=max(line.right for line in run),
        baseline=first.baseline,
        size=first.size,
        bold=all(line.bold for line in run),
        quarters=first.quarters,
        bottom=run[-1].baseline,
    )


def _bottom(row: Row) -> float:
    return min(part.bottom if isinstance(part, _Cell) else part.baseline for part in row)


def _read_levelled(
    levelled: Mapping[int, tuple[Row, int]], at: int
) -> tuple[int, list[Line]] | None:
    """Return how many lines from ``at`` on are a table with tall cells, and its rows."""
    rows: list[Row] = []
    lengths: list[int] = []
    place = at
    while place in levelled and len(rows) < _MAX_LINES:
        row, length = levelled[place]
        rows.append(row)
        lengths.append(length)
        place += length
        if len(rows[0]) == 1:  # what stands alone begins no table
            break
    if not any(length > 1 for length in lengths):
        return None
    end, corridors = _region(rows, 0)
    if not corridors or not any(length > 1 for length in lengths[:end]):
        return None
    end, count = _last_of_table(rows[:end])
    if count < max(_MIN_ROWS.get(len(corridors) + 1, 2), _MIN_SHARE * end):
        return None
    return sum(lengths[:end]), _table(rows[:end], corridors)


def _is_beside(left: Line, right: Line) -> bool:
    return (
        abs(left.baseline - right.baseline) < 0.3 * min(left.size, right.size)
        and right.left - left.right >= GAP * left.size
        and not (left.fixed or left.broken)
    )


def _gaps(row: Row) -> list[_Corridor]:
    return [_Corridor(one.right, other.left) for one, other in pairwise(row)]


def _region(rows: Sequence[Row], start: int) -> tuple[int, list[_Corridor]]:
    """Return where the lines end whose gaps go on under one another, and these gaps."""
    corridors = _gaps(rows[start])
    end = start + 1
    if not corridors:
        return end, []
    while end < min(len(rows), start + _MAX_LINES):
        above, row = rows[end - 1][0], rows[end]
        distance = _bottom(rows[end - 1]) - max(part.baseline for part in row)
        size = max(above.size, row[0].size)
        other_size = len(row) == 1 and abs(above.size - row[0].size) > _SAME_SIZE * size
        if other_size or not 0 < distance <= _DISTANCE * size:
            break
        narrowed = _narrowed(corridors, row)
        if narrowed is None:
            break
        corridors = narrowed
        end += 1
    return end, corridors


def _narrowed(corridors: Sequence[_Corridor], row: Row) -> list[_Corridor] | None:
    """Return what is left of the corridors beside a further line; ``None`` where it crosses them.

    A cell may reach over one corridor of several. A line with a gap where none was adds a column.
    """
    size = row[0].size
    gaps = _gaps(row)
    open_ = [*gaps, _Corridor(float("-inf"), row[0].left), _Corridor(row[-1].right, float("inf"))]
    kept: list[_Corridor] = []
    crossed = 0
    for corridor in corridors:
        common = max((corridor.common(gap) for gap in open_), key=lambda c: c.right - c.left)
        if common.is_wide(size):
            kept.append(common)
        else:
            crossed += 1
            kept.append(corridor)
    if crossed and crossed * 2 > len(corridors):
        return None
    new = (gap for gap in gaps if all(_is_clear_of(gap, known) for known in corridors))
    return sorted([*kept, *new], key=lambda corridor: corridor.left)


def _is_clear_of(gap: _Corridor, known: _Corridor) -> bool:
    common = gap.common(known)
    return common.right <= common.left


def _read(rows: Sequence[Row], corridors: Sequence[_Corridor]) -> tuple[int, list[Line]] | None:
    """Return how many of the rows are columns or a table, and their lines; ``None`` for neither."""
    columns: list[list[Line]] = [[] for _ in range(len(corridors) + 1)]
    for row in rows:
        for column, part in _placed(row, corridors):
            columns[column].append(part)
    if any(len(column) < 2 for column in columns):
        return None
    if len(rows) >= 3 and all(map(is_prose, columns)):
        return len(rows), [line for column in columns for line in mended(column)]
    end, count = _last_of_table(rows)
    if count < max(_MIN_ROWS.get(len(columns), 2), _MIN_SHARE * end):
        return None
    return end, _table(rows[:end], corridors)


def _last_of_table(rows: Sequence[Row]) -> tuple[int, int]:
    """Return how many of the lines are a table, and how many of these have several cells."""
    end = count = 0
    for number, row in enumerate(rows, start=1):
        if len(row) > 1:
            end, count = number, count + 1
        elif number - end > _CELL_LINES:
            break
    return end, count


def _placed(row: Row, corridors: Sequence[_Corridor]) -> list[tuple[int, Line]]:
    """Return each part of a row with the number of the column that it begins in."""
    middles = [(corridor.left + corridor.right) / 2 for corridor in corridors]
    return [(sum(part.left >= middle for middle in middles), part) for part in row]


def is_prose(column: Sequence[Line]) -> bool:
    """Tell running text from the cells of a table: lines of words that go on in the next one."""
    words = sum(len(line.text.split()) for line in column) / len(column)
    if words < _PROSE_WORDS:
        return False
    widest = max(line.right - line.left for line in column)
    full = sum(line.right - line.left >= _PROSE_FULL * widest for line in column)
    if full < _MOST_FULL * len(column):
        return False
    goes_on = sum(
        below.text[:1].islower() and STOP.search(above.text) is None
        for above, below in pairwise(column)
    )
    return goes_on >= _PROSE_GOES_ON * (len(column) - 1)


def mended(column: Sequence[Line]) -> list[Line]:
    """Return a column's lines with the words marked that end in the next line."""
    lines = list(column)
    for number, (line, below) in enumerate(pairwise(column)):
        if _BROKEN.search(line.text) and below.text[:1].islower():
            lines[number] = replace(line, text=line.text[:-1], broken=True)
    return lines


def _table(rows: Sequence[Row], corridors: Sequence[_Corridor]) -> list[Line]:
    """Return the rows of a table, those of several lines as one."""
    count = len(corridors) + 1
    found: list[tuple[Row, list[str]]] = []
    above: Row = ()
    for row in rows:
        cells = [""] * count
        for column, part in _placed(row, corridors):
            cells[column] = f"{cells[column]} {part.text}".strip()
        is_rest = _continues(cells) and (len(row) == 1 or _was_full(above, row, corridors))
        above = row
        if found and is_rest:
            whole = found[-1][1]
            whole[:] = [f"{one} {other}".strip() for one, other in zip(whole, cells, strict=True)]
        else:
            found.append((row, cells))
    return [
        replace(joined(row), text=" | ".join(map(spell_boxes, cells)), alone=True)
        for row, cells in found
    ]


def _continues(cells: Sequence[str]) -> bool:
    """Tell whether a line holds the rest of cells above: no first cell, or one amid a sentence."""
    filled = [cell for cell in cells if cell]
    if not cells[0] and len(filled) * 2 <= len(cells):
        return not any(cell[0].isdigit() for cell in filled)
    return len(filled) < len(cells) and all(cell[0].islower() for cell in filled)


def _was_full(above: Row, row: Row, corridors: Sequence[_Corridor]) -> bool:
    """Tell whether each cell of a line may go on from the one above: that had no room for more."""
    ends = dict(_placed(above, corridors))
    for column, part in _placed(row, corridors):
        if column >= len(corridors) or column not in ends:
            continue
        first = part.text.partition(" ")[0]
        needed = (part.right - part.left) * (len(first) + 1) / max(1, len(part.text))
        if ends[column].right + needed < corridors[column].right - GAP * part.size:
            return False
    return True
