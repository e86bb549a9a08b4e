"""Answers for when a part of the house fails: what is still true, and a line that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chains.citations import CitationList, best_support
from chains.compose import NEAREST
from chains.types import Answer, Outcome, Passage
from state.ladder import Level

MAX_QUOTES = 3
QUOTED_SCORE = 0.5
"""Of the best passage's score: a weaker one is not quoted beside it."""

WITHOUT_LIBRARY = (
    "Your documents cannot be searched just now, so this is the model's own answer, without "
    "sources."
)
WITHOUT_MODEL = (
    "The language model does not answer just now, so these are the passages that fit best, as "
    "they stand."
)
MODEL_BUSY = (
    "Too many questions are waiting for the language model, so these are the passages that fit "
    "best, as they stand."
)
MEMORY_SHORT = (
    "Memory is nearly used up, so these are the passages that fit best, without the language model."
)

_NOTHING = (
    "I cannot answer just now: {what}. Your question is kept; please ask it again in a moment."
)
_BOTH = "neither can the documents be searched nor does the language model answer"
_MODEL = "the language model does not answer"


def labelled_direct(answer: Answer) -> Answer:
    """Return an answer that the model gave because the documents could not be searched."""
    return replace(answer, level=Level.DIRECT, note=WITHOUT_LIBRARY)


def extractive(passages: Sequence[Passage], note: str) -> Answer:
    """Return the passages' best sentences, quoted and cited; ``passages`` has one at least."""
    numbers = CitationList()
    quotes = [
        f"> {' '.join(passage.best_sentence.split())} [{numbers.number(best_support(passage))}]"
        for passage in passages[:MAX_QUOTES]
        if passage.score >= QUOTED_SCORE * passages[0].score
    ]
    text = f"{NEAREST}\n\n" + "\n\n".join(quotes)
    return Answer(text, numbers.all(), Outcome.NEAREST, level=Level.EXTRACTIVE, note=note)


def template(*, library_lost: bool) -> Answer:
    """Return the reply for when nothing can answer; the question is kept by whoever shows it."""
    text = _NOTHING.format(what=_BOTH if library_lost else _MODEL)
    return Answer(text, (), None, level=Level.TEMPLATE)
