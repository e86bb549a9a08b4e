"""What is handed from stage to stage while a question is answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from core.settings import LlmProfile
from ingest.scope import Scope
from state.ladder import Level

LIBRARY_OWNER = "library"
OWN = ":own"
"""A category: the asker's own documents. No folder's name begins with a colon."""
SHARED = ":shared"
"""A category: the shared library, all of its folders and what lies in none."""
LOOSE = ":loose"
"""A category: of the shared library what lies in no folder."""
WHOLES = (OWN, SHARED, LOOSE)
MAX_CATEGORIES = 50
"""Folders that can be picked, those with the most documents."""
INTERRUPTED = "You interrupted here."
"""The note of a spoken answer of which only a part was heard."""


@dataclass(frozen=True)
class Question:
    """A question and how it is to be answered. ``None`` means the setting's default."""

    text: str
    session_id: str
    owner: str
    """Whose own documents are searched beside the shared library, e.g. ``session:ab12``."""
    use_library: bool = True
    categories: tuple[str, ...] = ()
    """What of the library is asked: folders at the top of the shared documents, and ``OWN``,
    ``SHARED`` and ``LOOSE``. Empty: all of it."""
    max_tokens: int | None = None
    passages: int | None = None
    profile: LlmProfile | None = None
    kind: Literal["typed", "spoken", "api"] = "typed"
    """How it was asked. A spoken answer is read out, so it should be short."""
    temperature: float = 0.0
    """0: the likeliest answer. Above it another one each time; asking again wants one."""
    asked_id: str = ""
    """Id of the question on the page, and …"""
    answer_id: str = ""
    """… of its answer. Empty for a program's, which is kept in no chat."""

    @property
    def scope(self) -> Scope:
        """Which documents are asked."""
        if not self.categories:
            return Scope.of(LIBRARY_OWNER, self.owner)
        own = (self.owner,) if OWN in self.categories and self.owner != LIBRARY_OWNER else ()
        if SHARED in self.categories:
            return Scope.of(LIBRARY_OWNER, *own)
        folders = tuple(
            "" if one == LOOSE else one for one in sorted(self.categories) if one != OWN
        )
        return Scope(own, LIBRARY_OWNER if folders else "", folders)

    @property
    def spoken(self) -> bool:
        """Whether the answer is read out."""
        return self.kind == "spoken"


@dataclass(frozen=True)
class Passage:
    """A window of sentences round the best one of a chunk."""

    chunk_id: int
    document_id: int
    source: str
    """The document's name as the user knows it, e.g. ``handbook.pdf`` or ``guide/voice.md``."""
    title: str
    heading: str
    page: int | None
    """1-based; ``None`` where the format has no pages."""
    text: str
    start: int
    """Offset of ``text`` in the document's extracted text, in characters."""
    best_start: int
    """Offset of the best sentence in the document's extracted text."""
    best_end: int
    score: float
    """Fused score, 0 to 1; comparable within one search."""
    language: str = "en"
    """ISO 639-1."""

    @property
    def end(self) -> int:
        """Offset of the end of ``text`` in the document's extracted text."""
        return self.start + len(self.text)

    @property
    def best_sentence(self) -> str:
        """The sentence that answers best."""
        return self.text[self.best_start - self.start : self.best_end - self.start]


@dataclass(frozen=True)
class Citation:
    """A sentence of a document that supports a sentence of the answer."""

    number: int
    """1-based; ``[number]`` stands in the answer's text."""
    document_id: int
    chunk_id: int
    source: str
    title: str
    heading: str
    """The headings above the quote, outermost first, joined with `` › ``."""
    page: int | None
    quote: str
    """``document_text[start:end]``."""
    start: int
    end: int
    passage: str
    """The text round the quote, for the side panel."""
    passage_start: int
    """Offset of ``passage`` in the document's text: the quote is ``start - passage_start`` in."""


@dataclass(frozen=True)
class Verdict:
    """What the checker says of whether a passage states the answer to exactly this question."""

    answers: bool
    passage: Passage
    """The one that is likeliest to answer."""
    score: float
    """Logit of yes minus logit of no, for that passage."""
    checker: str
    """The profile of the model that was asked."""


@dataclass(frozen=True)
class TurnTimings:
    """Milliseconds of each stage of one turn; ``None`` where the stage did not run."""

    history: float | None = None
    retrieval: float | None = None
    check: float | None = None
    prompt: float | None = None
    queue: float | None = None
    """From handing the prompt to the engine until the worker takes it up."""
    first_token: float | None = None
    """From the question until the first token."""
    total: float | None = None


class Outcome(StrEnum):
    """What a reply is to whoever asked the library; named so wherever it is shown, sent or kept."""

    ANSWERED = "answered"
    """Every part of the answer that states something is supported by a citation."""
    NEAREST = "nearest_passages"
    """The passages that fit best, quoted: whether they answer is for the reader to say."""
    ABSENT = "not_in_library"
    """No passage is close to what was asked."""


@dataclass(frozen=True)
class Answer:
    """A finished answer."""

    text: str
    """Markdown with ``[n]`` after each sentence that a citation supports."""
    citations: tuple[Citation, ...]
    outcome: Outcome | None
    """``None`` where the library was not asked, or could not be."""
    timings: TurnTimings = field(default_factory=TurnTimings)
    level: Level = Level.FULL
    """What of the house answered: below ``FULL`` a part had failed."""
    note: str = ""
    """One quiet line for the reader: what was missing."""
    checked_by: str = ""
    """The model that was asked whether the passages answer; empty where none was in time."""

    @property
    def grounded(self) -> bool:
        """Whether it is an answer, every statement of which is cited."""
        return self.outcome is Outcome.ANSWERED


@dataclass(frozen=True)
class Queued:
    """The question waits; ``place`` others are ahead of it (0: it is next)."""

    place: int


@dataclass(frozen=True)
class Progress:
    """How far the reading of a whole document is: the model reads ``part`` of ``parts``."""

    part: int
    """1-based."""
    parts: int
    document: str
    """The document as the answer calls it, in Markdown."""


@dataclass(frozen=True)
class Sources:
    """The best quoted sentences, before the model's first token; may be empty."""

    citations: tuple[Citation, ...]


@dataclass(frozen=True)
class Token:
    """A piece of the answer: as the model writes it, or what has passed the check of it."""

    text: str
    citations: tuple[Citation, ...] = ()
    """What the marks of all pieces so far count; none where nothing is checked."""


@dataclass(frozen=True)
class Done:
    """The finished answer, which begins with what was streamed."""

    answer: Answer


AnswerEvent = Queued | Sources | Progress | Token | Done
