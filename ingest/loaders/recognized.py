"""Puts the lines that were recognized in a picture into reading order, as a PDF's lines are.

A picture tells of each line where it stands and how high it is. What is made of that are the lines
of ``pdf_layout``, so that paragraphs, headings, tables and divided words are found by one set of
rules. Columns are parted here, since their lines need not stand on one height. Pure functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from statistics import median

from ingest.loaders.pdf_columns import arrange, is_prose, mended
from ingest.loaders.pdf_layout import Line, PageLines
from ingest.loaders.recognition import Recognized, RecognizedLine

_LARGER = 1.25
"""Than a page's median, by the height of its letters and by their width: a line in a larger size.
Either alone is too coarse an estimate. A smaller one is told in the same way."""
_USUAL_PAGE = (0.8, 1.25)
"""Of the document's usual size: that of a page is the same, measured otherwise."""
_ONE_HEIGHT = 0.5
"""Of the font's size, between the middles of the parts of one line, at most."""
_GUTTER = 1.0
"""Of the font's size, between two columns, at least."""
_MIN_COLUMN_LINES = 3
_MAX_SPANNING = 0.25
"""Of a region's lines, that reach over the gap between its columns, at most."""
_MAX_DEPTH = 4


def page_lines(recognized: Recognized, points_per_pixel: float) -> tuple[Line, ...]:
    """Return a picture's lines in reading order; lengths in points, from its lower left corner."""
    lines = _lines(recognized, points_per_pixel)
    found: list[Line] = []
    for region in _regions(lines, _MAX_DEPTH):
        found += mended(arrange(_rows(region)))
    return tuple(found)


def in_usual_size(
    pages: Sequence[PageLines], recognized: frozenset[int], body_size: float
) -> list[PageLines]:
    """Let the pages of these numbers have the document's usual size where they nearly have it."""
    found = []
    for page in pages:
        if page.number in recognized and page.lines and body_size:
            usual = median(line.size for line in page.lines for _ in line.text)
            if _USUAL_PAGE[0] <= usual / body_size <= _USUAL_PAGE[1]:
                factor = body_size / usual
                lines = tuple(replace(line, size=line.size * factor) for line in page.lines)
                page = replace(page, lines=lines)
        found.append(page)
    return found


def _lines(recognized: Recognized, points_per_pixel: float) -> list[Line]:
    if not recognized.lines:
        return []
    usual = median(line.size for line in recognized.lines for _ in line.text)
    usual_width = median(_letter_width(line) for line in recognized.lines for _ in line.text)
    found = []
    for line in recognized.lines:
        by = sorted((line.size / usual, _letter_width(line) / usual_width))
        is_other = by[0] > _LARGER or by[1] < 1 / _LARGER
        size = (line.size if is_other else usual) * points_per_pixel
        middle = (line.top + line.bottom) / 2
        found.append(
            Line(
                text=line.text,
                left=line.left * points_per_pixel,
                right=line.right * points_per_pixel,
                baseline=(recognized.height - middle) * points_per_pixel - 0.3 * size,
                size=size,
                alone=not line.upright,
            )
        )
    return found


def _letter_width(line: RecognizedLine) -> float:
    length = line.right - line.left if line.upright else line.bottom - line.top
    return max(length, 1.0) / len(line.text)


def _rows(lines: Sequence[Line]) -> list[list[Line]]:
    """Return lines from top to bottom, those beside each other as the parts of one."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: -line.baseline):
        row = rows[-1] if rows else []
        if row and _is_in(row, line):
            row.append(line)
        else:
            rows.append([line])
    for row in rows:
        row.sort(key=lambda line: line.left)
        baseline = sum(line.baseline for line in row) / len(row)
        row[:] = [replace(line, baseline=baseline) for line in row]
    return rows


def _is_in(row: Sequence[Line], line: Line) -> bool:
    """Tell whether a line stands beside the parts of a row."""
    near = abs(row[0].baseline - line.baseline) < _ONE_HEIGHT * min(row[0].size, line.size)
    beside = all(
        line.left >= part.right - part.size / 2 or part.left >= line.right - line.size / 2
        for part in row
    )
    return near and beside and not (line.alone or row[0].alone)


# ── columns ──────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Gutter:
    left: float
    right: float

    def spans(self, line: Line) -> bool:
        """Whether a line reaches over it."""
        return line.left < self.left and line.right > self.right


def _regions(lines: Sequence[Line], depth: int) -> Iterator[list[Line]]:
    """Yield what is read one after the other: each column, and what reaches over columns."""
    gutter = _gutter(lines) if depth else None
    if gutter is None:
        yield list(lines)
        return
    downwards = sorted(lines, key=lambda line: -line.baseline)
    for spans, run in groupby(downwards, key=gutter.spans):
        if spans:
            yield list(run)
        else:
            yield from _columns(list(run), gutter, depth)


def _columns(band: Sequence[Line], gutter: _Gutter, depth: int) -> Iterator[list[Line]]:
    left = [line for line in band if line.left < gutter.left]
    right = [line for line in band if line.left >= gutter.left]
    if min(len(left), len(right)) < _MIN_COLUMN_LINES:
        yield list(band)
        return
    yield from _regions(left, depth - 1)
    yield from _regions(right, depth - 1)


def _gutter(lines: Sequence[Line]) -> _Gutter | None:
    """Return the widest gap that parts running text from what stands beside it."""
    if len(lines) < 2 * _MIN_COLUMN_LINES:
        return None
    size = median(line.size for line in lines)
    found = [gap for gap in _gaps(lines, size) if _parts_text(lines, gap)]
    return max(found, key=lambda gap: gap.right - gap.left, default=None)


def _gaps(lines: Sequence[Line], size: float) -> Iterator[_Gutter]:
    """Yield the stretches across the page that next to no line covers."""
    edges = sorted([(line.left, 1) for line in lines] + [(line.right, -1) for line in lines])
    allowed = int(_MAX_SPANNING * len(lines))
    covering = 0
    for (start, step), (end, _) in pairwise(edges):
        covering += step
        if covering <= allowed and end - start >= _GUTTER * size:
            yield _Gutter(start, end)


def _parts_text(lines: Sequence[Line], gutter: _Gutter) -> bool:
    """Tell columns of running text from those of a table, whose rows are read across."""
    left = [line for line in lines if line.right <= gutter.left]
    right = [line for line in lines if line.left >= gutter.right]
    if min(len(left), len(right)) < _MIN_COLUMN_LINES:
        return False
    return all(is_prose(sorted(side, key=lambda line: -line.baseline)) for side in (left, right))
