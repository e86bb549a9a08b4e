"""Loads OpenDocument presentations (.odp): each slide is a page, with the notes for its speaker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

from ingest.loaders import titles
from ingest.loaders.cleaning import one_line
from ingest.loaders.document import LoadedDocument, Source
from ingest.loaders.flow import Flow
from ingest.loaders.html import lost_formulas
from ingest.loaders.open_document import name_of, named, open_parts, value
from ingest.loaders.open_document_blocks import Reader
from ingest.loaders.open_document_styles import Styles
from ingest.loaders.packages import damaged
from ingest.loaders.slides import Placed, check_count, only_pictures, reading_order

_CALLED = "OpenDocument presentation"
_RUNNING = frozenset(("header", "footer", "date-time", "page-number", "page"))
_LENGTH = re.compile(r"(-?\d{1,6}(?:\.\d{1,10})?)(cm|mm|in|pt|pc|px)")
_CM = {"cm": 1.0, "mm": 0.1, "in": 2.54, "pt": 2.54 / 72, "pc": 2.54 / 6, "px": 2.54 / 96}
_MOVED = re.compile(r"translate\s*\(\s*(\S{1,30})\s+(\S{1,30}?)\s*\)")


def load(source: Source) -> LoadedDocument:
    """Load a presentation; no picture is opened."""
    with open_parts(source.path, source.limits, _CALLED) as parts:
        content = parts.root("content.xml")
        body = None if content is None else next(named(content, "office:presentation"), None)
        if body is None:
            raise damaged(_CALLED)
        slides = [one for one in body if name_of(one.tag) == "draw:page"]
        check_count(len(slides), source.limits)
        reader = Reader(parts, Styles((parts.root("styles.xml"), content)))
        pictures = [number for number, slide in enumerate(slides, start=1) if _read(reader, slide)]
        title = parts.title()
    headings = reader.flow.builder.headings()
    return LoadedDocument(
        text=reader.flow.builder.text(),
        title=title or titles.from_headings(headings) or titles.from_name(source.name),
        kind="odp",
        pages=tuple(reader.flow.pages),
        headings=headings,
        warnings=(*only_pictures(pictures), *lost_formulas(reader.formulas)),
    )


def _read(reader: Reader, slide: Element) -> bool:
    """Read a slide; return whether it holds pictures and nothing else."""
    flow = reader.flow
    start, length, pictures = flow.begin_page(), flow.builder.length, reader.pictures
    for frame in slide:
        if value(frame, "presentation:class") == "title":
            flow.heading(_title(reader, frame), 1)
    for shape in reading_order(list(_placed(slide))):
        reader.read_shape(shape)
    reader.read_notes()
    only = flow.builder.length == length and reader.pictures > pictures
    _add_notes(flow, reader, slide)
    flow.end_page(start)
    return only


def _title(reader: Reader, frame: Element) -> str:
    return " ".join(filter(None, (one_line(text) for text in reader.texts(frame))))


def _placed(slide: Element) -> Iterator[Placed[Element]]:
    for shape in slide:
        name, role = name_of(shape.tag), value(shape, "presentation:class")
        if role != "title" and role not in _RUNNING and name != "presentation:notes":
            left, top = _place(shape)
            yield Placed(shape, top, left, role is not None)


def _place(shape: Element) -> tuple[float, float]:
    """Return where a shape is, from the left and from above, in centimetres.

    A group is where the first shape in it is that has a place.
    """
    while name_of(shape.tag) == "draw:g" and len(shape):
        shape = shape[0]
    moved = _MOVED.search(value(shape, "draw:transform") or "")
    if moved is not None:
        return _cm(moved[1]), _cm(moved[2])
    return (
        _cm(value(shape, "svg:x") or value(shape, "svg:x1")),
        _cm(value(shape, "svg:y") or value(shape, "svg:y1")),
    )


def _cm(length: str | None) -> float:
    match = _LENGTH.fullmatch(length or "")
    return float(match[1]) * _CM[match[2]] if match is not None else 0.0


def _add_notes(flow: Flow, reader: Reader, slide: Element) -> None:
    for notes in slide:
        if name_of(notes.tag) != "presentation:notes":
            continue
        for frame in notes:
            if value(frame, "presentation:class") != "notes":
                continue
            if text := "\n".join(filter(None, map(one_line, reader.texts(frame)))):
                flow.paragraph(f"Notes: {text}")
