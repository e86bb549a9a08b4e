"""Counts the numbered paragraphs of a Word document, as Word does when it shows them.

The numbers of lists, clauses and headings stand nowhere in the file: ``numbering.xml`` has how each
level counts and looks, paragraphs and styles name a list and a level. ECMA-376, part 1, 17.9.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from ingest.loaders.docx_names import child, children, is_on, value

BULLET = "-"
_LEVELS = 9
_MAX_STYLES = 50
"""In a chain of styles that are made from one another."""
_MAX_LABEL_CHARS = 40
_ROMAN = (
    *((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc")),
    *((50, "l"), (40, "xl"), (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")),
)
_PLACE = re.compile(r"%([1-9])")


@dataclass(frozen=True)
class _Level:
    start: int = 1
    form: str = "decimal"
    text: str = ""
    style: str | None = None
    restarts_after: int | None = None
    """The level, 1-based, after which it counts anew; 0 for never, ``None`` for any above."""
    legal: bool = False
    """All its numbers are shown as decimal ones."""


@dataclass
class _List:
    levels: dict[int, _Level]
    style_link: str | None
    values: dict[int, int] = field(default_factory=dict)
    """The number that each level stands at; one that has not begun is missing."""


@dataclass(frozen=True)
class _Style:
    name: str
    based_on: str | None
    list_id: str | None
    level: int | None


class Numbers:
    """The lists of one document, each with where it stands; paragraphs are asked for in order."""

    def __init__(self, numbering: Element | None, styles: Element | None) -> None:
        """Take the roots of ``numbering.xml`` and ``styles.xml``."""
        self._styles = _read_styles(styles)
        self._abstract: dict[str, _List] = {}
        self._lists: dict[str, tuple[str, dict[int, _Level], dict[int, int]]] = {}
        self._begun: set[tuple[str, int]] = set()
        for one in children(numbering, "w:abstractNum"):
            levels = dict(map(_read_level, list(children(one, "w:lvl"))[:_LEVELS]))
            link = value(child(one, "w:numStyleLink"))
            self._abstract[value(one, "w:abstractNumId") or ""] = _List(levels, link)
        for one in children(numbering, "w:num"):
            replaced, starts = {}, {}
            for override in list(children(one, "w:lvlOverride"))[:_LEVELS]:
                number = _number(value(override, "w:ilvl"), 0)
                level = child(override, "w:lvl")
                if level is not None:
                    replaced[number] = _read_level(level)[1]
                if (start := value(child(override, "w:startOverride"))) is not None:
                    starts[number] = _number(start, 1)
            abstract = value(child(one, "w:abstractNumId")) or ""
            self._lists[value(one, "w:numId") or ""] = (abstract, replaced, starts)

    def style_name(self, style: str | None) -> str:
        """Return the name of a paragraph's style, in lower case."""
        found = self._styles.get(style or "")
        return found.name.lower() if found else ""

    def label(self, properties: Element | None) -> str | None:
        """Count a paragraph and return what Word shows before it; ``None`` where it has no number.

        ``BULLET`` for a bullet of any shape, empty for a number that is not shown.
        """
        list_id, level = self._place(properties)
        if list_id is None or list_id == "0":
            return None
        found = self._resolve(list_id)
        if found is None:
            return None
        list_id, counted, levels = found
        level = min(max(level or 0, 0), _LEVELS - 1)
        if level not in levels:
            return None
        self._count(list_id, counted, levels, level)
        return _shown(counted, levels, level)

    def _place(self, properties: Element | None) -> tuple[str | None, int | None]:
        """Return a paragraph's list and level: its own, else those of its style."""
        given = child(properties, "w:numPr")
        list_id = value(child(given, "w:numId"))
        own_level = value(child(given, "w:ilvl"))
        level = _number(own_level, 0) if own_level is not None else None
        style = value(child(properties, "w:pStyle"))
        if list_id is not None and level is not None:
            return list_id, level
        for _ in range(_MAX_STYLES):
            found = self._styles.get(style or "")
            if found is None:
                break
            if found.list_id is not None:
                list_id = list_id or found.list_id
                if level is None:
                    level = self._level_of_style(list_id, style)
                return list_id, found.level if level is None else level
            style = found.based_on
        return list_id, level

    def _level_of_style(self, list_id: str, style: str | None) -> int | None:
        found = self._resolve(list_id)
        if found is None:
            return None
        return next((n for n, level in found[2].items() if level.style == style), None)

    def _resolve(self, list_id: str) -> tuple[str, _List, dict[int, _Level]] | None:
        """Return a list's id, its counters, shared with others of its kind, and its levels."""
        seen: set[str] = set()
        while list_id not in seen:
            seen.add(list_id)
            abstract, replaced, _ = self._lists.get(list_id, ("", {}, {}))
            counted = self._abstract.get(abstract)
            if counted is None:
                return None
            if counted.style_link is None:
                return list_id, counted, {**counted.levels, **replaced}
            style = self._styles.get(counted.style_link)
            list_id = (style.list_id if style else None) or list_id
        return None

    def _count(self, list_id: str, counted: _List, levels: dict[int, _Level], level: int) -> None:
        start = levels[level].start
        anew = self._lists[list_id][2].get(level)
        if anew is not None and (list_id, level) not in self._begun:
            start = anew
            counted.values.pop(level, None)
        self._begun.add((list_id, level))
        counted.values[level] = counted.values[level] + 1 if level in counted.values else start
        for deeper in [n for n in counted.values if n > level]:
            after = levels[deeper].restarts_after if deeper in levels else None
            if after is None or level < after:
                del counted.values[deeper]


