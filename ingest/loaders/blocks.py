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

BlockKind = Literal["heading", "paragraph", "item", "row", "pre"]

_SKIPPED = frozenset(
    [
        "script",
        "style",
        "nav",
        "noscript",
        "template",
        "svg",
        "math",
        "iframe",
        "object",
        "embed",
        "canvas",
        "audio",
        "video",
        "button",
        "select",
        "textarea",
        "input",
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
    walker = _Walker(_layout_tables(root))
    for node, entering in _walk(root, _is_skipped):
        if not entering:
            yield from walker.leave(node.tag or "")
        elif node.is_text_node:
            walker.text(node.text_content or "")
        else:
            yield from walker.enter(node)
    yield from walker.flush()


def _walk(
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
    return _HIDING.search(attributes.get("style") or "") is not None


def _is_mark(link: LexborNode) -> bool:
    """Tell whether the text of a link within the page is a mark; a large link is none."""
    text = ""
    for steps, (node, _) in enumerate(_walk(link)):
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
    for node, entering in _walk(root):
        tag = node.tag or ""
        if entering and open_tables and (tag == "table" or tag in _HEADINGS):
            found.add(open_tables[-1])
        if tag == "table":
            if entering:
                open_tables.append(node.mem_id)
            else:
                open_tables.pop()
    return frozenset(found)


@dataclass
class _Walker:
    layout_tables: frozenset[int]
    inline: list[str] = field(default_factory=list)
    heading: int | None = None
    marker: str = ""
    """Of the list item whose text has not come yet."""
    counters: list[int | None] = field(default_factory=list)
    """The next number of each open list; ``None`` in one without numbers."""
    tables: list[bool] = field(default_factory=list)
    """Whether each open table holds data."""
    cells: list[str] = field(default_factory=list)
    in_cell: bool = False
    pre: int = 0

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
            self.counters.append(None)
        elif tag == "ol":
            start = node.attributes.get("start") or "1"
            self.counters.append(int(start) if re.fullmatch(r"\d{1,6}", start) else 1)
        elif tag == "li":
            self.marker = self._next_marker()
        elif tag == "pre":
            self.pre += 1
        elif tag == "table":
            self.tables.append(node.mem_id not in self.layout_tables)
        elif tag == "tr":
            self.cells = []
        elif tag in ("td", "th"):
            self.in_cell = bool(self.tables) and self.tables[-1]

    def leave(self, tag: str) -> Iterator[Block]:
        if tag not in _BLOCKS:
            return
        if self.in_cell and tag not in ("td", "th"):
            self.inline.append(" ")
            return
        if self.in_cell:
            self.cells.append(one_line("".join(self.inline)))
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
            self.marker = ""
        elif tag == "pre" and self.pre:
            self.pre -= 1
        elif tag == "table" and self.tables:
            self.tables.pop()
        elif tag == "tr" and any(self.cells):
            yield Block("row", " | ".join(self.cells))
            self.cells = []

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
            kind: BlockKind = "item" if self.marker else "paragraph"
            yield Block(kind, self.marker + text)
            self.marker = ""

    def _next_marker(self) -> str:
        if not self.counters or self.counters[-1] is None:
            return "- "
        number = self.counters[-1]
        self.counters[-1] = number + 1
        return f"{number}. "
