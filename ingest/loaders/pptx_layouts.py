"""What the layouts of a presentation say about the placeholders of its slides."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pptx.slide import Slide

from ingest.loaders.pptx_text import local

_HEADS = frozenset(("txBody", "spPr", "grpSpPr"))
"""Elements of a shape before which its name and its role stand."""
_UNLISTED = frozenset(("title", "ctrTitle", "subTitle"))
Place = tuple[int, int]
"""The distances from above and from the left, in EMU."""


@dataclass(frozen=True)
class Layout:
    """Of each placeholder, by its index, where it is and how its levels look."""

    places: dict[int, Place] = field(default_factory=dict)
    styles: dict[int, list[Any]] = field(default_factory=dict)
    body: list[Any] = field(default_factory=list)
    """How the levels look on all slides of the master."""

    def place(self, shape: Any) -> Place:
        """Return where a shape is."""
        return own_place(shape) or self.places.get(index(shape) or 0, (0, 0))

    def list_styles(self, shape: Any) -> list[Any]:
        """Return what tells the bullets of a shape, the nearest first."""
        own, kind = _list_styles(shape), role(shape)
        if kind is None or kind in _UNLISTED:
            return own
        return [*own, *self.styles.get(index(shape) or 0, []), *self.body]


class Layouts:
    """Reads each layout once."""

    def __init__(self) -> None:
        """Know none yet."""
        self._known: dict[int, Layout] = {}

    def of(self, slide: Slide) -> Layout:
        """Return the layout of a slide; one that says nothing where it is missing."""
        try:
            layout = slide.slide_layout
            if id(layout.part) not in self._known:
                master = layout.slide_master.element
                self._known[id(layout.part)] = _read(layout.element, master)
            return self._known[id(layout.part)]
        except KeyError:
            return Layout()


def role(shape: Any) -> str | None:
    """Return what a placeholder is for; ``None`` for a shape that is none."""
    found = _head(shape, "ph")
    return None if found is None else str(found.get("type", "obj"))


def index(shape: Any) -> int | None:
    """Return the number of a placeholder in its layout; ``None`` for a shape that is none."""
    found = _head(shape, "ph")
    return None if found is None else _number(found.get("idx"))


def is_hidden(shape: Any) -> bool:
    """Tell whether a shape is not shown."""
    found = _head(shape, "cNvPr")
    return found is not None and found.get("hidden") in ("1", "true")


def own_place(shape: Any) -> Place | None:
    """Return where a shape says that it is."""
    for one in shape.iter():
        if local(one) == "off":
            return _number(one.get("y")), _number(one.get("x"))
        if local(one) in ("txBody", "graphic"):
            break
    return None


def _head(shape: Any, name: str) -> Any:
    for one in shape.iter():
        if local(one) == name:
            return one
        if local(one) in _HEADS:
            break
    return None


def _read(layout: Any, master: Any) -> Layout:
    everywhere = {role(one): own_place(one) for one in _shapes(master)}.get("body")
    places, styles = {}, {}
    for shape in _shapes(layout):
        number = index(shape)
        if number is None:
            continue
        styles[number] = _list_styles(shape)
        if place := own_place(shape) or everywhere:
            places[number] = place
    return Layout(places, styles, [one for one in master.iter() if local(one) == "bodyStyle"][:1])


def _shapes(slide: Any) -> Iterator[Any]:
    tree = next((one for one in slide.iter() if local(one) == "spTree"), None)
    yield from () if tree is None else tree.iterchildren()


def _list_styles(shape: Any) -> list[Any]:
    body = next((one for one in shape.iterchildren() if local(one) == "txBody"), None)
    return [] if body is None else [one for one in body.iterchildren() if local(one) == "lstStyle"]


def _number(text: str | None) -> int:
    digits = (text or "").removeprefix("-")
    return int(text or 0) if digits.isdecimal() and len(digits) < 16 else 0
