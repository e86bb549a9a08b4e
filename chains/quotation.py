"""A sentence of a document as the answer quotes it, in Markdown.

Prose stands on a line, a row under its table's head, code between fences with its line breaks; the
citation's mark is outside of code.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import dedent

from chains.citations import Support
from chains.types import Passage
from ingest.sentences import code_blocks
from ingest.splitter import cells, columns_in, is_rule

ROWS_QUOTED = 6
"""Of a table whose head is what fits best."""


def quotation(support: Support, number: int) -> str:
    """Return the quoted sentence, one or several lines, with ``[number]`` at its end."""
    text = support.text
    lines = code_lines(text)
    if lines:
        return f"{fenced(lines, info_of(text))}\n[{number}]"
    columns = columns_of(support.passage)
    rows = [row for row in _rows(support) if len(row) == len(columns)]
    if rows:
        return "\n".join(f"> {line}" for line in table(columns, rows, number))
    return f"> {' '.join(text.split())} [{number}]"


def code_lines(text: str) -> list[str]:
    """Return the lines of code of a fenced block without its fences; empty for anything else."""
    if code_blocks(text) != [(0, len(text))]:
        return []
    return dedent("\n".join(text.splitlines()[1:-1])).strip("\n").split("\n")


def info_of(text: str) -> str:
    """Return the language that a fenced block names."""
    words = text.splitlines()[0].strip().strip("`~").split()
    return words[0] if words else ""


def fenced(lines: Sequence[str], info: str = "") -> str:
    """Return lines of code between fences that none of them can end."""
    ticks = (len(line) - len(line.lstrip("`")) for line in map(str.lstrip, lines))
    fence = "`" * max(3, 1 + max(ticks, default=0))
    return "\n".join((f"{fence}{info}", *lines, fence))


def columns_of(passage: Passage) -> list[str]:
    """Return the names of the columns of the table that a passage stands in; empty where none."""
    columns = columns_in(passage.heading)
    return columns if len(columns) > 1 else []


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], number: int) -> list[str]:
    """Return the lines of a Markdown table, its last cell with the citation's mark."""
    *above, last = rows
    marked = [*last[:-1], f"{last[-1]} [{number}]"]
    return [row_line(columns), row_line(["---"] * len(columns)), *map(row_line, [*above, marked])]


def row_line(row: Sequence[str]) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(row)} |"


def _rows(support: Support) -> list[list[str]]:
    """Return the row that is cited, or the ones below it where that is the head; or none."""
    passage = support.passage
    start, end = support.start - passage.start, support.end - passage.start
    if len(cells(passage.text[start:end])) < 2 or "\n" in passage.text[start:end]:
        return []
    start = passage.text.rfind("\n", 0, start) + 1
    here, *below = passage.text[start:].splitlines()
    row = cells(here)
    if row != columns_of(passage):
        return [row]
    return [cells(line) for line in below if line.strip() and not is_rule(line)][:ROWS_QUOTED]
