"""Whether any passage is close enough to the question to answer from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chains.citations import best_support
from chains.constraints import Constraint, unmet
from chains.retriever import SearchResult
from chains.types import Passage

COVERAGE_WEIGHT = 0.05
THRESHOLD = 0.505
"""``xoe bench retrieval`` prints what this lets through when the article is in the library, and
what it stops when it is not. What slips through is checked again when the answer is there,
sentence by sentence."""

WORDS_THRESHOLD = 0.25
"""Of the question's words, where only they tell: on 48 questions in German, French, Spanish,
Italian, Portuguese and Dutch it let all through, and stopped 23 of 26 that no text answers."""


def support(result: SearchResult) -> float:
    """Return how well the best passage fits, about 0 to 1: by its tokens, or by words alone."""
    if result.similarity is None:
        return result.coverage
    return result.similarity + COVERAGE_WEIGHT * result.coverage


def is_answerable(result: SearchResult) -> bool:
    """Tell whether the library seems to speak of what is asked: of documents named, it does."""
    if not result.passages or result.named:
        return bool(result.passages)
    least = WORDS_THRESHOLD if result.similarity is None else THRESHOLD
    return support(result) >= least


def lacking(
    question: str, passages: Sequence[Passage], chunks: Mapping[int, str]
) -> tuple[Constraint, ...]:
    """Return what the question, as it was asked, demands and the evidence does not hold.

    ``chunks``: the text of each passage's chunk by its id. It counts whole, as what tells the year
    may stand a sentence before the window.
    """
    texts = [
        f"{one.title} {one.heading}.\n{chunks.get(one.chunk_id, one.text)}" for one in passages
    ]
    return unmet(question, texts, best_support(passages[0]).text if passages else None)
