"""The headings of files that hold settings, tables' definitions or TeX: by the look of a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath

from ingest.loaders.code_definitions import Definition

_BRACKETS = re.compile(r"[ \t]*\[{1,2}(?P<name>[^\[\]\n]{1,200})\]{1,2}[ \t]*(?:[#;].*)?")
_KEY = re.compile(r"(?P<name>[\w\"'.*/-][\w \"'.*/-]{0,100}?):[ \t]*(?:[|>&#!].*)?")
_CREATE = re.compile(
    r"\s*create\s+(?:or\s+replace\s+|temp(?:orary)?\s+|unique\s+|materialized\s+|external\s+){0,3}"
    r"(?:table|view|function|procedure|trigger|index|type|schema)\s+(?:if\s+not\s+exists\s+)?"
    r"(?P<name>[\w.\"`\[\]]{1,200}).*",
    re.IGNORECASE,
)
_TEX = re.compile(
    r"\s*\\(?P<kind>part|chapter|section|subsection|subsubsection|paragraph)\*?"
    r"(?:\[[^\]\n]{0,200}\])?\{(?P<name>[^\n]{1,300})\}[^{}\n]*"
)
_TEX_LEVELS = "part chapter section subsection subsubsection paragraph".split()
_SHELL = re.compile(
    r"\s*(?:function\s+(?=[\w:.-]+\s*(?:\(|\{|$))|(?=[\w:.-]+\s*\(\)))(?P<name>[\w:.-]{1,100})"
    r"(?:\s*\(\))?\s*\{?.*"
)
_ASSIGNED = re.compile(r"\s*(?P<name>[\w.]{1,100})\s*(?:<-|=)\s*function\s*\(.*")
_RULES = {
    **dict.fromkeys((".toml", ".ini", ".cfg", ".conf", ".properties"), _BRACKETS),
    **dict.fromkeys((".yaml", ".yml"), _KEY),
    **dict.fromkeys((".tex",), _TEX),
    **dict.fromkeys((".sql",), _CREATE),
    **dict.fromkeys((".sh", ".bash", ".zsh"), _SHELL),
    **dict.fromkeys((".r",), _ASSIGNED),
}


def sections(text: str, name: str) -> list[Definition]:
    """Return the sections of a file by its name; none for languages that have a grammar."""
    rule = _RULES.get(PurePath(name).suffix.lower())
    return [] if rule is None else list(_found(text, rule))


def _found(text: str, rule: re.Pattern[str]) -> Iterator[Definition]:
    levels: list[str] = []
    start = 0
    for line in text.split("\n"):
        if (match := rule.fullmatch(line)) is not None:
            level = 1
            if rule is _TEX:
                levels.append(match["kind"])
                top = min(map(_TEX_LEVELS.index, levels[:1]))
                level = max(1, _TEX_LEVELS.index(match["kind"]) - top + 1)
            elif rule is _BRACKETS:
                level = 1 + match["name"].count(".")
            yield Definition(match["name"].strip().strip("\"'"), level, start, start + len(line))
        start += len(line) + 1
