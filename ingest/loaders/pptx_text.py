"""The paragraphs of a PowerPoint shape, and the bullets and numbers that are shown before them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ingest.loaders.docx_numbers import formatted
from ingest.loaders.formulas import UnreadableFormulaError, from_office

_BULLETS = frozenset(("buNone", "buChar", "buAutoNum", "buBlip"))
_FORMS = (
    *(("arabic", "decimal"), ("alphaLc", "lowerLetter"), ("alphaUc", "upperLetter")),
    *(("romanLc", "lowerRoman"), ("romanUc", "upperRoman")),
)
_LEVELS = 9


@dataclass(frozen=True)
class Paragraph:
    """A paragraph, with what its own properties say about a bullet."""

    text: str
    level: int
    """0 for the outermost."""
    properties: Any
    lost_formulas: int = 0


def local(element: Any) -> str:
    """Return an element's name without its namespace; empty for a comment."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def paragraphs(shape: Any) -> Iterator[Paragraph]:
    """Yield the paragraphs of a shape or a table's cell; those of other shapes in it not."""
    body = next((one for one in shape.iterchildren() if local(one) == "txBody"), None)
    if body is None:
        return
    for one in body.iterchildren():
        if local(one) == "p":
            yield _paragraph(one)


def _paragraph(element: Any) -> Paragraph:
    parts: list[str] = []
    properties, lost = None, 0
    for one in element.iterchildren():
        match local(one):
            case "pPr":
                properties = one
            case "br":
                parts.append("\n")
            case "r" | "fld":
                parts += [text.text or "" for text in one.iterchildren() if local(text) == "t"]
            case "m":
                for formula in one.iter():
                    if local(formula) == "oMath":
                        written = _formula(formula)
                        lost += written is None
                        parts.append(written or "")
    level = (properties.get("lvl") or "0") if properties is not None else "0"
    number = min(int(level), _LEVELS - 1) if level.isdecimal() and len(level) < 3 else 0
    return Paragraph("".join(parts).replace("\v", "\n"), number, properties, lost)


def _formula(element: Any) -> str | None:
    try:
        return from_office(element)
    except (UnreadableFormulaError, AttributeError):
        return None


def unwrap_alternatives(tree: Any) -> None:
    """Put one of its alternatives in the place of each: the newest with words, else the oldest."""
    found = [one for one in tree.iter() if local(one) == "AlternateContent"]
    for element in reversed(found):  # from inside
        choices = list(element.iterchildren())
        chosen = next((one for one in choices if _has_words(one)), choices[-1] if choices else None)
        parent = element.getparent()
        if parent is None:
            continue
        for one in list(chosen.iterchildren()) if chosen is not None else ():
            element.addprevious(one)
        parent.remove(element)


def _has_words(element: Any) -> bool:
    return any(local(one) in ("t", "relIds", "tbl", "chart") for one in element.iter())


class Counters:
    """The bullets of one shape, and where its numbered levels stand."""

    def __init__(self, styles: Sequence[Any]) -> None:
        """Take elements with ``lvl1pPr`` to ``lvl9pPr``, the nearest first."""
        self._styled: dict[str, Any] = {}
        self._values: dict[int, int] = {}
        for properties in (one for style in styles for one in style.iterchildren()):
            bullet = _bullet(properties)
            if bullet is not None:
                self._styled.setdefault(local(properties), bullet)

    def mark(self, paragraph: Paragraph) -> str | None:
        """Count a paragraph and return what stands before it; ``None`` where nothing does."""
        level = paragraph.level
        bullet = None if paragraph.properties is None else _bullet(paragraph.properties)
        if bullet is None:
            bullet = self._styled.get(f"lvl{level + 1}pPr")
        for deeper in [one for one in self._values if one > level]:
            del self._values[deeper]
        if bullet is None or local(bullet) == "buNone":
            self._values.pop(level, None)
            return None
        if local(bullet) != "buAutoNum":
            self._values.pop(level, None)
            return "- "
        start = bullet.get("startAt", "1")
        first = int(start) if start.isdecimal() and len(start) < 6 else 1
        self._values[level] = self._values.get(level, first - 1) + 1
        return _numbered(self._values[level], bullet.get("type", ""))


def _bullet(properties: Any) -> Any:
    return next((one for one in properties.iterchildren() if local(one) in _BULLETS), None)


def _numbered(value: int, kind: str) -> str:
    form = next((form for name, form in _FORMS if kind.startswith(name)), "decimal")
    text = formatted(value, form)
    if kind.endswith("ParenBoth"):
        return f"({text}) "
    return f"{text}) " if kind.endswith("ParenR") else f"{text}. "
