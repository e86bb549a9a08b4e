"""Loads plain text as it stands in the file."""

from __future__ import annotations

import re

from ingest.loaders import titles
from ingest.loaders.cleaning import clean, one_line
from ingest.loaders.document import (
    MAX_HEADINGS,
    HeadingSpan,
    LoadedDocument,
    Source,
    heading_span,
)
from ingest.loaders.encoding import decode

# A line with a rule of the same character under it, as in many a readme.
_UNDERLINED = re.compile(
    r"^(?P<line>[^\s\W][^\n]{0,200}?)[ \t\r]*\n(?P<rule>={3,}|-{3,}|~{3,}|\^{3,})[ \t\r]*$",
    re.MULTILINE,
)
_LEVELS = {"=": 1, "-": 2, "~": 3, "^": 4}


def load(source: Source) -> LoadedDocument:
    """Load a text file; underlined lines are its headings."""
    text = clean(decode(source.path.read_bytes()))
    headings = tuple(_headings(text))
    title = titles.from_headings(headings) or titles.from_name(source.name)
    return LoadedDocument(text=text, title=title, kind="text", headings=headings)


def _headings(text: str) -> list[HeadingSpan]:
    found: list[HeadingSpan] = []
    for match in _UNDERLINED.finditer(text):
        line, rule = match.group("line"), match.group("rule")
        # Under a table's head or a paragraph the rule means something else.
        if len(rule) >= 0.6 * len(line) and _blank_before(text, match.start()):
            found.append(
                heading_span(_LEVELS[rule[0]], one_line(line), match.start(), match.end("line"))
            )
        if len(found) == MAX_HEADINGS:
            break
    return found


def _blank_before(text: str, start: int) -> bool:
    before = text[max(0, start - 400) : start].split("\n")
    above = before[-2].strip() if len(before) > 1 else ""
    return not above or set(above) <= set("=-~^")
