"""Puts the lines of a PDF's pages together into paragraphs, headings and lists.

A PDF knows where each line stands and in which font, not what belongs together. The rules here
are pure functions on ``Line``; where a rule is not certain the text stays as it was.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from ingest.loaders.hyphens import Hyphens


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text; lengths in points, the origin at the page's lower left corner."""

    text: str
    left: float
    right: float
    baseline: float
    size: float
    """Of the font, as it appears."""
    bold: bool = False
    fixed: bool = False
    """In a font whose letters are all of one width: code, most likely."""
    broken: bool = False
    """Ends within a word, at a hyphen that is no longer in ``text``."""
    alone: bool = False
    """A paragraph by itself: a row of a table, a note that somebody has put on the page."""
    quarters: int = 0
    """Quarter turns against the clock of the text on its page; all lengths are as if unturned."""


@dataclass(frozen=True, slots=True)
class PageLines:
    """A page's lines in the order in which the file draws them."""

    number: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class PdfBlock:
    """Lines that belong together; ``level`` is that of a heading."""

    text: str
    level: int | None
    item: bool
    """Begins with a bullet or a number."""
    continues: bool
    """May go on on the next page: ends like the middle of a sentence."""
    broken: bool
    """Ends within a word."""
    continued: bool
    """May be the rest of the page before: begins like the middle of a sentence."""


_BULLET = re.compile(r"(?:[-–—•▪◦·●○■□➢✓*‣⁃]|\(?\d{1,3}[.)]|\(?[a-z][.)])\s+\S")
STOP = re.compile(r"[.!?:;…]['\"”’»)\]]*$")
_LEADER = " … "
"""What the loader makes of the dots in a table of contents."""
_HEADING_RATIO = 1.12
_HEADING_MAX_CHARS = 150
_HEADING_MAX_LINES = 3
_BOLD_MAX_CHARS = 100
_SAME_SIZE = 0.08
_SAME_BODY_SIZE = 0.15
"""Code within a paragraph is often set a little smaller."""
_PARAGRAPH_GAP = 1.3
"""Of the usual distance between lines."""


class Layout:
    """The measures of one document, from all its lines."""

    def __init__(self, pages: Sequence[PageLines]) -> None:
        """Measure the usual size and distance of lines."""
        self._pages = pages
        weights: Counter[float] = Counter()
        distances: dict[float, list[float]] = {}
        bold_chars = chars = 0
        for page in pages:
            for line in page.lines:
                weights[_rounded(line.size)] += len(line.text)
                chars += len(line.text)
                bold_chars += len(line.text) if line.bold else 0
            for above, below in pairwise(page.lines):
                distance = above.baseline - below.baseline
                if _same_size(above, below) and 0.8 < distance / below.size < 2.6:
                    distances.setdefault(_rounded(below.size), []).append(distance)
        self.body_size = weights.most_common(1)[0][0] if weights else 0.0
        self._pitches = {size: median(values) for size, values in distances.items()}
        self._bold_is_rare = bold_chars < 0.3 * chars
        self._hyphens = Hyphens.from_lines(
            (line.text, line.broken) for page in pages for line in page.lines
        )

    def pages(self) -> Iterator[tuple[int, list[PdfBlock]]]:
        """Yield each page's number and its blocks."""
        groups = [(page.number, list(self._groups(page.lines))) for page in self._pages]
        levels = self._heading_levels(group for _, page in groups for group in page)
        for number, page_groups in groups:
            yield number, [self._block(group, levels) for group in page_groups]

    def join(self, above: PdfBlock, below: PdfBlock) -> str | None:
        """Return what stands between two parts of a sentence that a page break cut in two."""
        if not (above.continues and below.continued):
            return None
        if above.broken:
            return self._hyphens.join(above.text, below.text)
        return " "

    def _groups(self, lines: Sequence[Line]) -> Iterator[_Group]:
        group: _Group | None = None
        for line in lines:
            if group is not None and not self._starts_group(group, line):
                group.add(line)
                continue
            if group is not None:
                yield group
            group = _Group(line)
        if group is not None:
            yield group

    def _starts_group(self, group: _Group, line: Line) -> bool:
        last = group.lines[-1]
        if line.alone or last.alone:
            return True
        heading_like = self._is_larger(line)
        tolerance = _SAME_SIZE if heading_like or self._is_larger(last) else _SAME_BODY_SIZE
        if not _same_size(last, line, tolerance) or _BULLET.match(line.text):
            return True
        if last.bold != line.bold and (group.bold or line.bold) and not last.broken:
            return True
        distance = last.baseline - line.baseline
        if abs(distance) < 0.3 * line.size:  # the same line, drawn in parts
            return False
        if distance < 0:  # the next column, or a box
            return not (last.broken or _goes_on(last.text, line.text))
        pitch = self._pitches.get(_rounded(line.size), 1.25 * line.size)
        if distance > (1.8 if heading_like or last.broken else _PARAGRAPH_GAP) * pitch:
            return True
        if heading_like or last.broken:
            return False
        return _is_indented(group, line) and not _goes_on(last.text, line.text)

    def _block(self, group: _Group, levels: dict[float, int]) -> PdfBlock:
        level = self._level(group, levels)
        first, last = group.lines[0], group.lines[-1]
        parts = [first.text]
        for above, below in pairwise(group.lines):
            parts.append(self._between(group, above, below, heading=level is not None))
            parts.append(below.text)
        item = _BULLET.match(first.text) is not None and not first.alone
        plain = level is None and not (last.fixed or last.alone)
        return PdfBlock(
            text="".join(parts),
            level=level,
            item=item,
            continues=plain and (last.broken or STOP.search(last.text) is None),
            broken=last.broken,
            continued=plain and not item and first.text[:1].islower(),
        )

    def _between(self, group: _Group, above: Line, below: Line, *, heading: bool) -> str:
        if above.broken:
            return self._hyphens.join(above.text, below.text)
        if heading or abs(above.baseline - below.baseline) < 0.3 * below.size:
            return " "
        if (above.fixed and below.fixed) or _LEADER in above.text:
            return "\n"
        if _ends_at_dash(above.text):
            return ""
        if _goes_on(above.text, below.text) or _is_full(group, above, below):
            return " "
        return "\n\n" if STOP.search(above.text) else "\n"

    def _is_larger(self, line: Line) -> bool:
        return line.size >= _HEADING_RATIO * self.body_size

    def _heading_levels(self, groups: Iterable[_Group]) -> dict[float, int]:
        """Rank the sizes of the headings: the largest is level 1."""
        sizes = {_rounded(group.lines[0].size) for group in groups if self._is_large_heading(group)}
        ranked = sorted(sizes, reverse=True)
        return {size: min(rank, 6) for rank, size in enumerate(ranked, start=1)}

    def _level(self, group: _Group, levels: dict[float, int]) -> int | None:
        if self._is_large_heading(group):
            return levels[_rounded(group.lines[0].size)]
        return min(len(levels) + 1, 6) if self._is_bold_heading(group) else None

    def _is_large_heading(self, group: _Group) -> bool:
        return self._is_larger(group.lines[0]) and _is_heading_text(
            group.lines, _HEADING_MAX_LINES, _HEADING_MAX_CHARS
        )

    def _is_bold_heading(self, group: _Group) -> bool:
        return (
            self._bold_is_rare
            and group.bold
            and group.lines[0].size >= (1 - _SAME_SIZE) * self.body_size
            and not STOP.search(group.lines[-1].text)
            and _is_heading_text(group.lines, 2, _BOLD_MAX_CHARS)
        )


