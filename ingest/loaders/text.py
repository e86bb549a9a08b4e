"""Loads plain text as it stands in the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

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
from ingest.loaders.ticks import spell_tasks

# The rule under a line, as in many a readme.
_RULE = re.compile(r"^(?:={3,}|-{3,}|~{3,}|\^{3,})[ \t\r]*$", re.MULTILINE)
_LEVELS = {"=": 1, "-": 2, "~": 3, "^": 4}
_MAX_CHARS = 200


def load(source: Source) -> LoadedDocument:
    """Load a text file; underlined lines are its headings."""
    text = spell_tasks(clean(decode(source.path.read_bytes())), fenced=False)
    headings = tuple(islice(_headings(text), MAX_HEADINGS))
    title = titles.from_headings(headings) or titles.from_name(source.name)
    return LoadedDocument(text=text, title=title, kind="text", headings=headings)


def _headings(text: str) -> Iterator[HeadingSpan]:
    for match in _RULE.finditer(text):
        start, end = _line_before(text, match.start())
        line = text[start:end]
        rule = match.group().rstrip()
        above = text[slice(*_line_before(text, start))].strip()
        # Under a table's head or a paragraph the rule means something else.
        if (
            line[:1].isalnum()
            and len(line) <= _MAX_CHARS
            and len(rule) >= 0.6 * len(line)
            and (not above or set(above) <= set(_LEVELS))
        ):
            yield heading_span(_LEVELS[rule[0]], one_line(line), start, end)


def _line_before(text: str, start: int) -> tuple[int, int]:
    """Return the span of the line that ends before ``start``, without white space at its end."""
    if start == 0:
        return 0, 0
    begin = text.rfind("\n", 0, start - 1) + 1
    return begin, begin + len(text[begin : start - 1].rstrip())
