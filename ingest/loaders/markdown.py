"""Loads Markdown as it stands in the file, with its headings found by a real parser."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token

from ingest.loaders import titles
from ingest.loaders.cleaning import clean
from ingest.loaders.document import (
    MAX_HEADINGS,
    HeadingSpan,
    LoadedDocument,
    Source,
    heading_span,
)
from ingest.loaders.encoding import decode
from ingest.loaders.ticks import spell_tasks

_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(?P<body>.*?)^(?:---|\.\.\.)[ \t]*\r?$", re.M | re.S)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(?P<title>[^\r\n]+)", re.MULTILINE | re.IGNORECASE)
_EMBEDDED = re.compile(r"data:[\w/+.-]{1,80};base64,[A-Za-z0-9+/=\s]{200,}")
_EMPHASES = 6
"""Round one heading; a line of stars alone could be taken out of itself for ever."""
_EMPHASIS = re.compile(r"^(\*\*|__|\*|_|`)(?P<inside>.+)\1$")


def load(source: Source) -> LoadedDocument:
    """Load a Markdown file; pictures that are embedded as data are cut out of its text."""
    text = _EMBEDDED.sub("data:", clean(decode(source.path.read_bytes())))
    text = spell_tasks(text, fenced=True)
    front = _FRONT_MATTER.match(text)
    headings = _headings(text, front.end() if front else 0)
    title = (
        _front_title(front.group("body") if front else "")
        or titles.from_headings(headings)
        or titles.from_name(source.name)
    )
    return LoadedDocument(text=text, title=title, kind="markdown", headings=headings)


def _front_title(body: str) -> str | None:
    match = _FRONT_TITLE.search(body)
    return titles.sensible(match.group("title").strip().strip("\"'")) if match else None


def _headings(text: str, offset: int) -> tuple[HeadingSpan, ...]:
    """Find the headings after ``offset``, which is where the front matter ends."""
    parser = MarkdownIt("commonmark")
    body = text[offset:]
    tokens = _HeadingTokens()
    # The blocks are all that is needed; each line break is one character for the parser.
    parser.block.parse(body.replace("\r\n", "\n").replace("\0", "\ufffd"), parser, {}, tokens)
    starts = [0, *(match.end() for match in re.finditer(r"\n", body))]
    starts.append(len(body) + 1)
    found: list[HeadingSpan] = []
    for token, inline in zip(tokens[::2], tokens[1::2], strict=True):
        if token.map is None:
            continue
        content = _inside(inline.content)
        if not content or "\n" in content:  # a paragraph with a rule close under it
            continue
        start = starts[token.map[0]]
        line = body[start : starts[token.map[0] + 1] - 1]
        begin = offset + start + len(line) - len(line.lstrip())
        end = offset + start + len(line.rstrip())
        found.append(heading_span(int(token.tag[1]), content, begin, end))
        if len(found) == MAX_HEADINGS:
            break
    return tuple(found)


class _HeadingTokens(list[Token]):
    """Keeps each heading's opening and its text: all tokens are hundreds of bytes for each line."""

    def append(self, token: Token) -> None:
        """Take a token of the parser's."""
        if token.type == "heading_open" or len(self) % 2:  # what follows an opening is its text
            super().append(token)


def _inside(content: str) -> str:
    """Take a heading's text out of emphasis that is round the whole of it."""
    content = content.strip()
    for _ in range(_EMPHASES):
        match = _EMPHASIS.match(content)
        if match is None:
            break
        content = match.group("inside").strip()
    return content
