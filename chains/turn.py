"""A turn on its way through the answer chain."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from chains.memory import Exchange
from chains.prompt_builder import Prompt
from chains.summary import Plan, Said
from chains.types import Answer, Passage, Question, TurnTimings
from core.errors import XoeError


@dataclass(frozen=True)
class Turn:
    """What is known of a turn so far."""

    question: Question
    started: float = field(default_factory=time.perf_counter)
    exchanges: tuple[Exchange, ...] = ()
    passages: tuple[Passage, ...] = ()
    orders: tuple[Passage, ...] = ()
    """What speaks of what is asked, but orders its reader about: never evidence."""
    grounds: bool = True
    """Whether the answer must come from the passages."""
    answerable: bool = False
    """Whether a passage is close enough to the question."""
    follows_up: bool = False
    """Whether the question needs the one before it."""
    settled: Answer | None = None
    """An answer that needs no model."""
    plan: Plan | None = None
    """A document that is to be summed up instead of a prompt."""
    prompt: Prompt | None = None
    library_lost: bool = False
    """Whether the documents should have been searched and could not be."""
    model_fault: XoeError | None = None
    """Why there is no prompt."""
    timings: TurnTimings = field(default_factory=TurnTimings)

    def elapsed_ms(self) -> float:
        """Return the time since the question came."""
        return (time.perf_counter() - self.started) * 1000


@dataclass
class Writing:
    """What the model has written so far."""

    timings: TurnTimings
    text: str = ""
    said: list[tuple[Said, ...]] = field(default_factory=list)
    """Of a summary, what was checked of each step."""

    def add(self, piece: str, elapsed_ms: float) -> None:
        """Take a piece that came ``elapsed_ms`` after the question."""
        if not self.text:
            self.timings = replace(self.timings, first_token=elapsed_ms)
        self.text += piece
