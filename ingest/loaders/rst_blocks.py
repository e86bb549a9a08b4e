"""Reads the blocks of a docutils tree in order."""

from __future__ import annotations

import re
from collections.abc import Iterator

from docutils import nodes  # type: ignore[import-untyped]

from ingest.loaders.flow import Flow

_PASSED_OVER = (
    *(nodes.comment, nodes.substitution_definition, nodes.target, nodes.pending, nodes.raw),
    *(nodes.transition, nodes.label, nodes.meta, nodes.colspec, nodes.decoration),
)
_VERBATIM = (nodes.literal_block, nodes.doctest_block, nodes.math_block, nodes.address)
_MAX_SUBSTITUTED = 500
"""Characters that a name between bars stands for; what is longer is not repeated."""
_MARKER = re.compile(r"\s*\.\. (?:\|[^|\n]*\| )?([\w.:+-]+)::[ ]?(.*)", re.DOTALL)
_OPTIONS = re.compile(r"^[ ]*:[\w-]+:.*\n?", re.MULTILINE)
_NEVER_READ = frozenset(("include", "raw", "literalinclude"))
_MAX_REPEATED = 200
"""Characters of a cell that stands in each row that it covers; a longer one is in the first."""
_LETTERS = 26


class Walker:
    """Reads a tree into a flow of blocks."""

    def __init__(self, document: nodes.document) -> None:
        """Take a parsed document, to which no transforms were applied."""
        self.flow = Flow()
        self._document = document
        self._names = {name.lower(): name for name in document.substitution_defs}
        self._level = 0
        self._depth = -1

    def read(self) -> None:
        """Read the whole document; ``RecursionError`` where it is nested too deeply."""
        self._children(self._document)

    def _children(self, node: nodes.Element) -> None:
        for child in node.children:
            self._block(child)

    def _block(self, node: nodes.Node) -> None:
        if isinstance(node, _PASSED_OVER):
            return
        match node:
            case nodes.section():
                self._level += 1
                self._children(node)
                self._level -= 1
            case nodes.title() | nodes.subtitle():
                self._title(node)
            case nodes.bullet_list() | nodes.enumerated_list():
                self._list(node)
            case nodes.definition_list_item() | nodes.option_list_item():
                self._definition(node)
            case nodes.field():
                name, body = node.children[0], node.children[1]
                self._labelled(f"{self._inline(name)}: ", body)
            case nodes.table():
                self._table(node)
            case nodes.line_block():
                self.flow.paragraph("\n".join(self._lines(node)))
            case nodes.system_message():
                self._unread(node)
            case nodes.Admonition():
                self._labelled(f"{type(node).__name__.capitalize()}: ", node)
            case nodes.image():
                self.flow.paragraph(node.get("alt", ""))
            case _ if isinstance(node, _VERBATIM):
                self.flow.code(self._inline(node))
            case nodes.TextElement():
                self.flow.paragraph(self._inline(node))
            case nodes.Element():
                self._children(node)

    def _title(self, node: nodes.Element) -> None:
        """Add a section's heading; a box's or a table's title is a paragraph."""
        if isinstance(node.parent, nodes.section):
            self.flow.heading(self._inline(node), self._level)
        else:
            self.flow.paragraph(self._inline(node))

    def _list(self, node: nodes.Element) -> None:
        self._depth += 1
        for number, item in enumerate(node.children):
            mark = "- " if isinstance(node, nodes.bullet_list) else _mark(node, number)
            self._labelled("", item, mark=mark)
        self._depth -= 1
        if self._depth < 0:
            self.flow.end_list()

    def _labelled(self, label: str, body: nodes.Element, *, mark: str | None = None) -> None:
        """Add what is in ``body``, ``label`` before its first paragraph."""
        first, *rest = body.children or [nodes.paragraph()]
        if not isinstance(first, nodes.paragraph):
            first, rest = nodes.paragraph(), list(body.children)
        text = label + self._inline(first)
        if mark is None:
            self.flow.paragraph(text.strip())
        else:
            self.flow.item(text, depth=self._depth, mark=mark)
        for child in rest:
            self._block(child)

    def _definition(self, node: nodes.Element) -> None:
        *terms, body = node.children
        if isinstance(body, nodes.definition | nodes.description):
            said = " ".join(self._inline(term) for term in terms)
            self._labelled(f"{said}: ", body)
        else:
            self._children(node)

    def _table(self, table: nodes.Element) -> None:
        """Add a table; what it is called stands before it."""
        for child in table.children:
            if isinstance(child, nodes.title):
                self._title(child)
        for group in table.findall(nodes.tgroup):
            rows = [_cells(row, self._text) for row in group.findall(nodes.row)]
            self.flow.table(_filled(rows))
            return

    def _text(self, node: nodes.Element) -> str:
        return " ".join(self._inline(child) for child in node.children)

    def _lines(self, node: nodes.Element) -> Iterator[str]:
        for child in node.children:
            if isinstance(child, nodes.line_block):
                yield from self._lines(child)
            else:
                yield self._inline(child)

    def _unread(self, message: nodes.Element) -> None:
        """Add the source of what docutils could not read, without what it says about it."""
        for source in message.children:
            if not isinstance(source, nodes.literal_block):
                continue
            text = source.astext()
            marker = _MARKER.fullmatch(text)
            if marker is not None and marker[1].lower() in _NEVER_READ:
                continue
            self.flow.paragraph(_OPTIONS.sub("", marker[2] if marker is not None else text))

    def _inline(self, node: nodes.Node) -> str:
        """Return a block's text, without the marks of footnotes."""
        match node:
            case nodes.Text():
                return str(node.astext())
            case nodes.footnote_reference() | nodes.raw() | nodes.system_message():
                return ""
            case nodes.image():
                return str(node.get("alt", ""))
            case nodes.substitution_reference():
                return self._substituted(node)
        between = "" if isinstance(node, nodes.TextElement) else " "
        return between.join(map(self._inline, node.children))

    def _substituted(self, node: nodes.Element) -> str:
        """Return what a name between bars stands for, one step far."""
        name = self._names.get(node.astext().lower())
        if name is None:
            return str(node.astext())
        definition = self._document.substitution_defs[name]
        images = [one.get("alt", "") for one in definition.children if isinstance(one, nodes.image)]
        text = str(definition.astext()) or " ".join(images)
        return text if len(text) <= _MAX_SUBSTITUTED else str(node.astext())


