"""What a document counts out: the rows of its tables, the items of its lists, its headings.

Read from a document's text as its loader gave it: Markdown's tables, ``cell | cell`` of the other
formats, comma-separated files, bulleted and numbered lists, short lines under one another. Pure.
"""

from __future__ import annotations

import csv
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ingest.column_names import EMPTY_CELL, ROWS_COMPARED, are_names
from ingest.loaders import HeadingSpan, LoadedDocument

SeriesKind = Literal["table", "values", "numbers", "bullets", "lines", "headings"]
"""``values``: those of one column of a table, each once."""

LEAST_LINES = 3
"""Short lines under one another are a list from here on."""
LINE_CHARS = 60
LEAD_CHARS = 200

_FENCE = re.compile(r"[ \t]*(?:```|~~~)")
_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(?:\|\s*:?-+:?\s*)*\|?\s*")
_ITEM = re.compile(
    r"(?P<indent>[ \t]*)(?:(?P<number>\d{1,3})[.)]|[-*+•▪◦·–])[ \t]+"
    r"(?:\[[ xX]\][ \t]+)?(?P<text>\S.*)"
)
_CELL_BORDER = re.compile(r"(?<!\\)\|")
_PROSE_END = re.compile(r"[.!?;,]\s*$")


@dataclass(frozen=True)
class Item:
    """A row, an item or a heading: ``document.text[start:end]``."""

    start: int
    end: int
    cells: tuple[str, ...]
    """Of a row its cells, else the item's text alone."""


@dataclass(frozen=True)
class Series:
    """Items that belong together."""

    kind: SeriesKind
    items: tuple[Item, ...]
    header: tuple[str, ...] = ()
    """A table's; empty where it has none."""
    lead: str = ""
    """The line before it, which may say what it lists."""
    headings: tuple[str, ...] = ()
    """Above it, outermost first."""
    first: int = 1
    """The number of the first item of a numbered list."""


@dataclass(frozen=True)
class _Line:
    start: int
    end: int
    text: str


def series_of(document: LoadedDocument) -> tuple[Series, ...]:
    """Return all series of ``document`` in the order of its text."""
    # A file that is named as one has been read as a table.
    separated = _separated_values(document.text) if document.kind == "text" else None
    if separated is not None:
        return (separated,)
    found = [*_blocks(document), *_heading_series(document.headings)]
    return tuple(sorted(found, key=lambda series: series.items[0].start))


def _blocks(document: LoadedDocument) -> list[Series]:
    found: list[Series] = []
    trail = _Trail(document.headings)
    lines = list(_lines(document))
    lead = ""
    at = 0
    while at < len(lines):
        line = lines[at]
        if trail.is_heading(line):
            lead = ""
        for read in (_table, _list, _short_lines):
            series, after = read(lines, at, trail)
            if series is not None:
                found.append(replace(series, lead=lead, headings=trail.above(line.start)))
                at, lead = after, ""
                break
        else:
            if line.text.strip() and not trail.is_heading(line):
                lead = line.text.strip()[-LEAD_CHARS:]
            at += 1
    return _joined(found)


def _joined(found: Sequence[Series]) -> list[Series]:
    """Put a numbered list that goes on after a paragraph together."""
    joined: list[Series] = []
    for series in found:
        before = next((one for one in reversed(joined) if one.kind == "numbers"), None)
        if (
            series.kind == "numbers"
            and series.first > 1
            and before is not None
            and before.headings == series.headings
            and before.first + len(before.items) == series.first
        ):
            at = joined.index(before)
            joined[at] = replace(before, items=(*before.items, *series.items))
        else:
            joined.append(series)
    return joined


def _lines(document: LoadedDocument) -> Iterator[_Line]:
    """Yield the lines, less what is code."""
    fenced = False
    start = 0
    for raw in document.text.splitlines(keepends=True):
        text = raw.rstrip("\r\n")
        if document.kind == "markdown" and _FENCE.match(text):
            fenced = not fenced
        elif not fenced:
            yield _Line(start, start + len(text), text)
        start += len(raw)


def _next_text(lines: Sequence[_Line], at: int) -> int:
    while at < len(lines) and not lines[at].text.strip():
        at += 1
    return at


def _cells(text: str) -> tuple[str, ...]:
    """Return the cells of a table's line; one or none where it is no such line."""
    bare = text.strip()
    if "|" not in bare:
        return ()
    bare = bare.removeprefix("|").removesuffix("|")
    cells = (cell.replace("\\|", "|").strip() for cell in _CELL_BORDER.split(bare))
    return tuple("" if cell == EMPTY_CELL else cell for cell in cells)


def _table(lines: Sequence[_Line], at: int, trail: _Trail) -> tuple[Series | None, int]:
    rows: list[Item] = []
    header: tuple[str, ...] | None = None
    while at < len(lines) and not trail.is_heading(lines[at]):
        line = lines[at]
        cells = _cells(line.text)
        if _RULE.fullmatch(line.text) and "|" in line.text and "-" in line.text:
            if len(rows) == 1 and header is None:
                header = rows.pop().cells
            elif rows:  # another table's head stands right above
                break
            at += 1
            continue
        if len(cells) < 2 or (rows and len(cells) != len(rows[0].cells)):
            break
        text = line.text
        begin = line.start + len(text) - len(text.lstrip())
        rows.append(Item(begin, line.start + len(text.rstrip()), cells))
        # A row apart by a blank line belongs to the table where loaders write it so.
        following = _next_text(lines, at + 1)
        at = following if _goes_on(lines, following, cells, text) else at + 1
    if not rows:
        return None, at
    if header is None and _has_head(rows):
        header = rows.pop(0).cells
    return (Series("table", tuple(rows), header or ()), at) if rows else (None, at)


