"""Answers for when a part of the house fails: what is still true, and a line that says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chains.citations import CitationList, best_support
from chains.compose import NEAREST
from chains.draft import Draft
from chains.phrases import said
from chains.quotation import quotation
from chains.types import Answer, Outcome, Passage
from ingest.language import ENGLISH
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

NO_MODEL = (
    "I cannot answer just now: the language model does not answer. Your question is kept; please "
    "ask it again in a moment."
)
NOTHING = (
    "I cannot answer just now: neither can the documents be searched nor does the language model "
    "answer. Your question is kept; please ask it again in a moment."
)


def labelled_direct(answer: Answer, *, language: str = ENGLISH) -> Answer:
    """Return an answer that the model gave because the documents could not be searched."""
    return replace(answer, level=Level.DIRECT, note=said(WITHOUT_LIBRARY, language))


def extractive(
    passages: Sequence[Passage],
    note: str,
    *,
    language: str = ENGLISH,
    begun: Draft | None = None,
) -> Answer:
    """Return the passages' best sentences, quoted and cited; ``passages`` has one at least.

    ``begun``: what the model wrote before it failed; what had passed of it stays, and is not quoted
    again below it.
    """
    numbers = CitationList()
    parts = [said(NEAREST, language)]
    if begun is not None:
        begun.stop()
        numbers = begun.numbers if begun.text else numbers
        parts = [begun.text, *parts] if begun.text else parts
    cited = len(numbers.all())
    for passage in passages[:MAX_QUOTES]:
        best = best_support(passage)
        if passage.score >= QUOTED_SCORE * passages[0].score and numbers.number(best) > cited:
            parts.append(quotation(best, numbers.number(best)))
    if len(numbers.all()) == cited:
        parts.pop()
    note = said(note, language)
    text = "\n\n".join(parts)
    return Answer(text, numbers.all(), Outcome.NEAREST, level=Level.EXTRACTIVE, note=note)


def template(*, library_lost: bool, language: str = ENGLISH) -> Answer:
    """Return the reply for when nothing can answer; the question is kept by whoever shows it."""
    text = said(NOTHING if library_lost else NO_MODEL, language)
    return Answer(text, (), None, level=Level.TEMPLATE)
