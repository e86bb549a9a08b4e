"""Whether any passage is close enough to the question to answer from."""

from __future__ import annotations

from chains.retriever import SearchResult

COVERAGE_WEIGHT = 0.05
THRESHOLD = 0.505
"""``xoe bench retrieval`` prints what this lets through when the article is in the library, and
what it stops when it is not. What slips through is checked again when the answer is there,
sentence by sentence."""

WORDS_THRESHOLD = 0.3
"""Of the question's words, where only they can be compared."""


def is_answerable(result: SearchResult) -> bool:
    """Tell whether the library seems to speak of what is asked: of documents named, it does."""
    if not result.passages or result.named:
        return bool(result.passages)
    if result.similarity is None:
        return result.coverage >= WORDS_THRESHOLD
    return result.similarity + COVERAGE_WEIGHT * result.coverage >= THRESHOLD
