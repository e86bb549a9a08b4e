"""Reads the text of an OpenDocument file: paragraphs, headings, lists, tables and frames."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from selectolax.lexbor import LexborHTMLParser

from ingest.loaders.cleaning import one_line
from ingest.loaders.flow import Flow
from ingest.loaders.formulas import UnreadableFormulaError, from_mathml
from ingest.loaders.open_document import Parts, name_of, number, object_part, value
from ingest.loaders.open_document_styles import BULLET, Counter, Styles

_PASSED_OVER = frozenset(
    (
        "text:tracked-changes text:table-of-content text:illustration-index text:table-index "
        "text:object-index text:alphabetical-index text:hidden-text office:annotation "
        "office:annotation-end office:forms office:event-listeners svg:title svg:desc "
        "presentation:notes text:ruby-text text:note-citation draw:image draw:plugin "
        "text:sequence-decls text:variable-decls text:user-field-decls office:scripts "
        "table:shapes text:index-title"
    ).split()
)
_PAGE_NUMBERS = frozenset(("text:page-number", "text:page-count", "presentation:date-time"))
_CODE = ("Preformatted_20_Text", "Source_20_Code", "Source_20_code")
_TITLE = ("Title",)
_SPACES = 200
_MAX_REPEATED = 20
"""Of cells or rows that are said to be there again and again."""
_MAX_REPEATED_CHARS = 200
"""Of a cell that stands in each row that it covers; a longer one is in the first."""
_MAX_FORMULA_BYTES = 200_000
_PREFIX = re.compile(rb"<(/?)[\w-]+:")
_PROLOGUE = re.compile(rb"<\?xml[^>]*>|<!DOCTYPE[^>]*>")


@dataclass
class Reader:
    """Reads elements into a flow."""

    parts: Parts
    styles: Styles
    flow: Flow = field(default_factory=Flow)
    notes: list[Element] = field(default_factory=list)
    formulas: int = 0
    """That could not be read."""
    pictures: int = 0
    _boxes: list[Element] = field(default_factory=list)
    """Of the paragraph that is read."""
    _lists: dict[str, Counter] = field(default_factory=dict)
    _last_list: Counter | None = None
    _objects: dict[str, str] = field(default_factory=dict)
    _running: bool = False
    """Whether it is a page's header or footer."""

    def read(self, element: Element) -> None:
        """Read what is in an element; ``RecursionError`` where it is nested too deeply."""
        code: list[str] = []
        for child in element:
            if name_of(child.tag) == "text:p" and self._is_code(child):
                code.append(self._inline(child))
                continue
            self._end_code(code)
            self._block(child)
        self._end_code(code)

    def read_notes(self) -> None:
        """Read the notes found so far, each with those that are in it."""
        while self.notes:
            notes, self.notes = self.notes, []
            for note in notes:
                self.read(note)

    def read_shape(self, shape: Element) -> None:
        """Read one shape of a slide."""
        self._block(shape)

    def read_running(self, element: Element) -> str:
        """Return the text of a page's header or footer without the page's number."""
        self._running = True
        text = " ".join(self.texts(element))
        self._running = False
        return one_line(text)

    def _end_code(self, lines: list[str]) -> None:
        if lines:
            self.flow.code("\n".join(lines))
            lines.clear()
            self._read_boxes()

    def _is_code(self, paragraph: Element) -> bool:
        return self.styles.is_a(value(paragraph, "text:style-name"), _CODE)

    def _block(self, element: Element) -> None:
        name = name_of(element.tag)
        match name:
            case "text:p":
                self._paragraph(element)
            case "text:h":
                self._heading(element)
            case "text:list":
                self._list(element, 0, None)
            case "table:table":
                self.flow.table(self._rows(element))
                self._read_boxes()
            case "text:section" if value(element, "text:display") == "none":
                return
            case "draw:object":
                self.flow.paragraph(self._object(element))
                self._read_boxes()
            case "draw:image":
                self.pictures += 1
            case _ if name not in _PASSED_OVER:
                self.read(element)

    def _paragraph(self, element: Element) -> None:
        style = value(element, "text:style-name")
        text = self._inline(element)
        if self.styles.is_a(style, _TITLE):
            self.flow.heading(text, 1)
        else:
            self.flow.paragraph(text)
        self._read_boxes()

    def _heading(self, element: Element, label: str | None = None) -> None:
        level = number(element, "text:outline-level", 1)
        text = self._inline(element)
        if label is None and value(element, "text:is-list-header") != "true" and text.strip():
            label = self.styles.outline.label(level - 1)
        label = "" if label in (None, BULLET) else label
        self.flow.heading(f"{label}{text}", level)
        self._read_boxes()

    def _list(self, element: Element, depth: int, counter: Counter | None) -> None:
        style = value(element, "text:style-name")
        if counter is None or (depth and style):
            counter = self._counter(element, style, depth, counter)
        for item in element:
            if name_of(item.tag) not in ("text:list-item", "text:list-header"):
                continue
            label: str | None = None
            if name_of(item.tag) == "text:list-item" and _has_text(item):
                given = value(item, "text:start-value")
                start = number(item, "text:start-value", 1) if given is not None else None
                label = counter.label(depth, start)
            for child in item:
                match name_of(child.tag):
                    case "text:list":
                        self._list(child, depth + 1, counter)
                    case "text:h":
                        self._heading(child, label or "")
                        label = None
                    case "text:p" if label is not None:
                        text = self._inline(child)
                        self.flow.item(text, depth=depth, mark=label)
                        label = None if text.strip() else label
                        self._read_boxes()
                    case _:
                        self._block(child)
        if not depth:
            self.flow.end_list()
            self._last_list = counter

    def _counter(
        self, element: Element, style: str | None, depth: int, outer: Counter | None
    ) -> Counter:
        """Return the counter of a list: a new one, or that of the list which it goes on from."""
        continued = value(element, "text:continue-list")
        if continued is not None and continued in self._lists:
            counter = self._lists[continued]
        elif value(element, "text:continue-numbering") == "true" and self._last_list is not None:
            counter = self._last_list
        else:
            counter = self.styles.counter(style)
            if outer is not None:
                counter.values = {at: count for at, count in outer.values.items() if at < depth}
        self._lists[value(element, "xml:id") or ""] = counter
        return counter

    def _rows(self, table: Element) -> list[list[str]]:
        rows: list[list[str]] = []
        hanging: dict[int, tuple[str, int]] = {}
        for row in _table_rows(table):
            cells = _RowCells(hanging)
            for cell in row:
                name = name_of(cell.tag)
                if name not in ("table:table-cell", "table:covered-table-cell"):
                    continue
                covered = name == "table:covered-table-cell"
                text = one_line(" ".join(self.texts(cell))) if not covered else ""
                repeated = number(cell, "table:number-columns-repeated", 1)
                below = number(cell, "table:number-rows-spanned", 1) - 1
                for _ in range(min(repeated, _MAX_REPEATED)):
                    cells.add(text, below=below, covered=covered)
            if any(cells.texts):
                while not cells.texts[-1]:
                    cells.texts.pop()
                times = min(number(row, "table:number-rows-repeated", 1), _MAX_REPEATED)
                rows += [cells.texts] * times
        return rows

    def texts(self, element: Element) -> Iterator[str]:
        """Yield the text of each paragraph under an element."""
        for child in element:
            name = name_of(child.tag)
            if name in ("text:p", "text:h"):
                yield self._inline(child)
            elif name == "draw:object":
                yield self._object(child)
            elif name not in _PASSED_OVER:
                yield from self.texts(child)

    def _inline(self, element: Element) -> str:
        if self.styles.is_hidden(value(element, "text:style-name")):
            return ""
        parts = [element.text or ""]
        for child in element:
            name = name_of(child.tag)
            match name:
                case "text:s":
                    parts.append(" " * min(number(child, "text:c", 1), _SPACES))
                case "text:tab":
                    parts.append("\t")
                case "text:line-break":
                    parts.append("\n")
                case "text:note":
                    self.notes += [one for one in child if name_of(one.tag) == "text:note-body"]
                case _ if name.startswith("draw:") and name != "draw:a":
                    parts.append(self._frame(child))
                case _ if name in _PASSED_OVER or (self._running and name in _PAGE_NUMBERS):
                    pass
                case _:
                    parts.append(self._inline(child))
            parts.append(child.tail or "")
        return "".join(parts)

    def _frame(self, frame: Element) -> str:
        """Return the formula in a frame; what else is in it is read behind the paragraph."""
        for child in frame:
            if name_of(child.tag) == "draw:object":
                return self._object(child)
        self._boxes.append(frame)
        return ""

    def _read_boxes(self) -> None:
        boxes, self._boxes = self._boxes, []
        for box in boxes:
            self.read(box)

    def _object(self, element: Element) -> str:
        """Return an embedded formula on one line; a chart's table is read behind the paragraph."""
        part = object_part(value(element, "xlink:href") or "")
        if part not in self._objects:
            self._objects[part] = self._read_object(part)
        return self._objects[part]

    def _read_object(self, part: str) -> str:
        data = self.parts.raw(part)
        head = data[:4096]
        if b"MathML" in head or b"<math" in head:
            formula = _formula(data)
            self.formulas += formula is None
            return formula or ""
        root = self.parts.root(part) if b"chart:" in head else None
        if root is not None:
            self._boxes.append(root)
        return ""