def _shown(counted: _List, levels: dict[int, _Level], level: int) -> str:
    own = levels[level]
    if own.form == "bullet":
        return BULLET

    def number(match: re.Match[str]) -> str:
        at = int(match.group(1)) - 1
        other = levels.get(at, _Level())
        form = "decimal" if own.legal and other.form != "none" else other.form
        return formatted(counted.values.get(at, other.start), form)

    return _PLACE.sub(number, own.text).strip()[:_MAX_LABEL_CHARS]


def formatted(number: int, form: str) -> str:
    """Write a number in a form that is called as in Office documents."""
    match form:
        case "none" | "bullet":
            return ""
        case "decimalZero":
            return f"{number:02}"
        case "lowerLetter" | "upperLetter":
            # After z comes aa, then bb.
            letter = chr(ord("a") + (number - 1) % 26) * min(1 + (number - 1) // 26, 5)
            return letter if form == "lowerLetter" else letter.upper()
        case "lowerRoman" | "upperRoman":
            roman = _roman(number)
            return roman if form == "lowerRoman" else roman.upper()
    return str(number)


def _roman(number: int) -> str:
    if not 0 < number < 4000:
        return str(number)
    letters = ""
    for size, letter in _ROMAN:
        times, number = divmod(number, size)
        letters += letter * times
    return letters


def _read_level(level: Element) -> tuple[int, _Level]:
    after = value(child(level, "w:lvlRestart"))
    return _number(value(level, "w:ilvl"), 0), _Level(
        start=_number(value(child(level, "w:start")), 0 if child(level, "w:start") is None else 1),
        form=value(child(level, "w:numFmt")) or "decimal",
        text=value(child(level, "w:lvlText")) or "",
        style=value(child(level, "w:pStyle")),
        restarts_after=None if after is None else _number(after, 0),
        legal=is_on(child(level, "w:isLgl")),
    )


def _read_styles(styles: Element | None) -> dict[str, _Style]:
    found = {}
    for one in children(styles, "w:style"):
        numbers = child(child(one, "w:pPr"), "w:numPr")
        level = value(child(numbers, "w:ilvl"))
        found[value(one, "w:styleId") or ""] = _Style(
            name=value(child(one, "w:name")) or "",
            based_on=value(child(one, "w:basedOn")),
            list_id=value(child(numbers, "w:numId")),
            level=_number(level, 0) if level is not None else None,
        )
    return found


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text is not None and re.fullmatch(r"\d{1,6}", text) else otherwise
