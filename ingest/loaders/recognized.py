"""Puts the lines that were recognized in a picture into reading order, as a PDF's lines are.

A picture tells of each line where it stands and how high it is. What is made of that are the lines
of ``pdf_layout``, so that paragraphs, headings, tables and divided words are found by one set of
rules. Columns are parted here, since their lines need not stand on one height. Pure functions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from statistics import median

from ingest.loaders.pdf_columns import arrange, is_prose, mended
from ingest.loaders.pdf_layout import Line, PageLines
from ingest.loaders.recognition import Recognized, RecognizedLine

_BOX_HEIGHT = 1.4
"""Of the font's size: what is drawn round a line."""
_LARGER = 1.25
"""Than a page's median, by the height of its letters and by their width: a line in a larger size.
Either alone is too coarse an estimate. A smaller one is told in the same way."""
_SAME_SIZE = 1.2
"""Of two sizes, the larger one to the smaller: they may be one, measured twice."""
_ONE_HEIGHT = 0.5
"""Of the font's size, between the middles of the parts of one line, at most."""
_GUTTER = 1.0
"""Of the font's size, between two columns, at least."""
_EMPTY = 4.0
"""Of the font's size, from one line down to the next: columns end there."""
_MIN_COLUMN_LINES = 3
_MAX_SPANNING = 0.25
"""Of a region's lines, that reach over the gap between its columns, at most."""
_MAX_DEPTH = 4
_MAX_GAPS = 20
"""Looked at as the gap between two columns."""


def page_lines(recognized: Recognized, points_per_pixel: float) -> tuple[Line, ...]:
    """Return a picture's lines in reading order; lengths in points, from its lower left corner."""
    lines = _lines(recognized, points_per_pixel)
    found: list[Line] = []
    for band in _bands(lines):
        for region in _regions(band, _MAX_DEPTH):
            found += mended(arrange(_rows(region)))
    return tuple(found)


def in_common_sizes(
    pages: Sequence[PageLines], recognized: frozenset[int], body_size: float
) -> list[PageLines]:
    """Let lines of the pages of these numbers share a size where theirs are nearly the same.

    Sizes are estimates there. First among them are those of the other pages, and ``body_size``.
    """
    known = [body_size, *_sizes(page for page in pages if page.number not in recognized)]
    sizes = {size: size for size in known}
    for size in _sizes(page for page in pages if page.number in recognized):
        nearest = min(known, key=lambda other: abs(other - size))
        if not 1 / _SAME_SIZE <= size / max(nearest, 1e-9) <= _SAME_SIZE:
            known.append(nearest := size)
        sizes[size] = nearest
    return [
        replace(page, lines=tuple(replace(line, size=sizes[line.size]) for line in page.lines))
        if page.number in recognized
        else page
        for page in pages
    ]


def _sizes(pages: Iterable[PageLines]) -> list[float]:
    """Return the sizes of all lines, the usual ones first."""
    weights: Counter[float] = Counter()
    for page in pages:
        for line in page.lines:
            weights[line.size] += len(line.text)
    return [size for size, _ in weights.most_common()]


def _lines(recognized: Recognized, points_per_pixel: float) -> list[Line]:
    if not recognized.lines:
        return []
    usual = _usual_size(recognized.lines)
    usual_width = median(_letter_width(line) for line in recognized.lines for _ in line.text)
    found = []
    for line in recognized.lines:
        seems = usual if line.size is None else line.size
        by = sorted((seems / usual, _letter_width(line) / usual_width))
        is_other = by[0] > _LARGER or by[1] < 1 / _LARGER
        size = (seems if is_other else usual) * points_per_pixel
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


def _usual_size(lines: Sequence[RecognizedLine]) -> float:
    known = [line.size for line in lines if line.size is not None for _ in line.text]
    boxes = [(line.bottom - line.top) / _BOX_HEIGHT for line in lines]
    return max(1.0, median(known or boxes))


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


def _bands(lines: Sequence[Line]) -> Iterator[list[Line]]:
    """Yield the parts of a page between which it is empty from one side to the other."""
    band: list[Line] = []
    for line in sorted(lines, key=lambda line: -line.baseline):
        if band and band[-1].baseline - line.baseline > _EMPTY * line.size:
            yield band
            band = []
        band.append(line)
    if band:
        yield band


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
    widest = sorted(_gaps(lines, size), key=lambda gap: gap.left - gap.right)[:_MAX_GAPS]
    return next((gap for gap in widest if _parts_text(lines, gap)), None)


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
