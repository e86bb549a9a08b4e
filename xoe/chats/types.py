"""A chat as it is kept for good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Role = Literal["user", "assistant"]

LINK_DAYS: Final = 7.0
"""How long a read-only link lasts, if nothing else is asked for."""


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
    title: str = ""
    """The document's title."""
    heading: str = ""
    """The headings above the quote, outermost first, joined with `` › ``."""


@dataclass(frozen=True)
class StoredFile:
    """A file that was dropped into a chat, and what came of it."""

    name: str
    state: str
    """``ready``, ``unchanged``, ``failed`` or ``stopped``."""
    passages: int = 0
    pages: int | None = None
    reason: str = ""
    """Why it failed."""


@dataclass(frozen=True)
class StoredFeedback:
    """What the reader thought of an answer."""

    id: str
    good: bool
    reason: str = ""


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
    """Of an answer, what of the system gave it (``state.ladder.Level``)."""
    note: str = ""
    """One quiet line for the reader: what was missing, or that it was stopped."""
    citations: tuple[StoredCitation, ...] = ()
    nearest: tuple[StoredCitation, ...] = ()
    """What was shown beside an answer that cites nothing: the nearest passages."""
    files: tuple[StoredFile, ...] = ()
    """Of a question, what was dropped with it."""
    feedback: StoredFeedback | None = None
    remembered: bool = False
    """Whether it belongs to what the model is told of the chat: what was stopped does not."""
    outcome: str = ""
    """Of an answer, what it was (``chains.types.Outcome``); empty where the library was not asked,
    or nothing of it is known."""


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
    profile: str = ""
    """The model that was picked."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the settings panel said."""


@dataclass(frozen=True)
class ThreadSummary:
    """A chat in the list."""

    id: str
    name: str
    used_at: float
    """Seconds since 1970: when something was said last."""
    excerpt: str = ""
    """Of a chat that was searched for, the words round the place found."""


@dataclass(frozen=True)
class ThreadPage:
    """A piece of the list, the chat used last first."""

    threads: tuple[ThreadSummary, ...]
    next: str | None
    """Where the next piece begins; ``None`` at the end."""


@dataclass(frozen=True)
class KeptTurn:
    """A turn that the model is told of: what goes into the chat's history."""

    asked_id: str
    answer_id: str
    question: str
    answer: str
    asked_at: float
    answered_at: float
    asked_extra: Mapping[str, Any] | None = None
    answer_extra: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Standing:
    """How a chat's turns stand in the database."""

    state: Literal["kept", "absent", "deleted"]
    turns: tuple[KeptTurn, ...] = ()
    """The latest that the model is told of, oldest first."""
    known: frozenset[str] = frozenset()
    """Of the answers asked about, those that the database has or has taken out."""