class _Group:
    """Lines that belong together, with what is asked of all of them at each further line."""

    def __init__(self, line: Line) -> None:
        self.lines = [line]
        self.right = line.right
        """Where the longest line ends."""
        self.left = math.inf
        """Where the lines after the first begin."""
        self.bold = line.bold
        """Whether all of it is."""

    def add(self, line: Line) -> None:
        self.lines.append(line)
        self.right = max(self.right, line.right)
        self.left = min(self.left, line.left)
        self.bold = self.bold and line.bold


def _is_heading_text(group: Sequence[Line], max_lines: int, max_chars: int) -> bool:
    if len(group) > max_lines:
        return False
    text = " ".join(line.text for line in group)
    return (
        len(text) <= max_chars
        and sum(char.isalpha() for char in text) > 1
        and not text.endswith((".", ",", ";"))
        and _LEADER not in text
        and not any(line.fixed or line.alone for line in group)
    )


def _rounded(size: float) -> float:
    return round(size * 2) / 2


def _same_size(one: Line, other: Line, tolerance: float = _SAME_SIZE) -> bool:
    return abs(one.size - other.size) <= tolerance * max(one.size, other.size)


def _goes_on(above: str, below: str) -> bool:
    """Tell whether ``below`` begins like the middle of the sentence that ``above`` begins."""
    return below[:1].islower() and STOP.search(above) is None


def _ends_at_dash(text: str) -> bool:
    return text.endswith(("/", "—")) and len(text) > 1 and not text[-2].isspace()


def _is_full(group: _Group, above: Line, below: Line) -> bool:
    """Tell whether the first word of ``below`` had no room any more at the end of ``above``."""
    word = below.text.split(maxsplit=1)[0]
    width = (below.right - below.left) * (len(word) + 1) / max(1, len(below.text))
    return above.right + width > group.right - 0.5 * below.size


def _is_indented(group: _Group, line: Line) -> bool:
    """Tell whether ``line`` begins a paragraph by standing in or out of the block's own edge.

    The first line tells nothing of that edge.
    """
    return len(group.lines) > 1 and abs(line.left - group.left) > 0.8 * line.size
