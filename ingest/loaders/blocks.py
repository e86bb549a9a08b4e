"""Reads the blocks of an HTML tree in order: headings, paragraphs, list items, table rows.

The walk is iterative, so that no depth of nesting can exhaust the stack.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from selectolax.lexbor import LexborNode

from ingest.loaders.cleaning import clean, one_line, squeeze
from ingest.loaders.flow import table_row
from ingest.loaders.formulas import UnreadableFormulaError, from_mathml
from ingest.loaders.furniture import is_furniture
from ingest.loaders.ticks import TICKED, UNTICKED, spell_boxes

BlockKind = Literal["heading", "paragraph", "item", "row", "pre"]

LABELLED = "xoe-labelled"
"""The class of a list whose items begin with their own numbers."""

_SKIPPED = frozenset(
    [
        "script",
        "style",
        "nav",
        "noscript",
        "template",
        "svg",
        "iframe",
        "object",
        "embed",
        "canvas",
        "audio",
        "video",
        "button",
        "select",
        "textarea",
        "head",
        "map",
        "frameset",
        "noframes",
    ]
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_BLOCKS = frozenset(
    (
        "address article aside blockquote body caption center dd details dialog div dl dt "
        "fieldset figcaption figure footer form header hgroup hr html legend li main menu ol p "
        "pre section summary table tbody td tfoot th thead tr ul"
    ).split()
) | frozenset(_HEADINGS)
_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|font-size\s*:\s*0(?![.\d]*[1-9])"
    r"|opacity\s*:\s*0(?![.\d]*[1-9])",
    re.IGNORECASE,
)
_WHITE = re.compile(r"\s+")
# Marks that link within the page: footnote numbers, their way back, a heading's permalink.
_MARK = re.compile(r"\s*(?:\[?(?:\d{1,3}|[a-z])\]?|[↑↩^¶#§*†‡]|↑?\s*)\s*\ufe0e?\s*", re.IGNORECASE)
_DRAWN_FORMULAS = ".katex, mjx-container, span.MathJax"
"""What KaTeX and MathJax draw; beside it they put MathML, unless a page turns that off."""
_BOX_ROLES = "[role=checkbox], [role=radio], [role=switch]"
_MAX_REPEATED_CHARS = 200
"""Of a cell that spans rows: a longer one stands in its first row only."""
_MAX_SPAN = 50
_MARK_STEPS = 32
_MARK_CHARS = 40


@dataclass(frozen=True)
class Block:
    """A block of text, cleaned; ``level`` is that of a heading."""

    kind: BlockKind
    text: str
    level: int | None = None


def blocks(root: LexborNode) -> Iterator[Block]:
    """Yield the visible blocks under ``root`` in the order of the document."""
    walker = _Walker(_layout_tables(root), frozenset(node.mem_id for node in root.css(_BOX_ROLES)))
    for node, entering in walk(root, walker.passes_over):
        if not entering:
            yield from walker.leave(node.tag or "")
        elif node.is_text_node:
            walker.text(node.text_content or "")
        else:
            yield from walker.enter(node)
    yield from walker.flush()


def count_lost_formulas(root: LexborNode) -> int:
    """Return how many formulas under ``root`` are drawn letter by letter, or nested without end."""
    drawn = sum(
        node.css_first("math") is None and _tex_script(node.next) is None
        for node in root.css(_DRAWN_FORMULAS)
    )
    return drawn + sum(_formula(node) is None for node in root.css("math"))


def walk(
    root: LexborNode, is_skipped: Callable[[LexborNode], bool] = lambda _: False
) -> Iterator[tuple[LexborNode, bool]]:
    """Yield each text once, and each element on the way in (True) and out (False).

    What is skipped is left out with all that is in it. Holds no more than the open elements.
    """
    above: list[LexborNode] = []
    node: LexborNode | None = root
    while node is not None:
        child = None
        if node.is_text_node:
            yield node, True
        elif node.is_element_node and not is_skipped(node):
            yield node, True
            above.append(node)
            child = node.first_child
            if child is None:
                yield above.pop(), False
        while child is None and above:
            child = node.next
            if child is None:
                node = above.pop()
                yield node, False
        node = child


def _is_skipped(node: LexborNode) -> bool:
    tag = node.tag or ""
    if tag in _SKIPPED:
        return True
    attributes = node.attributes
    if not attributes:
        return False
    if "hidden" in attributes or attributes.get("aria-hidden") == "true":
        return True
    if tag == "a" and (attributes.get("href") or "").startswith("#"):
        return _is_mark(node)
    return _HIDING.search(attributes.get("style") or "") is not None or is_furniture(node)


def _is_mark(link: LexborNode) -> bool:
    """Tell whether the text of a link within the page is a mark; a large link is none."""
    text = ""
    for steps, (node, _) in enumerate(walk(link)):
        if node.is_text_node:
            text += (node.text_content or "")[:_MARK_CHARS]
        if steps >= _MARK_STEPS or len(text) >= _MARK_CHARS:
            return False
    return _MARK.fullmatch(text) is not None


def _layout_tables(root: LexborNode) -> frozenset[int]:
    """Return the tables that lay out a page: those with tables or headings inside."""
    if root.css_first("table") is None:
        return frozenset()
    found: set[int] = set()
    open_tables: list[int] = []
    for node, entering in walk(root):
        tag = node.tag or ""
        if entering and open_tables and (tag == "table" or tag in _HEADINGS):
            found.add(open_tables[-1])
        if tag == "table":
            if entering:
                open_tables.append(node.mem_id)
            else:
                open_tables.pop()
    return frozenset(found)


def _formula(math: LexborNode) -> str | None:
    try:
        return from_mathml(math)
    except UnreadableFormulaError:
        return None


def _hidden_formula(node: LexborNode) -> LexborNode | None:
    """Return the formula that is hidden beside a picture of itself, as encyclopedias do it."""
    math, picture = node.first_child, node.next
    if math is None or math.tag != "math" or math.next is not None:
        return None
    return math if picture is not None and picture.tag == "img" else None


def _tex_script(node: LexborNode | None) -> str | None:
    """Return the TeX of a script that MathJax reads, where it has not put MathML before it."""
    if node is None or node.tag != "script":
        return None
    if not (node.attributes.get("type") or "").startswith("math/tex"):
        return None
    before = node.prev
    if before is not None and before.is_element_node and before.css_first("math") is not None:
        return None
    return one_line(node.text())


def _box(node: LexborNode) -> str:
    """Return the sign of a check box or an option's button; empty for any other element."""
    given = node.attributes
    if node.tag == "input":
        if (given.get("type") or "").lower() not in ("checkbox", "radio"):
            return ""
        ticked = "checked" in given
    else:
        ticked = given.get("aria-checked") == "true"
    return f" {TICKED if ticked else UNTICKED} "


