"""Cuts a document into chunks that keep their heading, and their place in the text.

A chunk is a run of whole sentences under one heading, up to a token budget. Chunks do not
overlap: what the model reads is not the chunk but a window round its best sentence. A table is cut
from the text round it, and its first row stands among the headings of all its rows.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ingest.column_names import MAX_COLUMNS_CHARS, ROWS_COMPARED, are_names
from ingest.loaders import HeadingSpan, LoadedDocument
from ingest.sentences import LONGEST_BLOCK, line_spans, sentence_spans

SPLITTER_VERSION = 4
"""Part of the fingerprint: a change of the rules below makes old chunks out of date."""
CHARS_PER_TOKEN = 16
"""At most: the embedder's tokenizer makes one token of a word of any length."""
HEADING_SEPARATOR = " › "
_NEAR_CHARS = 2_000
_SPACE = re.compile(r"\s")
_RULE = re.compile(r"\|?[\s|:+=-]*-[\s|:+=-]*")
"""The line under a Markdown table's head, or at its edge."""
_COMMENTS = ("#", "//", "/*", "*", "--", "@", ";;", "%", "[")
"""What a line begins with that only says something about the next."""
_MAX_COMMENT_LINES = 100

TokenCounter = Callable[[Sequence[str]], list[int]]


@dataclass(frozen=True)
class Chunk:
    """A run of sentences; ``text == document.text[start:end]``."""

    start: int
    end: int
    text: str
    heading: str
    """The headings above it, outermost first, joined with `` › ``; empty where there is none.

    For the rows of a table, its columns' names come last, joined with `` | ``.
    """


def cells(row: str) -> list[str]:
    """Return the cells of a line that may be a row of a table; one or none where it is no row."""
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def columns_in(heading: str) -> list[str]:
    """Return the columns' names that end a chunk's heading; one or none where it has no such."""
    return cells(heading.rsplit(HEADING_SEPARATOR, 1)[-1])


def is_rule(line: str) -> bool:
    """Tell whether a line only parts a table's head from its rows."""
    return _RULE.fullmatch(line.strip()) is not None


def splitter_fingerprint(chunk_tokens: int) -> str:
    """Name the rules that made a chunk, for the collection's record."""
    return f"sentences-v{SPLITTER_VERSION}-{chunk_tokens}"


def search_heading(title: str, heading: str) -> str:
    """Return the line that is searched along with a chunk: its document's title and headings."""
    if not heading or heading.startswith(title):
        return heading or title
    return f"{title}{HEADING_SEPARATOR}{heading}"


def split(document: LoadedDocument, *, chunk_tokens: int, count: TokenCounter) -> list[Chunk]:
    """Cut ``document`` into chunks of at most ``chunk_tokens`` of the embedder's tokens.

    A word may be longer than a chunk can be: it is cut too. A source file is cut between its lines.
    """
    text = document.text
    is_code = document.kind == "code"
    spans = line_spans(text) if is_code else sentence_spans(text)
    lengths = _sizes(text, spans, chunk_tokens, count)
    pieces = list(_pieces(text, spans, lengths, chunk_tokens, count))
    trail = _HeadingTrail(document.headings, text if is_code else None)
    tables = _Tables(text, () if is_code else spans)  # in code a bar is an operator
    chunks: list[Chunk] = []
    run: list[tuple[int, int]] = []
    run_tokens = 0
    run_place: tuple[int, int] = (-1, -1)

    def close(following: int | None = None) -> None:
        section, table = run_place
        # In a source file a heading's line tells more than its name.
        bare = not is_code and all(trail.is_heading(start, end) for start, end in run)
        # A heading over text, or over other headings, is no passage; one with nothing below is.
        if bare and (following == section or not trail.is_leaf(section)):
            return
        start, end = run[0][0], run[-1][1]
        path = (trail.path(section), tables.columns(table))
        heading = HEADING_SEPARATOR.join(filter(None, path))
        chunks.append(Chunk(start, end, text[start:end], heading))

    for start, end, tokens in pieces:
        place = trail.section(start), tables.table(start)
        if run and (place != run_place or run_tokens + tokens > chunk_tokens):
            close(place[0])
            run, run_tokens = [], 0
        run.append((start, end))
        run_tokens += tokens
        run_place = place
    if run:
        close()
    return chunks