def _goes_on(lines: Sequence[_Line], at: int, cells: tuple[str, ...], row: str) -> bool:
    if at >= len(lines) or row.lstrip().startswith("|"):
        return False
    return len(_cells(lines[at].text)) == len(cells)


def _has_head(rows: Sequence[Item]) -> bool:
    """Tell whether the first row names the columns, as most tables begin."""
    below = (row.cells for row in rows[1 : ROWS_COMPARED + 1])
    return len(rows) > 1 and are_names(rows[0].cells, below)


def _list(lines: Sequence[_Line], at: int, trail: _Trail) -> tuple[Series | None, int]:
    first = _ITEM.fullmatch(lines[at].text)
    if first is None or trail.is_heading(lines[at]):
        return None, at
    indent, numbered = len(first.group("indent").expandtabs(4)), first.group("number") is not None
    items: list[Item] = []
    number = 0
    while at < len(lines):
        line = lines[at]
        match = _ITEM.fullmatch(line.text)
        if match is None:
            inside = line.text.startswith((" ", "\t")) and line.text.strip()
            if inside and items and not trail.is_heading(line):  # an item's second line
                last = items[-1]
                items[-1] = Item(last.start, line.end, last.cells)
                at += 1
                continue
            break
        depth = len(match.group("indent").expandtabs(4))
        if depth < indent:
            break
        if depth == indent:
            if (match.group("number") is not None) != numbered:
                break
            counted = int(match.group("number") or 0)
            if numbered and items and counted <= 1 < number:  # another list begins
                break
            number = counted
            text = match.group("text").rstrip()
            begin = line.start + match.start("text")
            items.append(Item(begin, begin + len(text), (text,)))
        at += 1
        following = _next_text(lines, at)
        if following < len(lines) and _ITEM.fullmatch(lines[following].text):
            at = following
    kind: SeriesKind = "numbers" if numbered else "bullets"
    return Series(kind, tuple(items), first=int(first.group("number") or 1)), at


def _short_lines(lines: Sequence[_Line], at: int, trail: _Trail) -> tuple[Series | None, int]:
    items: list[Item] = []
    while at < len(lines):
        text = lines[at].text.strip()
        if (
            not text
            or len(text) > LINE_CHARS
            or _PROSE_END.search(text)
            or text.endswith(":")
            or trail.is_heading(lines[at])
            or _ITEM.fullmatch(lines[at].text)
        ):
            break
        begin = lines[at].start + lines[at].text.index(text)
        items.append(Item(begin, begin + len(text), (text,)))
        at += 1
    goes_on = at < len(lines) and lines[at].text.strip()  # into a paragraph
    if len(items) < LEAST_LINES or goes_on:
        return None, at
    return Series("lines", tuple(items)), at


def _separated_values(text: str) -> Series | None:
    """Return a file of separated values as a table; ``None`` for any other text."""
    lines = [_Line(0, 0, "")]
    lines.clear()
    start = 0
    for raw in text.splitlines(keepends=True):
        bare = raw.rstrip("\r\n")
        if bare.strip():
            lines.append(_Line(start, start + len(bare), bare))
        start += len(raw)
    for mark in (";", "\t", ","):
        if len(lines) < LEAST_LINES or mark not in lines[0].text:
            continue
        rows: list[Item] = []
        for line in lines:
            cells = next(csv.reader([line.text], delimiter=mark), [])
            if len(cells) < 2 or (rows and len(cells) != len(rows[0].cells)):
                break
            if any(_PROSE_END.search(cell) for cell in cells):
                break
            rows.append(Item(line.start, line.end, tuple(cell.strip() for cell in cells)))
        if len(rows) == len(lines):
            header = rows.pop(0).cells if _has_head(rows) else ()
            return Series("table", tuple(rows), header)
    return None


def _heading_series(headings: Sequence[HeadingSpan]) -> Iterator[Series]:
    """Yield each heading's own headings, and those of the document."""
    open_: list[tuple[HeadingSpan | None, list[HeadingSpan]]] = [(None, [])]
    done = []
    for heading in headings:
        while open_[-1][0] is not None and open_[-1][0].level >= heading.level:
            done.append(open_.pop())
        open_[-1][1].append(heading)
        open_.append((heading, []))
    above = {id(child): parent for parent, children in (*done, *open_) for child in children}
    for parent, children in (*done, *open_):
        if len(children) < 2:
            continue
        path: list[str] = []
        while parent is not None:
            path.insert(0, parent.text)
            parent = above.get(id(parent))
        items = tuple(Item(child.start, child.end, (child.text,)) for child in children)
        yield Series("headings", items, headings=tuple(path))


class _Trail:
    """Tells what stands above a line."""

    def __init__(self, headings: Sequence[HeadingSpan]) -> None:
        self._headings = sorted(headings, key=lambda heading: heading.start)
        self._starts = [heading.start for heading in self._headings]

    def is_heading(self, line: _Line) -> bool:
        at = bisect_right(self._starts, line.end) - 1
        if at < 0:
            return False
        heading = self._headings[at]
        return line.start <= heading.start and heading.end <= line.end and bool(line.text.strip())

    def above(self, offset: int) -> tuple[str, ...]:
        path: list[HeadingSpan] = []
        for heading in self._headings[: bisect_right(self._starts, offset)]:
            path = [one for one in path if one.level < heading.level]
            path.append(heading)
        return tuple(heading.text for heading in path)
