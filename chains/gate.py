"""Whether any passage is close enough to the question to answer from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from chains.constraints import Constraint, unmet
from chains.retriever import SearchResult
from chains.types import Passage

COVERAGE_WEIGHT = 0.5
THRESHOLD = 0.45
"""On 300 SQuAD 2.0 questions this lets 99 % through when the article is in the library, and stops
82 % when it is not (``xoe bench retrieval`` prints both). What slips through is checked again
when the answer is there, sentence by sentence."""


def support(result: SearchResult) -> float:
    """Return how well the best passage fits: its cosine and the words it shares, 0 to 1.5."""
    return result.similarity + COVERAGE_WEIGHT * result.coverage


def is_answerable(result: SearchResult) -> bool:
    """Tell whether the library seems to speak of what is asked."""
    return bool(result.passages) and support(result) >= THRESHOLD


def lacking(
    question: str, passages: Sequence[Passage], chunks: Mapping[int, str]
) -> tuple[Constraint, ...]:
    """Return what the question, as it was asked, demands and the evidence does not hold.

    ``chunks``: the text of each passage's chunk by its id. It counts whole, as what tells the year
    may stand a sentence before the window.
    """
    texts = [f"{one.title} {one.heading}\n{chunks.get(one.chunk_id, one.text)}" for one in passages]
    return unmet(question, texts)