def _mark(node: nodes.Element, number: int) -> str:
    counted = int(node.get("start", 1)) + number
    kind = node.get("enumtype", "arabic")
    if kind in ("loweralpha", "upperalpha") and counted <= _LETTERS:
        letter = chr(ord("a" if kind == "loweralpha" else "A") + counted - 1)
        return f"{letter}. "
    return f"{counted}. "


def _cells(row: nodes.Element, text: object) -> list[tuple[str, int, int]]:
    """Return each cell of a row: its text, and how many more columns and rows it covers."""
    assert callable(text)  # noqa: S101
    return [
        (text(entry), int(entry.get("morecols", 0)), int(entry.get("morerows", 0)))
        for entry in row.children
        if isinstance(entry, nodes.entry)
    ]


def _filled(rows: list[list[tuple[str, int, int]]]) -> list[list[str]]:
    """Return the rows with a cell for each column: one that reaches down stands in each row."""
    hanging: dict[int, tuple[str, int]] = {}
    filled = []
    for row in rows:
        cells: list[str] = []
        for text, columns, below in row:
            _take(hanging, cells)
            for number in range(columns + 1):
                if below and len(text) <= _MAX_REPEATED:
                    hanging[len(cells)] = ("" if number else text, below)
                cells.append("" if number else text)
        _take(hanging, cells)
        filled.append(cells)
    return filled


def _take(hanging: dict[int, tuple[str, int]], cells: list[str]) -> None:
    while (found := hanging.pop(len(cells), None)) is not None:
        text, left = found
        if left > 1:
            hanging[len(cells)] = (text, left - 1)
        cells.append(text)
