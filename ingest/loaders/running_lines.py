"""Drops the lines that a PDF repeats on its pages: running headers, footers, page numbers.

Certain means: the outermost line of the page, set apart from the rest, at the same height on
several pages, and either the same words or a number that counts the pages.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

from ingest.loaders.pdf_layout import Line, PageLines

Edge = Literal["top", "bottom"]

_MIN_PAGES = 3
_MIN_SHARE = 0.6
_SAME_HEIGHT_POINTS = 3.0
_GAP = 1.6
"""Distance to the next line, in font sizes, from which a line stands apart."""
_PASSES = 3
_NUMBER = re.compile(r"\d+|\b[ivxlc]+\b")
PAGE_WORDS = frozenset("page pages p pp of seite von sur de página pagina pág".split())
_ROMAN = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}


@dataclass(frozen=True)
class _Place:
    """A line, by its page's and its own index."""

    page: int
    line: int


@dataclass(frozen=True)
class _Count:
    """Where and how the pages are counted: at this height, this much more than the page."""

    height: float
    offset: int


def drop_running_lines(pages: Sequence[PageLines]) -> list[PageLines]:
    """Return the pages without their running lines; a repeated title stays on the first page."""
    result = list(pages)
    for _ in range(_PASSES):
        drops = _find(result, "top") | _find(result, "bottom")
        if not drops:
            break
        dropped: dict[int, set[int]] = defaultdict(set)
        for place in drops:
            dropped[place.page].add(place.line)
        for index, lines in dropped.items():
            page = result[index]
            kept = tuple(line for i, line in enumerate(page.lines) if i not in lines)
            result[index] = replace(page, lines=kept)
    return result


def _find(pages: Sequence[PageLines], edge: Edge) -> set[_Place]:
    places = [p for i, page in enumerate(pages) if (p := _outermost(page, i, edge)) is not None]
    groups: dict[tuple[str, int], list[_Place]] = defaultdict(list)
    for place in places:
        # Left and right pages often differ, so each side is counted by itself as well.
        pattern = _pattern(_line(pages, place).text)
        groups[pattern, -1].append(place)
        groups[pattern, pages[place.page].number % 2].append(place)
    drops: set[_Place] = set()
    counts: set[_Count] = set()
    for (_, side), group in groups.items():
        found = _repeated(pages, group, step=1 if side < 0 else 2, edge=edge)
        drops |= found
        counts |= _counts(pages, found)
    # Where pages are known to be counted, a chapter of one or two pages has its number there too.
    return drops | {p for p in places if any(_is_counted(pages, p, count) for count in counts)}


def _outermost(page: PageLines, index: int, edge: Edge) -> _Place | None:
    """Return the line nearest to the edge when it stands apart from the rest of the page."""
    if len(page.lines) < 2:
        return None
    order = sorted(range(len(page.lines)), key=lambda i: page.lines[i].baseline)
    if edge == "top":
        order.reverse()
    outer, inner = page.lines[order[0]], page.lines[order[1]]
    gap = abs(outer.baseline - inner.baseline)
    return _Place(index, order[0]) if gap >= _GAP * max(outer.size, 0.8 * inner.size) else None


def _repeated(
    pages: Sequence[PageLines], group: Sequence[_Place], *, step: int, edge: Edge
) -> set[_Place]:
    """Return the lines of a group, alike but for their numbers, that certainly run."""
    if len(group) < _MIN_PAGES:
        return set()
    height = median(_line(pages, place).baseline for place in group)
    same = [p for p in group if abs(_line(pages, p).baseline - height) <= _SAME_HEIGHT_POINTS]
    if len(same) < _MIN_PAGES:
        return set()
    span = (pages[same[-1].page].number - pages[same[0].page].number) // step + 1
    if len(same) < _MIN_SHARE * span:
        return set()
    first = _line(pages, same[0])
    if all(_line(pages, place).text == first.text for place in same):
        # Said once, at the head of the document, it may be the only place for these words.
        keep_first = edge == "top" and same[0].page == 0 and any(map(str.isalpha, first.text))
        return set(same[1:] if keep_first else same)
    counts = _counts(pages, same)
    # What counts the pages at the foot is no heading, whatever its words are.
    words = edge == "bottom"
    return {p for p in same if any(_is_counted(pages, p, c, words=words) for c in counts)}


def _counts(pages: Sequence[PageLines], group: Collection[_Place]) -> set[_Count]:
    """Return how the lines count the pages: the differences that most of them share."""
    found = Counter(
        offset
        for place in group
        for offset in set(_offsets(_line(pages, place), pages[place.page].number))
    )
    enough = max(_MIN_PAGES, _MIN_SHARE * len(group))
    height = median(_line(pages, place).baseline for place in group) if group else 0.0
    return {_Count(height, offset) for offset, times in found.items() if times >= enough}


def _is_counted(
    pages: Sequence[PageLines], place: _Place, count: _Count, *, words: bool = False
) -> bool:
    """Tell whether the line is a page's number, by itself or at the other end of some words.

    ``words``: also with any words beside it.
    """
    line = _line(pages, place)
    found = set(re.findall(r"[^\W\d_]+", _pattern(line.text).lower()))
    return (
        abs(line.baseline - count.height) <= _SAME_HEIGHT_POINTS
        and count.offset in _offsets(line, pages[place.page].number)
        and (words or found <= PAGE_WORDS or _is_spread(line))
    )


def _offsets(line: Line, page: int) -> list[int]:
    return [_value(number) - page for number in _NUMBER.findall(line.text)]


def _line(pages: Sequence[PageLines], place: _Place) -> Line:
    return pages[place.page].lines[place.line]


def _pattern(text: str) -> str:
    return " ".join(_NUMBER.sub("#", text).split())


def _value(number: str) -> int:
    if number.isdecimal():
        return int(number[:9])
    values = [_ROMAN[letter] for letter in number]
    following = [*values[1:], 0]
    return sum(-a if a < b else a for a, b in zip(values, following, strict=True))


def _is_spread(line: Line) -> bool:
    """Tell whether the line has a wide gap within: words at one margin, a number at the other."""
    return line.right - line.left > 1.4 * 0.5 * line.size * len(line.text)
