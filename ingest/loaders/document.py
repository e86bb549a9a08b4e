"""What a loader is given and what it hands on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from ingest.loaders.recognition import Recognizer

Kind = Literal[
    "pdf",
    "docx",
    "pptx",
    "xlsx",
    "odt",
    "ods",
    "odp",
    "rtf",
    "epub",
    "csv",
    "json",
    "mail",
    "markdown",
    "rst",
    "org",
    "html",
    "text",
    "code",
    "subtitles",
    "image",
    "zip",
    "recording",
]

MAX_HEADINGS = 10_000
MAX_HEADING_CHARS = 300
MAX_PAGES = 100_000
"""Of a document, that are told apart."""


@dataclass(frozen=True)
class PageSpan:
    """A page's place in the text: ``text[start:end]``; empty when nothing stands on the page.

    Of a sheet with rows, a row is what a page is elsewhere.
    """

    number: int
    """1-based, as the reader counts; blank rows are counted and have no span."""
    start: int
    end: int


@dataclass(frozen=True)
class HeadingSpan:
    """A heading: ``text[start:end]`` is its own line and contains ``text``."""

    level: int
    """1 to 6."""
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class LoadedDocument:
    """A document's text and where its pages and headings stand in it.

    For Markdown, plain text and source files, ``text`` is the decoded file itself, less what cannot
    be seen (byte-order mark, control, zero-width and tag characters), in the first two with a word
    at each task item that says whether it is ticked. For the other kinds it is what was
    extracted: blocks apart by a blank line, list items by a line break, table rows as
    ``cell | cell``. For a recording it is its transcript, the times as headings, and subtitles are
    the same.
    """

    text: str
    title: str
    kind: Kind
    pages: tuple[PageSpan, ...] = ()
    """One for each page of the file, in order; none where the format has none, or more than
    ``MAX_PAGES``. A CSV and a workbook of one sheet have one for each row that is not blank."""
    headings: tuple[HeadingSpan, ...] = ()
    warnings: tuple[str, ...] = ()
    """Sentences for the user about what could not be read though the rest could."""
    read_again: bool = False
    """More of it can be read another time, when a model that was missing is there."""


@dataclass(frozen=True)
class ParseLimits:
    """How far a document may expand while it is read."""

    max_pages: int = 10_000
    max_unpacked_bytes: int = 64 * 1024 * 1024
    """Of the XML in a document; its parser takes about fifteen times as much memory."""
    max_chars: int = 64 * 1024 * 1024
    """Of text in one document: more than the largest upload can hold as plain text."""
    max_ratio: int = 100
    """Characters of text for each byte of the file, above the first ``free_chars``."""
    free_chars: int = 4 * 1024 * 1024
    max_members: int = 1_000
    """Files in one archive or mail that become documents of their own."""
    max_member_bytes: int = 50 * 1024 * 1024
    max_members_bytes: int = 1024 * 1024 * 1024
    """Of all of them, unpacked."""


Tell = Callable[[int, int], None]
"""Told how many pages were read, and of how many; also for a sign of life amid a page."""


def no_one(done: int, total: int) -> None:
    """Let nobody hear of it."""


@dataclass(frozen=True)
class Source:
    """A file to load."""

    path: Path
    name: str
    """The file's name as the user knows it; ``path`` may be a temporary one."""
    limits: ParseLimits = field(default_factory=ParseLimits)
    recognizer: Recognizer | None = None
    """Reads pictures of text; ``None`` where its model is not installed."""
    tell: Tell = no_one


@dataclass(frozen=True)
class Member:
    """A file inside of another, an archive's or one that a mail brought."""

    name: str
    """Its path inside, as its maker wrote it."""
    pieces: Iterable[bytes]
    """Its content; reading it may raise ``DocumentError``."""


class Loader(Protocol):
    """Reads one kind of document. Blocking; raises ``DocumentError`` with a reason for the user."""

    def __call__(self, source: Source) -> LoadedDocument:
        """Return the document's text and structure."""


class TextBuilder:
    """Puts a document's text together, block by block, and keeps the headings' places."""

    def __init__(self) -> None:
        """Start with no text."""
        self._parts: list[str] = []
        self._length = 0
        self._headings: list[HeadingSpan] = []

    @property
    def length(self) -> int:
        """Characters so far."""
        return self._length

    def add(self, text: str, *, separator: str = "\n\n", level: int | None = None) -> None:
        """Append a block, after ``separator`` unless it is the first; ``level`` marks a heading."""
        if self._parts and separator:
            self._parts.append(separator)
            self._length += len(separator)
        start = self._length
        self._parts.append(text)
        self._length += len(text)
        if level is not None:
            self._headings.append(heading_span(level, text, start, self._length))

    def text(self) -> str:
        """Return the whole text."""
        return "".join(self._parts)

    def headings(self) -> tuple[HeadingSpan, ...]:
        """Return the headings in order, the first ``MAX_HEADINGS`` of them."""
        return tuple(self._headings[:MAX_HEADINGS])


def heading_span(level: int, text: str, start: int, end: int) -> HeadingSpan:
    """Make a span whose text is bounded."""
    return HeadingSpan(min(max(level, 1), 6), text[:MAX_HEADING_CHARS], start, end)
