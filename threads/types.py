"""A chat as it is kept for good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["user", "assistant"]


@dataclass(frozen=True)
class StoredCitation:
    """A sentence of a document that supports a sentence of an answer, as it was then."""

    number: int
    """1-based; ``[number]`` stands in the answer's text."""
    source: str
    """The document's name as its owner knows it."""
    page: int | None
    """1-based; ``None`` where the format has no pages."""
    quote: str
    """``passage[start:end]``."""
    passage: str
    """The text round the quote, for the side panel."""
    start: int
    """Where the quote begins in ``passage``, in characters."""
    end: int


@dataclass(frozen=True)
class StoredMessage:
    """One question or one answer."""

    id: str
    role: Role
    text: str
    """What was asked, or the answer's Markdown with ``[n]`` where a citation supports it. It is
    what the model wrote: it must be made safe before it is shown."""
    at: float
    """Seconds since 1970."""
    level: str = "full"
    """Of an answer, what of the house gave it (``state.ladder.Level``)."""
    note: str = ""
    """One quiet line for the reader: what was missing, or that it was stopped."""
    citations: tuple[StoredCitation, ...] = ()


@dataclass(frozen=True)
class StoredThread:
    """A chat and the messages of it that were asked for, oldest first."""

    id: str
    owner: str
    """``Identity.id`` of whose it is."""
    name: str
    created_at: float
    """Seconds since 1970."""
    messages: tuple[StoredMessage, ...] = ()
