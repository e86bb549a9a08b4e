"""Puts extracted blocks together in the one form that all documents' texts have.

Blocks are apart by a blank line, the items of a list and the rows of a table by a line break; a
row is ``cell | cell``, and nothing inside of a cell breaks it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ingest.loaders.cleaning import clean, one_line, squeeze
from ingest.loaders.document import HeadingSpan, PageSpan, TextBuilder
from ingest.loaders.ticks import spell_boxes

CELL_BORDER = " | "
_MAX_FILLED = 50
"""Columns up to which short rows are made as long as the first."""
_MAX_DEPTH = 12

_Kind = Literal["item", "row", "block"]


class Flow:
    """The text of a document that is being read, block by block, with its headings and pages."""

    def __init__(self) -> None:
        """Start with no text."""
        self.builder = TextBuilder()
        self.pages: list[PageSpan] = []
        self._before: _Kind = "block"

    def heading(self, text: str, level: int) -> None:
        """Add a heading, on one line; ``level`` is 1 to 6."""
        if text := one_line(text):
            self._add("block", text, level=level)

    def paragraph(self, text: str) -> None:
        """Add a paragraph; its line breaks stay."""
        if text := _spelled(text):
            self._add("block", text)

    def item(self, text: str, *, depth: int = 0, mark: str = "- ") -> None:
        """Add an item of a list: ``mark`` stands before it, ``depth`` counts the lists around."""
        if text := _spelled(text):
            indent = "  " * min(depth, _MAX_DEPTH)
            lines = [line for line in text.split("\n") if line]
            more = f"\n{indent}{' ' * len(mark)}"
            self._add("item", f"{indent}{mark}{more.join(lines)}")

    def end_list(self) -> None:
        """Let the next item begin another list."""
        self._before = "block"

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Add the rows of a table, the first of which names the columns."""
        shown = [row for row in rows if any(map(one_line, row))]
        width = len(shown[0]) if shown and len(shown[0]) <= _MAX_FILLED else 0
        for row in shown:
            self._add("row", table_row([*row, *[""] * (width - len(row))]))
        self._before = "block"

    def code(self, text: str) -> None:
        """Add a block whose white space counts."""
        if text := clean(text).rstrip().strip("\r\n"):
            self._add("block", text)

    def document(self, text: str, headings: Sequence[HeadingSpan], *, deeper: int = 0) -> None:
        """Add the text of another document, its headings ``deeper`` levels further down."""
        if not text:
            return
        done, separator = 0, "\n\n"
        for heading in headings:
            if heading.start > done:
                self.builder.add(text[done : heading.start], separator=separator)
                separator = ""
            self.builder.add(
                text[heading.start : heading.end],
                separator=separator,
                level=heading.level + deeper,
            )
            done, separator = heading.end, ""
        if text[done:]:
            self.builder.add(text[done:], separator=separator)
        self._before = "block"

    def begin_page(self) -> int:
        """End a list at a page's border, and return where the next block will begin."""
        self.end_list()
        return self.builder.length + 2 * bool(self.builder.length)

    def end_page(self, start: int) -> None:
        """Add a page that holds all blocks since ``start``; it has the number after the last."""
        end = self.builder.length
        start = min(start, end)
        self.pages.append(PageSpan(len(self.pages) + 1, start, end))

    def _add(self, kind: _Kind, text: str, *, level: int | None = None) -> None:
        together = kind == self._before and kind != "block"
        self.builder.add(text, separator="\n" if together else "\n\n", level=level)
        self._before = kind


def _spelled(text: str) -> str:
    return "\n".join(map(spell_boxes, squeeze(text).split("\n")))


def table_row(cells: Sequence[str]) -> str:
    """Write a row; where a cell at its edge is empty, a border says that there is one."""
    shown = [spell_boxes(one_line(cell)).replace("|", "/") for cell in cells]
    text = CELL_BORDER.join(shown)
    if len(shown) > 1:
        text = f"| {text.lstrip()}" if not shown[0] else text
        text = f"{text.rstrip()} |" if not shown[-1] else text
    return text
