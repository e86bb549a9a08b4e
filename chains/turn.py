"""A turn on its way through the answer chain."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from chains.antecedents import Said
from chains.draft import Draft
from chains.memory import Exchange
from chains.prompt_builder import Prompt
from chains.summary import Plan, Reported
from chains.types import Answer, Passage, Question, Queued, Token, TurnTimings, Verdict
from chains.yes_no import ruling
from core.errors import XoeError
from ingest.language import ENGLISH


@dataclass(frozen=True)
class Turn:
    """What is known of a turn so far."""

    question: Question
    started: float = field(default_factory=time.perf_counter)
    standing_alone: str = ""
    """The question so that it needs no turn before it; empty where it is as it was asked."""
    exchanges: tuple[Exchange, ...] = ()
    passages: tuple[Passage, ...] = ()
    orders: tuple[Passage, ...] = ()
    """What speaks of what is asked, but orders its reader about: never evidence."""
    grounds: bool = True
    """Whether the answer must come from the passages."""
    answerable: bool = False
    """Whether a passage is close enough to the question."""
    strays: bool = False
    """Whether the best passage tells of another act, or of the same with the roles exchanged."""
    language: str = ENGLISH
    """In which the answer is, ISO 639-1."""
    is_foreign: bool = False
    """Whether no document that may be searched is in the question's language."""
    searched: str = ""
    """What was searched for: the question in full. Empty where passages were chosen in another
    way, which no passage's words can be checked against."""
    settled: Answer | None = None
    """An answer that needs no model."""
    verdict: Verdict | None = None
    """What the checker said of the passages, where it was asked ahead."""
    plan: Plan | None = None
    """A document that is to be summed up instead of a prompt."""
    prompt: Prompt | None = None
    library_lost: bool = False
    """Whether the documents should have been searched and could not be."""
    model_fault: XoeError | None = None
    """Why there is no prompt."""
    timings: TurnTimings = field(default_factory=TurnTimings)

    @property
    def is_refused(self) -> bool:
        """Whether the checker has said that no passage answers."""
        return self.verdict is not None and not self.verdict.answers

    @property
    def is_ruled(self) -> bool:
        """Whether a sentence gives a sure yes or no, which no checker need be asked about."""
        found = ruling(self.in_full, self.passages, self.language)
        return found is not None and found.is_sure

    @property
    def is_restricted(self) -> bool:
        """Whether only a part of the library was asked."""
        asked = self.question.use_library and (self.grounds or self.settled is not None)
        return asked and bool(self.question.categories)

    @property
    def said(self) -> tuple[Said, ...]:
        """The turns before, as a question that leans on them needs them."""
        return tuple(Said(exchange.in_full, exchange.answer) for exchange in self.exchanges)

    @property
    def in_full(self) -> str:
        """The question so that it needs no turn before it."""
        return self.standing_alone or self.question.text

    @property
    def follows_up(self) -> bool:
        """Whether the question needs the ones before it."""
        return bool(self.exchanges) and self.in_full != self.question.text

    def elapsed_ms(self) -> float:
        """Return the time since the question came."""
        return (time.perf_counter() - self.started) * 1000


@dataclass
class Writing:
    """What the model has written so far."""

    timings: TurnTimings
    text: str = ""
    draft: Draft | None = None
    """What has passed of it, where it must come from the passages."""
    said: list[tuple[Reported, ...]] = field(default_factory=list)
    """Of a summary, what was checked of each step."""

    @classmethod
    def of(cls, turn: Turn) -> Writing:
        """Return what is written of a turn, nothing yet."""
        if not turn.grounds or turn.prompt is None:
            return cls(turn.timings)
        draft = Draft(turn.passages, turn.in_full, language=turn.language)
        return cls(turn.timings, draft=draft)

    def take(self, event: Queued | Token, elapsed_ms: float) -> Queued | Token | None:
        """Take what came ``elapsed_ms`` after the question; return what can be shown because of it.

        Where nothing is checked that is the event itself.
        """
        if isinstance(event, Queued):
            return event
        if not self.text:
            self.timings = replace(self.timings, first_token=elapsed_ms)
        self.text += event.text
        if self.draft is None:
            return event
        return self._token(self.draft, self.draft.feed(event.text))

    def finished(self) -> Token | None:
        """Return what can be shown because nothing more comes."""
        return None if self.draft is None else self._token(self.draft, self.draft.finish())

    def _token(self, draft: Draft, shown: str) -> Token | None:
        return Token(shown, draft.citations) if shown else None
