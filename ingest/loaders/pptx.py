"""Loads PowerPoint presentations (.pptx) with python-pptx: each slide is a page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pptx.package import Package
from pptx.slide import Slide

from ingest.loaders import titles
from ingest.loaders.archives import open_zip
from ingest.loaders.cleaning import one_line
from ingest.loaders.document import LoadedDocument, Source
from ingest.loaders.flow import Flow
from ingest.loaders.packages import (
    DAMAGE,
    MACROS,
    check_parts,
    core_title,
    damaged,
    has_macros,
    without_media,
)
from ingest.loaders.pptx_graphics import Graphics, table_rows
from ingest.loaders.pptx_layouts import Layout, Layouts, index, is_hidden, role
from ingest.loaders.pptx_text import Counters, local, paragraphs, unwrap_alternatives
from ingest.loaders.slides import Placed, check_count, only_pictures, reading_order

_CALLED = "PowerPoint presentation"
_EMU_A_CM = 360_000
_RUNNING = frozenset(("dt", "ftr", "sldNum", "hdr", "sldImg"))
_TITLES = frozenset(("title", "ctrTitle"))


def load(source: Source) -> LoadedDocument:
    """Load a presentation; its pictures, sounds and macros are never opened."""
    with source.path.open("rb") as file:
        try:
            with open_zip(file) as archive:
                check_parts(archive, source.limits, _CALLED)
                title = titles.sensible(core_title(archive))
                warnings = (MACROS,) if has_macros(archive) else ()
                copy = without_media(archive)
            slides = Package.open(copy).presentation_part.presentation.slides
            check_count(len(slides), source.limits)
            reader = _Reader()
            pictures = [number for number, slide in enumerate(slides, 1) if reader.read(slide)]
        except (*DAMAGE, SyntaxError) as exc:
            raise damaged(_CALLED) from exc
    headings = reader.flow.builder.headings()
    return LoadedDocument(
        text=reader.flow.builder.text(),
        title=title or titles.from_headings(headings) or titles.from_name(source.name),
        kind="pptx",
        pages=tuple(reader.flow.pages),
        headings=headings,
        warnings=(*warnings, *only_pictures(pictures), *reader.graphics.sentences()),
    )


class _Reader:
    """Reads slides into a flow."""

    def __init__(self) -> None:
        self.flow = Flow()
        self.graphics = Graphics()
        self._layouts = Layouts()

    def read(self, slide: Slide) -> bool:
        """Read a slide and its notes; return whether it holds pictures and nothing else."""
        flow = self.flow
        start, length, pictures = flow.begin_page(), flow.builder.length, 0
        tree = slide.shapes.element
        unwrap_alternatives(tree)
        found = [one for one in tree.iterchildren() if not is_hidden(one)]
        for element in found:
            if role(element) in _TITLES:
                flow.heading(" ".join(one.text for one in paragraphs(element)), 1)
        layout = self._layouts.of(slide)
        todo = list(reversed(_ordered(found, layout)))
        while todo:
            element = todo.pop()
            match local(element):
                case "grpSp":
                    todo += reversed(_ordered(element.iterchildren(), layout))
                case "pic":
                    pictures += 1
                case "graphicFrame":
                    self._graphic(element, slide)
                case "sp" | "cxnSp":
                    self._text(element, layout)
                    flow.end_list()
        only = flow.builder.length == length and pictures > 0
        self._notes(slide)
        flow.end_page(start)
        return only

    def _text(self, element: Any, layout: Layout) -> None:
        counters = Counters(layout.list_styles(element))
        for one in paragraphs(element):
            mark = counters.mark(one) if one.text.strip() else None
            self.graphics.lost["formula"] += one.lost_formulas
            if mark is None:
                self.flow.paragraph(one.text)
            else:
                self.flow.item(one.text, depth=one.level, mark=mark)

    def _graphic(self, element: Any, slide: Slide) -> None:
        for one in element.iter():
            match local(one):
                case "tbl":
                    self.flow.table(table_rows(one))
                    return
                case "chart" if (chart := self.graphics.chart(one, slide.part)) is not None:
                    self.flow.paragraph(chart.title)
                    self.flow.table(chart.rows)
                    return
                case "relIds":
                    for text, depth in self.graphics.diagram(one, slide.part):
                        self.flow.item(text, depth=depth)
                    self.flow.end_list()
                    return

    def _notes(self, slide: Slide) -> None:
        frame = slide.notes_slide.notes_text_frame if slide.has_notes_slide else None
        if frame is None:
            return
        lines = [one_line(paragraph.text) for paragraph in frame.paragraphs]
        if any(lines):
            self.flow.paragraph("Notes: " + "\n".join(filter(None, lines)))


def _ordered(elements: Iterable[Any], layout: Layout) -> list[Any]:
    """Return the shapes of a slide or a group as they are read, without its title."""
    placed = []
    for element in elements:
        kind = role(element)
        if kind in _TITLES or kind in _RUNNING or is_hidden(element):
            continue
        top, left = layout.place(element)
        placed.append(Placed(element, top / _EMU_A_CM, left / _EMU_A_CM, kind is not None))
    placed.sort(key=lambda one: index(one.shape) or 0)  # only placeholders have one
    return reading_order(placed)