def _sizes(
    text: str, spans: Sequence[tuple[int, int]], limit: int, count: TokenCounter
) -> list[int]:
    """Return the tokens of each span, more where they stand for too many characters.

    What these alone take over the limit is not counted: it may be the whole document.
    """
    sizes = [(end - start) // CHARS_PER_TOKEN for start, end in spans]
    unsure = [number for number, size in enumerate(sizes) if size <= limit]
    counted = count([text[slice(*spans[number])] for number in unsure])
    for number, tokens in zip(unsure, counted, strict=True):
        sizes[number] = max(sizes[number], tokens)
    return sizes


def _pieces(
    text: str,
    spans: Sequence[tuple[int, int]],
    lengths: Sequence[int],
    limit: int,
    count: TokenCounter,
) -> Iterator[tuple[int, int, int]]:
    """Yield ``(start, end, tokens)``; a sentence over the limit is cut between words."""
    for (start, end), tokens in zip(spans, lengths, strict=True):
        if tokens <= limit:
            yield start, end, tokens
            continue
        # Cut by an even share of characters, then halve until each part fits.
        todo = [(start, end, tokens)]
        while todo:
            part_start, part_end, part_tokens = todo.pop()
            if part_tokens <= limit or part_end - part_start < 2:
                yield part_start, part_end, part_tokens
                continue
            middle = (part_start + part_end) // 2
            space = _space_near(text, middle, part_start, part_end)
            halves = [(part_start, middle), (middle, part_end)]
            if space is not None:
                halves = [(part_start, space), (space + 1, part_end)]
            sizes = _sizes(text, halves, limit, count)
            todo += [(a, b, n) for (a, b), n in reversed(list(zip(halves, sizes, strict=True)))]


def _space_near(text: str, middle: int, start: int, end: int) -> int | None:
    """Return the offset of the white space nearest to ``middle`` inside the part."""
    last, first = min(end - 1, middle + _NEAR_CHARS), max(start, middle - _NEAR_CHARS)
    ahead = _SPACE.search(text, middle, last)
    behind = _SPACE.search(text[first + 1 : middle + 1][::-1])
    right = ahead.start() if ahead else None
    left = middle - behind.start() if behind else None
    found = [place for place in (left, right) if place is not None]
    return min(found, key=lambda place: abs(place - middle)) if found else None


class _Tables:
    """Tells in which table of a text an offset is, and what its columns are called."""

    def __init__(self, text: str, spans: Sequence[tuple[int, int]]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._columns: list[str] = []
        rows: list[tuple[int, int]] = []
        line_end = 0
        for start, end in spans:
            begins_line = start >= line_end
            if begins_line:
                line_end = text.find("\n", start) + 1 or len(text)
            if rows and end <= rows[-1][1]:  # of a long row that has been taken
                continue
            apart = bool(rows) and text[rows[-1][1] : start].strip(" |\t\r\n")
            if not apart and len(cells(text[start:end])) > 1:
                longer = begins_line and _is_long_row(text, rows, start, line_end)
                rows.append((start, line_end if longer else end))
                continue
            self._add(text, rows)
            rows = []
        self._add(text, rows)

    def _add(self, text: str, rows: list[tuple[int, int]]) -> None:
        if len(rows) < 2:
            return
        first, *below = (cells(text[slice(*row)]) for row in rows[: ROWS_COMPARED + 1])
        columns = " | ".join(first) if are_names(first, below) else ""
        self._starts.append(rows[0][0])
        self._ends.append(rows[-1][1])
        self._columns.append(columns if len(columns) <= MAX_COLUMNS_CHARS else "")

    def table(self, offset: int) -> int:
        """Return the number of the table at ``offset``; -1 outside of one."""
        number = bisect_right(self._starts, offset) - 1
        return number if number >= 0 and offset < self._ends[number] else -1

    def columns(self, table: int) -> str:
        """Return the first row of a table, unless it holds what is no name."""
        return self._columns[table] if table >= 0 else ""


def _is_long_row(text: str, rows: Sequence[tuple[int, int]], start: int, end: int) -> bool:
    """Tell whether a line is a row that several sentences are made of, as it is so long."""
    if not rows or end - start <= LONGEST_BLOCK:
        return False
    return len(cells(text[start:end])) == len(cells(text[slice(*rows[0])]))


class _HeadingTrail:
    """Tells which headings stand above an offset."""

    def __init__(self, headings: Sequence[HeadingSpan], code: str | None) -> None:
        """Take a document's headings; of a source file also its text."""
        self._headings = sorted(headings, key=lambda heading: heading.start)
        self._starts = [heading.start for heading in self._headings]
        if code is not None:
            ends = [0, *(heading.end for heading in self._headings)]
            self._starts = [
                _with_comments(code, start, end)
                for start, end in zip(self._starts, ends[:-1], strict=True)
            ]
        self._paths: list[str] = []
        open_headings: list[HeadingSpan] = []
        for heading in self._headings:
            open_headings = [above for above in open_headings if above.level < heading.level]
            open_headings.append(heading)
            self._paths.append(HEADING_SEPARATOR.join(above.text for above in open_headings))

    def section(self, offset: int) -> int:
        """Return the number of the section at ``offset``; -1 before the first heading."""
        return bisect_right(self._starts, offset) - 1

    def path(self, section: int) -> str:
        return self._paths[section] if section >= 0 else ""

    def is_leaf(self, section: int) -> bool:
        """Tell whether no heading stands below a section's."""
        below = self._headings[section + 1 : section + 2]
        return not below or below[0].level <= self._headings[section].level

    def is_heading(self, start: int, end: int) -> bool:
        section = self.section(start)
        return section >= 0 and end <= self._headings[section].end


def _with_comments(text: str, start: int, above: int) -> int:
    """Return where the comments and decorators begin that stand right above a definition.

    Not before ``above``, where the one above it has its line's end.
    """
    for _ in range(_MAX_COMMENT_LINES):
        begin = text.rfind("\n", 0, max(0, start - 1)) + 1
        if not above <= begin < start or not text[begin : start - 1].lstrip().startswith(_COMMENTS):
            break
        start = begin
    return start
