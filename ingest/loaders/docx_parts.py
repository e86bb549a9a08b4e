"""Writes a Word document's parts anew with what mammoth passes over, in elements that it reads.

Mammoth reads no page headers and footers, simple fields, equations and newer text boxes, and shows
no numbers of paragraphs. Here each of them becomes runs and paragraphs. What is said to be hidden
goes, and nothing but XML is taken along: pictures and macros are never opened.
"""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ingest.loaders.cleaning import one_line
from ingest.loaders.docx_names import child, children, is_on, name_of, value
from ingest.loaders.docx_numbers import BULLET, Numbers
from ingest.loaders.formulas import UnreadableFormulaError, from_office
from ingest.loaders.running_lines import PAGE_WORDS

ITEM_STYLE = "XoeItem"
"""Of paragraphs that begin with what Word shows before them; in no style sheet."""

_HEADING = re.compile(r"heading [1-9]|heading|title|subtitle")
_PAGE_FIELD = re.compile(r"\s*(?:PAGE|NUMPAGES|SECTIONPAGES|SECTION)\b")
_EQUATION = re.compile(r"equation|mathtype", re.IGNORECASE)
_UNWRAPPED = frozenset(("w:bdo", "w:dir"))
_NEVER_IN_FRAMES = frozenset(("w:pStyle", "w:numPr", "v:imagedata", "w:bookmarkStart", "w:sectPr"))
"""They would make headings of a letterhead, or point into the part that they come from."""


def simplified(archive: zipfile.ZipFile) -> tuple[io.BytesIO, tuple[str, ...]]:
    """Return the document as mammoth reads all of it, and sentences on what cannot be read."""
    package = _Package(archive)
    numbers = Numbers(package.part("numbering"), package.part("styles"))
    rewriter = _Rewriter(numbers)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as made:
        for name in package.names:
            if name == package.document:
                root = package.read(name)
                body = child(root, "w:body")
                rewriter.rewrite(root)
                if body is not None:
                    _add_frames(body, package, numbers)
                made.writestr(name, ElementTree.tostring(root, "utf-8"))
                del root, body
            elif name in package.notes:
                root = package.read(name)
                rewriter.rewrite(root)
                made.writestr(name, ElementTree.tostring(root, "utf-8"))
            elif name in package.kept:
                made.writestr(name, archive.read(name))
    target.seek(0)
    return target, _sentences(rewriter.lost)


class _Package:
    """The parts of a document, found by the relations between them."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.names = archive.namelist()
        self.document = self._document()
        folder, base = posixpath.split(self.document)
        self.relations = list(self._relations(posixpath.join(folder, "_rels", f"{base}.rels")))
        self.notes = {self.path(kind) for kind in ("footnotes", "endnotes")} - {None}
        self.kept = {
            name
            for name in self.names
            if name.endswith(".rels") or name in ("[Content_Types].xml", self.path("styles"))
        }
        """Taken along as they are; not ``numbering.xml``, for what is numbered says so."""

    def path(self, kind: str, relation: str | None = None) -> str | None:
        """Return the path of a part by its kind, or by its relation's id as well."""
        found = [
            target
            for name, of_kind, target in self.relations
            if of_kind == kind and relation in (None, name) and target in self.names
        ]
        if not found and relation is None:
            usual = posixpath.join(posixpath.dirname(self.document), f"{kind}.xml")
            return usual if usual in self.names else None
        return found[0] if found else None

    def part(self, kind: str, relation: str | None = None) -> Element | None:
        """Return the root of a part; ``None`` where the document has none of the kind."""
        path = self.path(kind, relation)
        return None if path is None else self.read(path)

    def read(self, path: str) -> Element:
        return ElementTree.fromstring(self._archive.read(path))  # noqa: S314 - no entities in it

    def _document(self) -> str:
        for _, kind, target in self._relations("_rels/.rels"):
            if kind == "officeDocument" and target in self.names:
                return target
        return "word/document.xml"

    def _relations(self, path: str) -> Iterator[tuple[str, str, str]]:
        """Yield ``(id, kind, path of the target)``."""
        if path not in self.names:
            return
        folder = posixpath.dirname(posixpath.dirname(path))
        for one in self.read(path):
            target = one.get("Target", "")
            joined = target[1:] if target.startswith("/") else posixpath.join(folder, target)
            kind = one.get("Type", "").rpartition("/")[2]
            yield one.get("Id", ""), kind, posixpath.normpath(joined)


