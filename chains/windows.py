"""What the model reads of a chunk: a window of sentences round the best one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from chains import lexical
from chains.contradictions import contradicts
from chains.ranking import Candidate
from chains.types import Passage
from ingest.passages import StoredChunk

DUPLICATE_OVERLAP = 0.85
"""Jaccard overlap of stems from which a passage repeats an earlier one."""

WINDOW_TOKENS = 120
"""Length of a window at most, unless its best sentence alone is longer."""

JOINED_TOKENS = 180
"""The same for windows that touch and become one."""

PageOf = Callable[[int, int], int | None]
"""Returns the page of an offset in a document, by its id; None where there are none."""


def windows(
    ranked: Iterable[Candidate], limit: int, question: str, page_of: PageOf
) -> tuple[Passage, ...]:
    """Return the best windows: touching ones as one, and none that only repeats another."""
    passages: list[Passage] = []
    seen: list[frozenset[str]] = []
    highest = 0.0
    for candidate in ranked:
        highest = max(highest, candidate.score, 1e-9)
        passage = window(candidate, candidate.score / highest, page_of)
        touched = [n for n, other in enumerate(passages) if _touch(other, passage, candidate)]
        if touched:
            joined = _joined(passages[touched[0]], passage, candidate.chunk)
            if (
                len(touched) == 1
                and not candidate.is_order
                and lexical.estimated_tokens(joined.text) <= JOINED_TOKENS
            ):
                passages[touched[0]] = joined
                seen[touched[0]] = lexical.content_stems(joined.text, joined.language)
            continue
        stems = lexical.content_stems(passage.text, passage.language)
        if any(
            _jaccard(stems, other) >= DUPLICATE_OVERLAP
            and not contradicts(
                passage.best_sentence,
                before.best_sentence,
                question,
                headings=(passage.heading, before.heading),
                language=passage.language,
            )
            for other, before in zip(seen, passages, strict=True)
        ):
            continue
        passages.append(passage)
        seen.append(stems)
        if len(passages) == limit:
            break
    return tuple(passages)


def window(candidate: Candidate, score: float, page_of: PageOf) -> Passage:
    """Return the window round a sentence."""
    chunk, spans = candidate.chunk, candidate.spans
    first = last = candidate.best
    orders = candidate.orders
    kinds = [span in orders for span in spans]

    def fits(begin: int, end: int) -> bool:
        if kinds[begin] != kinds[candidate.best] or kinds[end] != kinds[candidate.best]:
            return False
        text = chunk.text[spans[begin][0] : spans[end][1]]
        return lexical.estimated_tokens(text) <= WINDOW_TOKENS

    # Grow to a sentence before and one after of the same kind, as far as the length allows.
    # A row of a table says all by itself, as its columns' names are known.
    if not candidate.is_row:
        if first > 0 and fits(first - 1, last):
            first -= 1
        if last + 1 < len(spans) and fits(first, last + 1):
            last += 1
    best_start, best_end = spans[candidate.best]
    start, end = spans[first][0], spans[last][1]
    page = page_of(chunk.document_id, chunk.start + best_start)
    return Passage(
        chunk_id=chunk.id,
        document_id=chunk.document_id,
        source=chunk.source,
        title=chunk.title,
        heading=chunk.heading,
        page=page,
        text=chunk.text[start:end],
        start=chunk.start + start,
        best_start=chunk.start + best_start,
        best_end=chunk.start + best_end,
        score=score,
        language=chunk.language,
    )


def _touch(passage: Passage, other: Passage, candidate: Candidate) -> bool:
    """Tell whether two windows overlap, or nothing is between them that says anything."""
    if passage.document_id != other.document_id:
        return False
    first, last = sorted((passage, other), key=lambda one: one.start)
    if last.start < first.end:
        return True
    if candidate.is_row:  # says all by itself
        return False
    offset = candidate.chunk.start
    return passage.chunk_id == other.chunk_id and not any(
        first.end <= offset + start < last.start for start, _ in candidate.spans
    )


def _joined(passage: Passage, other: Passage, chunk: StoredChunk) -> Passage:
    """Return the window that covers both; what is best stays so."""
    start, end = min(passage.start, other.start), max(passage.end, other.end)
    return replace(passage, start=start, text=chunk.text[start - chunk.start : end - chunk.start])


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b) if a and b else 0.0
