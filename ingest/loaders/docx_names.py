"""The names of a Word document's elements, in both of its formats, under their usual prefixes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from xml.etree.ElementTree import Element

_OPEN = "http://schemas.openxmlformats.org/"
_STRICT = "http://purl.oclc.org/ooxml/"
_PREFIXES = {
    f"{_OPEN}wordprocessingml/2006/main": "w",
    f"{_STRICT}wordprocessingml/main": "w",
    f"{_OPEN}officeDocument/2006/relationships": "r",
    f"{_STRICT}officeDocument/relationships": "r",
    f"{_OPEN}officeDocument/2006/math": "m",
    f"{_STRICT}officeDocument/math": "m",
    f"{_OPEN}drawingml/2006/main": "a",
    f"{_STRICT}drawingml/main": "a",
    f"{_OPEN}drawingml/2006/chart": "c",
    f"{_STRICT}drawingml/chart": "c",
    f"{_OPEN}drawingml/2006/diagram": "dgm",
    f"{_STRICT}drawingml/diagram": "dgm",
    f"{_OPEN}markup-compatibility/2006": "mc",
    "urn:schemas-microsoft-com:vml": "v",
    "urn:schemas-microsoft-com:office:office": "o",
}


@lru_cache(maxsize=4096)
def name_of(tag: str) -> str:
    """Return ``prefix:name`` of an element or attribute; of an unknown namespace its own name."""
    space, _, local = tag[1:].partition("}") if tag.startswith("{") else ("", "", tag)
    prefix = _PREFIXES.get(space)
    return f"{prefix}:{local}" if prefix else local


def children(element: Element | None, name: str) -> Iterator[Element]:
    """Yield the children of that name; none of no element."""
    if element is not None:
        yield from (one for one in element if name_of(one.tag) == name)


def child(element: Element | None, name: str) -> Element | None:
    """Return the first child of that name."""
    return next(children(element, name), None)


def value(element: Element | None, attribute: str | None = None) -> str | None:
    """Return an attribute of an element, by default the one that its format calls ``val``."""
    if element is None:
        return None
    wanted = (attribute,) if attribute else ("w:val", "m:val")
    return next((text for key, text in element.items() if name_of(key) in wanted), None)


def is_on(element: Element | None) -> bool:
    """Tell whether a switch is there and not turned off."""
    return element is not None and value(element) not in ("0", "false", "off")