class _Rewriter:
    """Rewrites the elements of a part in place."""

    def __init__(self, numbers: Numbers, *, frame: bool = False) -> None:
        self._numbers = numbers
        self._frame = frame
        """Whether it is a page's header or footer, whose elements move to another part."""
        self._space = ""
        self._fields: list[str] = []
        """The instructions of the fields that are open."""
        self._counts_pages = False
        self.lost: Counter[str] = Counter()

    def rewrite(self, root: Element) -> None:
        self._space = root.tag.rpartition("}")[0] + "}"
        self._fields.clear()
        self._below(root)

    def _below(self, element: Element) -> None:
        found: list[Element] = []
        for one in element:
            found += self._read(one)
        element[:] = found

    def _unwrapped(self, element: Element | None) -> list[Element]:
        if element is None:
            return []
        self._below(element)
        return list(element)

    def _read(self, element: Element) -> list[Element]:
        name = name_of(element.tag)
        match name:
            case "w:p":
                return self._paragraph(element)
            case "w:r" if is_on(child(child(element, "w:rPr"), "w:vanish")):
                return []
            case "w:fldSimple":
                return self._simple_field(element)
            case "w:fldChar":
                return self._field_mark(element)
            case "w:instrText":
                if self._fields:
                    self._fields[-1] += element.text or ""
            case "w:t" if self._frame and any(map(_PAGE_FIELD.match, self._fields)):
                self._counts_pages = True
                return []
            case "m:oMath":
                return self._formula(element)
            case "m:oMathPara":
                return [run for one in children(element, "m:oMath") for run in self._formula(one)]
            case "mc:AlternateContent":
                return self._alternatives(element)
            case "w:drawing":
                return self._drawing(element)
            case "w:ruby":
                return self._unwrapped(child(element, "w:rubyBase"))
            case "w:altChunk":
                self.lost["embedded document"] += 1
            case "o:OLEObject" if _EQUATION.match(element.get("ProgID", "")):
                self.lost["formula"] += 1
        if name in _UNWRAPPED or (self._frame and name == "w:hyperlink"):
            return self._unwrapped(element)
        if self._frame and name in _NEVER_IN_FRAMES:
            return []
        self._below(element)
        return [element]

    def _paragraph(self, paragraph: Element) -> list[Element]:
        properties = child(paragraph, "w:pPr")
        label = None if self._frame else self._numbers.label(properties)
        self._counts_pages = False
        self._below(paragraph)
        if self._counts_pages and set(_text(paragraph).lower().split()) <= PAGE_WORDS:
            return []
        if label is not None and properties is not None and _text(paragraph):
            self._label(paragraph, properties, label)
        return [paragraph]

    def _label(self, paragraph: Element, properties: Element, label: str) -> None:
        style = child(properties, "w:pStyle")
        is_heading = _HEADING.fullmatch(self._numbers.style_name(value(style))) is not None
        if label == BULLET and is_heading:
            return
        if not is_heading:
            for one in (style, child(properties, "w:numPr")):
                if one is not None:
                    properties.remove(one)
            properties.append(Element(f"{self._space}pStyle", {f"{self._space}val": ITEM_STYLE}))
        if label:
            paragraph.insert(list(paragraph).index(properties) + 1, self._run(f"{label} "))

    def _simple_field(self, field: Element) -> list[Element]:
        if self._frame and _PAGE_FIELD.match(value(field, "w:instr") or ""):
            self._counts_pages = True
            return []
        return self._unwrapped(field)

    def _field_mark(self, mark: Element) -> list[Element]:
        match value(mark, "w:fldCharType"):
            case "begin":
                self._fields.append("")
                choices = child(child(mark, "w:ffData"), "w:ddList")
                if choices is not None:
                    return [mark, self._text(_chosen(choices))]
            case "end":
                if self._fields:
                    self._fields.pop()
        return [mark]

    def _formula(self, formula: Element) -> list[Element]:
        try:
            return [self._run(from_office(formula))]
        except UnreadableFormulaError:
            self.lost["formula"] += 1
            return []

    def _alternatives(self, element: Element) -> list[Element]:
        """Take the text boxes of the newest form of a drawing, else what is there for others."""
        newest, oldest = child(element, "mc:Choice"), child(element, "mc:Fallback")
        boxes = [] if newest is None else list(_boxes(newest))
        if boxes or oldest is None:
            return self._picture(boxes) if boxes else self._unwrapped(newest)
        if newest is not None:
            self._count_drawn(newest)
        return self._unwrapped(oldest)

    def _drawing(self, drawing: Element) -> list[Element]:
        self._count_drawn(drawing)
        boxes = list(_boxes(drawing))
        if boxes:
            return self._picture(boxes)
        return [] if self._frame else [drawing]

    def _picture(self, boxes: Iterable[Element]) -> list[Element]:
        """Return an element whose paragraphs mammoth puts behind the one that it stands in."""
        picture = Element(f"{self._space}pict")
        for box in boxes:
            self._below(box)
            box.tag = f"{self._space}txbxContent"
            picture.append(box)
        return [picture]

    def _count_drawn(self, drawing: Element) -> None:
        names = Counter(name_of(one.tag) for one in drawing.iter())
        self.lost["chart"] += names["c:chart"]
        self.lost["diagram"] += names["dgm:relIds"]

    def _run(self, text: str) -> Element:
        run = Element(f"{self._space}r")
        run.append(self._text(text))
        return run

    def _text(self, text: str) -> Element:
        element = Element(f"{self._space}t")
        element.text = text
        return element


