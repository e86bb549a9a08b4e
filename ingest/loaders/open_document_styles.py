"""What an OpenDocument file's styles say: what is hidden, a title, code; and how lists count."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from ingest.loaders.docx_numbers import formatted
from ingest.loaders.open_document import name_of, named, number, value

BULLET = "- "
_FORMS = dict(
    zip("1aAiI", "decimal lowerLetter upperLetter lowerRoman upperRoman".split(), strict=True)
)
_MAX_CHAIN = 50
"""Of styles that are made from one another."""
_MAX_AFFIX = 20
_LEVELS = 10
_LEVEL_STYLES = (
    *("text:list-level-style-number", "text:list-level-style-bullet"),
    *("text:list-level-style-image", "text:outline-level-style"),
)


@dataclass(frozen=True)
class _Style:
    parent: str | None
    hidden: bool


@dataclass(frozen=True)
class _Level:
    """How a level of a list is numbered."""

    form: str | None
    """``None`` for a bullet; empty for no number."""
    prefix: str = ""
    suffix: str = ""
    start: int = 1
    shown: int = 1
    """Levels whose numbers stand in one."""


@dataclass
class Counter:
    """Where the levels of a list, or the headings, stand."""

    levels: dict[int, _Level]
    values: dict[int, int] = field(default_factory=dict)

    def label(self, depth: int, start: int | None = None) -> str:
        """Count an item of ``depth``, 0 for the outermost, and return what stands before it."""
        level = self.levels.get(min(depth, _LEVELS) + 1, _Level(None))
        if start is not None:
            self.values[depth] = start
        else:
            self.values[depth] = self.values.get(depth, level.start - 1) + 1
        for deeper in [one for one in self.values if one > depth]:
            del self.values[deeper]
        if level.form is None:
            return BULLET
        parts = []
        for above in range(max(0, depth + 1 - level.shown), depth + 1):
            other = self.levels.get(above + 1, _Level(""))
            if other.form:
                parts.append(formatted(self.values.get(above, other.start), other.form))
        return f"{level.prefix}{'.'.join(parts)}{level.suffix} " if level.form else ""


class Styles:
    """The styles of a file, its own and those that its text brings along."""

    def __init__(self, roots: Iterable[Element | None]) -> None:
        """Take the roots of ``styles.xml`` and ``content.xml``."""
        self._styles: dict[str, _Style] = {}
        self._lists: dict[str, dict[int, _Level]] = {}
        self.outline = Counter({})
        self.master_pages: set[str] = {"Standard"}
        """Those that some paragraph asks for, and the first."""
        for root in roots:
            if root is None:
                continue
            for style in named(root, "style:style"):
                self._styles[value(style, "style:name") or ""] = _style(style)
                self.master_pages.add(value(style, "style:master-page-name") or "")
            for style in named(root, "text:list-style"):
                self._lists[value(style, "style:name") or ""] = _levels(style)
            for style in named(root, "text:outline-style"):
                self.outline = Counter(_levels(style))

    def is_hidden(self, name: str | None) -> bool:
        """Tell whether text of a style is not shown."""
        return any(style.hidden for style in self._chain(name))

    def is_a(self, name: str | None, wanted: Collection[str | None]) -> bool:
        """Tell whether a style, or one that it is made from, has one of the names."""
        return name in wanted or any(style.parent in wanted for style in self._chain(name))

    def counter(self, name: str | None) -> Counter:
        """Return a counter for a list of that style."""
        return Counter(self._lists.get(name or "", {}))

    def _chain(self, name: str | None) -> Iterator[_Style]:
        for _ in range(_MAX_CHAIN):
            style = self._styles.get(name or "")
            if style is None:
                return
            yield style
            name = style.parent


def _style(style: Element) -> _Style:
    hidden = any(
        name_of(one.tag) == "style:text-properties" and value(one, "text:display") == "none"
        for one in style
    )
    return _Style(value(style, "style:parent-style-name"), hidden)


def _levels(style: Element) -> dict[int, _Level]:
    levels = {}
    for one in style:
        name = name_of(one.tag)
        if name not in _LEVEL_STYLES:
            continue
        form = _FORMS.get(value(one, "style:num-format") or "", "")
        numbered = name in ("text:list-level-style-number", "text:outline-level-style")
        levels[number(one, "text:level", 1)] = _Level(
            form if numbered else None,
            (value(one, "style:num-prefix") or "")[:_MAX_AFFIX],
            (value(one, "style:num-suffix") or "")[:_MAX_AFFIX],
            number(one, "text:start-value", 1),
            number(one, "text:display-levels", 1),
        )
    return levels