@dataclass
class _RowCells:
    """The cells of a row; those that reach down from above stand in it too."""

    hanging: dict[int, tuple[str, int]]
    """By column: the text, and for how many more rows."""
    texts: list[str] = field(default_factory=list)

    def add(self, text: str, *, below: int, covered: bool) -> None:
        at = len(self.texts)
        found = self.hanging.pop(at, None)
        if covered and found is not None:
            text, below = found[0], found[1] - 1
        if below > 0 and len(text) <= _MAX_REPEATED_CHARS:
            self.hanging[at] = (text, below)
        self.texts.append(text)


def _table_rows(table: Element) -> Iterator[Element]:
    """Yield the rows of a table, not those of tables in its cells."""
    for child in table:
        name = name_of(child.tag)
        if name == "table:table-row":
            yield child
        elif name in ("table:table-header-rows", "table:table-rows", "table:table-row-group"):
            yield from _table_rows(child)


def _has_text(item: Element) -> bool:
    return any(name_of(one.tag) in ("text:p", "text:h") for one in item)


def _formula(data: bytes) -> str | None:
    """Return MathML on one line; ``None`` where it cannot be written so."""
    if len(data) > _MAX_FORMULA_BYTES:
        return None
    html = _PREFIX.sub(rb"<\1", _PROLOGUE.sub(b"", data))
    math = LexborHTMLParser(html).css_first("math")
    try:
        return None if math is None else from_mathml(math)
    except UnreadableFormulaError:
        return None