def _boxes(element: Element) -> Iterator[Element]:
    """Yield the contents of the text boxes under ``element``, not those inside of others."""
    for one in element:
        if name_of(one.tag) == "w:txbxContent":
            yield one
        elif name_of(one.tag) != "mc:Fallback":
            yield from _boxes(one)


def _text(element: Element) -> str:
    parts = (one.text or "" if name_of(one.tag) == "w:t" else " " for one in element.iter())
    return one_line("".join(parts))


def _chosen(choices: Element) -> str:
    entries = [value(one) or "" for one in children(choices, "w:listEntry")]
    chosen = value(child(choices, "w:result")) or value(child(choices, "w:default")) or "0"
    return entries[int(chosen)] if chosen.isdecimal() and int(chosen) < len(entries) else ""


# ── headers and footers ──────────────────────────────────────────────────────────────────────────


def _add_frames(body: Element, package: _Package, numbers: Numbers) -> None:
    """Put each header before its section and each footer behind it; the same words come once."""
    settings = package.part("settings")
    even_too = is_on(child(settings, "w:evenAndOddHeaders"))
    seen: set[str] = set()
    made: list[Element] = []
    section: list[Element] = []
    for element in [*body, None]:
        properties = None
        if element is not None:
            section.append(element)
            properties = _section_end(element)
        if properties is None and (element is not None or not section):
            continue
        shown = [] if properties is None else list(_shown(properties, even_too))
        for place in ("header", "footer"):
            frames = [
                block
                for kind, relation in shown
                if kind == place
                for block in _frame(package, package.path(kind, relation), numbers, seen)
            ]
            section = [*frames, *section] if place == "header" else [*section, *frames]
        made += section
        section = []
    body[:] = made


def _section_end(element: Element) -> Element | None:
    if name_of(element.tag) == "w:sectPr":
        return element
    return child(child(element, "w:pPr"), "w:sectPr")


def _shown(section: Element, even_too: bool) -> Iterator[tuple[str, str]]:
    """Yield ``(header or footer, its relation)`` of those that some page of the section shows."""
    shown = {"default": True, "first": is_on(child(section, "w:titlePg")), "even": even_too}
    for kind in ("first", "default", "even"):
        for place in ("header", "footer"):
            for one in children(section, f"w:{place}Reference"):
                if value(one, "w:type") == kind and shown[kind]:
                    yield place, value(one, "r:id") or ""


def _frame(package: _Package, path: str | None, numbers: Numbers, seen: set[str]) -> list[Element]:
    """Return the paragraphs of a header or footer whose path and words are not among the seen."""
    if path is None or path in seen:
        return []
    seen.add(path)
    root = package.read(path)
    _Rewriter(numbers, frame=True).rewrite(root)
    text = _text(root)
    if not text or text in seen:
        return []
    seen.add(text)
    return list(root)


def _sentences(lost: Counter[str]) -> tuple[str, ...]:
    return tuple(
        f"{count} {_PLURAL[what] if count > 1 else what} could not be read."
        for what, count in lost.items()
        if count
    )


_PLURAL = {
    "formula": "formulas",
    "chart": "charts",
    "diagram": "diagrams",
    "embedded document": "embedded documents",
}
