"""What is asked of a library, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from ingest.loaders.document import HeadingSpan, PageSpan

if TYPE_CHECKING:
    from ingest.listing import DocumentInfo

Sort = Literal["name", "added", "size", "kind", "passages", "state"]

MAX_LISTED: Final = 200
MAX_TAGS: Final = 20
MAX_TAG_CHARS: Final = 40
MAX_FOLDERS: Final = 1000
MAX_HEADINGS: Final = 1000
MAX_PASSAGES: Final = 2000
KEPT_S: Final = 60.0
"""So long what was deleted can be brought back."""


@dataclass(frozen=True)
class Wanted:
    """Which documents are to be listed, and in which order. Empty texts filter nothing."""

    text: str = ""
    """Stands in the name or title, or all its words in one passage."""
    tag: str = ""
    state: str = ""
    folder: str = ""
    """Names that begin with it and a slash."""
    sort: Sort = "name"
    descending: bool = False
    offset: int = 0
    limit: int = 50


@dataclass(frozen=True)
class LibraryDocument:
    """A document in the list."""

    info: DocumentInfo
    language: str
    """That of most of its passages, ISO 639-1; empty where it has none."""
    added_at: str
    """When it was read last, ISO 8601 in UTC."""
    tags: tuple[str, ...]
    found: Literal["", "name", "content"]
    """Where what was looked for stands."""


@dataclass(frozen=True)
class Totals:
    """What is in somebody's library."""

    documents: int
    passages: int
    bytes: int
    failed: int
    by_kind: dict[str, tuple[int, int]]
    """Documents and bytes."""
    added: list[tuple[str, int, int]]
    """Day, documents and bytes that came on it, as they are now."""
    tags: dict[str, int]
    folders: list[tuple[str, str, int]]
    """Owner, folder and how many documents lie right in it."""


@dataclass(frozen=True)
class Outline:
    """What a document is made of."""

    characters: int
    pages: tuple[PageSpan, ...]
    headings: tuple[HeadingSpan, ...]
    passages: tuple[tuple[int, int, int, str], ...]
    """Id, start, end and heading of each."""


def tidy_tag(tag: str) -> str:
    """Return a tag as it is kept: in lower case, one space between its words, bounded."""
    return " ".join(tag.casefold().split())[:MAX_TAG_CHARS].strip()