def _span(node: LexborNode, name: str) -> int:
    given = node.attributes.get(name) or "1"
    return min(max(int(given), 1), _MAX_SPAN) if re.fullmatch(r"\d{1,6}", given) else 1


@dataclass
class _Row:
    """The cells of a table's row, and those that reach down into the following ones."""

    cells: list[str] = field(default_factory=list)
    hanging: dict[int, tuple[int, str]] = field(default_factory=dict)
    """By column: for how many more rows, and the text."""

    def begin(self) -> None:
        self.cells = []
        self._take_hanging()

    def add(self, text: str, *, rows: int, columns: int) -> None:
        """Add a cell; one that is as wide as several columns leaves the others empty."""
        repeated = text if len(text) <= _MAX_REPEATED_CHARS else ""
        for number in range(columns):
            if rows > 1:
                self.hanging[len(self.cells)] = (rows - 1, "" if number else repeated)
            self.cells.append("" if number else text)
        self._take_hanging()

    def _take_hanging(self) -> None:
        while (found := self.hanging.pop(len(self.cells), None)) is not None:
            rows, text = found
            if rows > 1:
                self.hanging[len(self.cells)] = (rows - 1, text)
            self.cells.append(text)


@dataclass
class _Walker:
    layout_tables: frozenset[int]
    boxes: frozenset[int]
    """Elements that a script makes check boxes of."""
    inline: list[str] = field(default_factory=list)
    heading: int | None = None
    marker: str | None = None
    """Of the list item whose text has not come yet."""
    counters: list[int | str] = field(default_factory=list)
    """The next number of each open list; the mark of all items in one without numbers."""
    tables: list[bool] = field(default_factory=list)
    """Whether each open table holds data."""
    row: _Row = field(default_factory=_Row)
    in_cell: bool = False
    cell_spans: tuple[int, int] = (1, 1)
    """Rows and columns of the open cell."""
    pre: int = 0

    def passes_over(self, node: LexborNode) -> bool:
        """Tell whether what is in an element is not read on; formulas are read here, as a whole."""
        if node.tag == "math":
            formula = node if not _is_skipped(node) else None
        elif not _is_skipped(node):
            return False
        elif (tex := _tex_script(node)) is not None:
            self.inline.append(f" {tex} ")
            return True
        else:
            formula = _hidden_formula(node)
        if formula is not None:
            self.inline.append(_formula(formula) or "")
        return True

    def text(self, text: str) -> None:
        if self.pre:
            self.inline.append(text)
        elif text:
            self.inline.append(_WHITE.sub(" ", text))

    def enter(self, node: LexborNode) -> Iterator[Block]:
        tag = node.tag or ""
        if tag == "br":
            self.inline.append(" " if self.in_cell or self.heading else "\n")
            return
        if tag == "input" or node.mem_id in self.boxes:
            self.inline.append(_box(node))
        if tag not in _BLOCKS:
            return
        if self.in_cell and tag not in ("td", "th", "tr"):
            self.inline.append(" ")
            return
        if self.heading is not None and tag not in _HEADINGS:
            self.inline.append(" ")
            return
        yield from self.flush()
        if tag in _HEADINGS:
            self.heading = _HEADINGS[tag]
        elif tag in ("ul", "menu"):
            labelled = (node.attributes.get("class") or "") == LABELLED
            self.counters.append("" if labelled else "- ")
        elif tag == "ol":
            start = node.attributes.get("start") or "1"
            self.counters.append(int(start) if re.fullmatch(r"\d{1,6}", start) else 1)
        elif tag == "li":
            self.marker = self._next_marker()
        elif tag == "pre":
            self.pre += 1
        elif tag == "table":
            self.tables.append(node.mem_id not in self.layout_tables)
            self.row = _Row()
        elif tag == "tr":
            self.row.begin()
        elif tag in ("td", "th"):
            self.in_cell = bool(self.tables) and self.tables[-1]
            self.cell_spans = _span(node, "rowspan"), _span(node, "colspan")

    def leave(self, tag: str) -> Iterator[Block]:
        if tag not in _BLOCKS:
            return
        if self.in_cell and tag not in ("td", "th"):
            self.inline.append(" ")
            return
        if self.in_cell:
            rows, columns = self.cell_spans
            text = one_line("".join(self.inline))
            self.row.add(text, rows=rows, columns=columns)
            self.inline.clear()
            self.in_cell = False
            return
        if self.heading is not None and tag not in _HEADINGS:
            self.inline.append(" ")
            return
        yield from self.flush()
        if tag in ("ul", "ol", "menu") and self.counters:
            self.counters.pop()
        elif tag == "li":
            self.marker = None
        elif tag == "pre" and self.pre:
            self.pre -= 1
        elif tag == "table" and self.tables:
            self.tables.pop()
        elif tag == "tr":
            if any(self.row.cells):
                yield Block("row", table_row(self.row.cells))
            self.row.cells = []

    def flush(self) -> Iterator[Block]:
        """Yield what has been gathered since the last block ended."""
        raw = "".join(self.inline)
        self.inline.clear()
        if self.heading is not None:
            level, self.heading = self.heading, None
            if text := one_line(raw):
                yield Block("heading", text, level)
        elif self.pre:
            if text := clean(raw).rstrip().lstrip("\n"):
                yield Block("pre", text)
        elif text := re.sub(r"\n{2,}", "\n\n", squeeze(raw)):
            kind: BlockKind = "paragraph" if self.marker is None else "item"
            text = "\n".join(map(spell_boxes, text.split("\n")))
            yield Block(kind, (self.marker or "") + text)
            self.marker = None

    def _next_marker(self) -> str:
        number = self.counters[-1] if self.counters else "- "
        if isinstance(number, str):
            return number
        self.counters[-1] = number + 1
        return f"{number}. "
