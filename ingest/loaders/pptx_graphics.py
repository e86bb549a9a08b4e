"""Tables, charts and diagrams on slides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pptx.opc.package import Part, XmlPart
from pptx.oxml import parse_xml

from ingest.loaders.cleaning import one_line
from ingest.loaders.pptx_text import local, paragraphs

_MAX_REPEATED_CHARS = 200
"""Of a cell that stands in each row that it covers; a longer one is in the first."""
_MAX_SERIES = 255
"""As many as PowerPoint allows."""
_TRANSITIONS = frozenset(("pres", "parTrans", "sibTrans"))
_PLURAL = {"formula": "formulas", "chart": "charts", "diagram": "diagrams"}


@dataclass(frozen=True)
class Chart:
    """What a chart shows, as a table: its first row names the series."""

    title: str
    rows: list[list[str]]


@dataclass
class Graphics:
    """Reads what is in parts of their own, and counts what cannot be read."""

    lost: Counter[str] = field(default_factory=Counter)

    def sentences(self) -> tuple[str, ...]:
        """Return a sentence for each kind of thing that could not be read."""
        return tuple(
            f"{count} {_PLURAL[what] if count > 1 else what} could not be read."
            for what, count in self.lost.items()
            if count
        )

    def chart(self, reference: Any, part: XmlPart) -> Chart | None:
        """Return a chart by the element that names its part; ``None`` where it cannot be read."""
        root = _related(reference, part, "id")
        series = [] if root is None else [one for one in root.iter() if local(one) == "ser"]
        if root is None or not series:
            self.lost["chart"] += 1
            return None
        return Chart(_title(root), _chart_rows(series))

    def diagram(self, reference: Any, part: XmlPart) -> Iterator[tuple[str, int]]:
        """Yield the texts of a SmartArt diagram and how deep each stands in it."""
        root = _related(reference, part, "dm")
        if root is None:
            self.lost["diagram"] += 1
            return
        texts: dict[str, str] = {}
        below: dict[str, list[tuple[int, str]]] = {}
        for one in root.iter():
            if local(one) == "pt" and one.get("type") not in _TRANSITIONS:
                texts[one.get("modelId", "")] = _words(one)
            elif local(one) == "cxn" and one.get("type", "parOf") == "parOf":
                order = one.get("srcOrd", "")
                place = int(order) if order.isdecimal() and len(order) < 9 else 0
                below.setdefault(one.get("srcId", ""), []).append((place, one.get("destId", "")))
        yield from _outline(texts, below)


def table_rows(table: Any) -> list[list[str]]:
    """Return the cells of an ``a:tbl``; one that reaches down stands in each row."""
    rows: list[list[str]] = []
    for row in table.iterchildren():
        if local(row) != "tr":
            continue
        cells: list[str] = []
        for cell in row.iterchildren():
            if local(cell) != "tc":
                continue
            text = one_line(" ".join(one.text for one in paragraphs(cell)))
            above = rows[-1][len(cells)] if rows and len(cells) < len(rows[-1]) else ""
            if cell.get("vMerge") in ("1", "true") and len(above) <= _MAX_REPEATED_CHARS:
                text = above
            cells.append(text)
        rows.append(cells)
    return rows


def _related(reference: Any, part: XmlPart, attribute: str) -> Any:
    """Return the root of the part that an element names; ``None`` where there is none."""
    relation = next((v for key, v in reference.items() if key.endswith(f"}}{attribute}")), None)
    try:
        found: Part = part.related_part(relation or "")
        return found._element if isinstance(found, XmlPart) else parse_xml(found.blob)
    except (KeyError, ValueError, SyntaxError):
        return None


def _outline(
    texts: dict[str, str], below: dict[str, list[tuple[int, str]]]
) -> Iterator[tuple[str, int]]:
    """Yield the texts from above; each once, whatever round the connections make."""
    children = {child for found in below.values() for _, child in found}
    seen: set[str] = set()
    todo = [(name, 0) for name in reversed(texts) if name not in children]
    todo = [*((name, 0) for name in reversed(texts) if name in children), *todo]
    while todo:
        name, depth = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        text = texts.get(name, "")
        if text:
            yield text, depth
        found = sorted(below.get(name, ()), reverse=True)
        todo += [(child, depth + bool(text)) for _, child in found]


def _words(element: Any) -> str:
    return one_line(" ".join(one.text or "" for one in element.iter() if local(one) == "t"))


def _title(root: Any) -> str:
    """Return a chart's own title, not those of its axes."""
    chart = next((one for one in root.iterchildren() if local(one) == "chart"), root)
    return " ".join(_words(one) for one in chart.iterchildren() if local(one) == "title")


def _chart_rows(series: list[Any]) -> list[list[str]]:
    """Return a row for each category: its name, and the value of each series."""
    names, columns, categories = [""], [], dict[int, str]()
    for number, one in enumerate(series[:_MAX_SERIES], start=1):
        parts = {local(child): child for child in one.iterchildren()}
        names.append(_first(parts.get("tx")) or str(number))
        for place, text in _points(parts.get("cat", parts.get("xVal"))).items():
            categories.setdefault(place, text)
        values = _points(parts.get("val", parts.get("yVal")))
        columns.append({place: _figure(text) for place, text in values.items()})
    places = sorted({*categories, *(place for column in columns for place in column)})
    rows = [
        [categories.get(place, str(place + 1)), *(column.get(place, "") for column in columns)]
        for place in places
    ]
    return [names, *rows]


def _first(element: Any) -> str:
    if element is None:
        return ""
    return next((one_line(one.text or "") for one in element.iter() if local(one) == "v"), "")


def _figure(text: str) -> str:
    """Write a number without the digits that its binary form adds."""
    try:
        return f"{float(text):.12g}"
    except ValueError:
        return text


def _points(element: Any) -> dict[int, str]:
    """Return the points that a chart keeps of its data, by their numbers."""
    points: dict[int, str] = {}
    if element is None:
        return points
    for one in element.iter():
        index = one.get("idx", "") if local(one) == "pt" else ""
        if index.isdecimal() and len(index) < 9:
            points.setdefault(int(index), _first(one))
    return points
