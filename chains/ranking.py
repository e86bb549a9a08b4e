"""What was found, ranked again by its tokens: chunks first, then their sentences.

Where the engine that compares tokens is away, what the fusion and the words say stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from chains import lexical
from core.errors import ModelError
from ingest.embedder import Embedder
from ingest.instructions import instruction_spans
from ingest.late_interaction import MAX_START, Span
from ingest.passages import StoredChunk
from ingest.sentences import sentence_spans
from ingest.splitter import HEADING_SEPARATOR, cells, columns_in, is_rule
from ingest.vectors import EncodedQuestion

_FENCE = re.compile(r"(?:```|~~~)\S*")
"""Round code in Markdown."""

log = structlog.get_logger(__name__)

RANKING_WEIGHT = 0.8
"""Of a chunk's tokens against the fusion's score."""

SENTENCE_WEIGHT = 1.0
MEANING_WEIGHT = 0.7
"""Of a sentence's tokens against the question's words that stand in it."""
ROW_MEANING_WEIGHT = 0.4
"""The same of a row of a table: to the model its figures are much like those of the next one."""

NEIGHBOUR_WEIGHT = 0.15
"""Of each neighbour's fit: a pronoun's antecedent often stands one sentence before. A row of a
table leans on no other, so its own counts in their place."""

FOREIGN_SHARE = 0.5
"""Of its scores and of its coverage that a chunk in another language than the question keeps: a
word that two languages share is a name, or an accident."""


@dataclass(frozen=True)
class Candidate:
    """A sentence that may answer, in its chunk."""

    chunk: StoredChunk
    score: float
    spans: tuple[tuple[int, int], ...]
    """The chunk's sentences, offsets in the chunk."""
    best: int

    @property
    def orders(self) -> tuple[tuple[int, int], ...]:
        """Those of the sentences that are orders to their reader."""
        return instruction_spans(self.chunk.text)

    @property
    def is_row(self) -> bool:
        """Whether the best one is a row of a table with a head."""
        return _is_row(self.chunk, self.spans[self.best])

    @property
    def is_order(self) -> bool:
        """Whether the best one orders its reader about."""
        return self.spans[self.best] in self.orders


def _is_row(chunk: StoredChunk, span: Span) -> bool:
    columns = columns_in(chunk.heading)
    return len(cells(chunk.text[slice(*span)])) == len(columns) > 1


def _is_head(chunk: StoredChunk, span: Span) -> bool:
    """Tell whether a row only names the columns, or parts their names from the rows."""
    row = chunk.text[slice(*span)]
    columns = columns_in(chunk.heading)
    return len(columns) > 1 and (cells(row) == columns or is_rule(row))


class Ranking:
    """Ranks what was found by its tokens, as long as the engine that does it answers."""

    def __init__(
        self,
        embedder: Embedder,
        question: EncodedQuestion | None,
        chunk_ids: Iterable[int],
        tokens: Sequence[bytes],
    ) -> None:
        """Rank for ``question``; ``tokens`` are those of ``chunk_ids``."""
        self.embedded = question is not None
        self._embedder = embedder
        self._question = question
        self._tokens = dict(zip(chunk_ids, tokens, strict=True))
        self.similarities: dict[int, float] = {}
        """The chunks' own scores, as the engine gave them; comparable between questions."""

    def by_chunk(self, fused: dict[int, float]) -> dict[int, float]:
        """Return the scores of the fusion and of the tokens together, 0 to 1."""
        whole = [(chunk_id, [(0, MAX_START + 1)]) for chunk_id in fused]
        found = [of_chunk[0] for of_chunk in self.of_spans(whole)]
        self.similarities = dict(zip(fused, found, strict=False))
        scores = _spread(found)
        return {
            chunk_id: (1 - RANKING_WEIGHT) * score + RANKING_WEIGHT * again
            for (chunk_id, score), again in zip(fused.items(), scores, strict=False)
        } or fused

    def of_spans(self, spans: Sequence[tuple[int, Sequence[Span]]]) -> list[list[float]]:
        """Return each span's score, for each chunk; empty where they cannot be ranked now."""
        tokens = [self._tokens[chunk_id] for chunk_id, _ in spans]
        if self._question is None or not all(tokens):
            return []
        try:
            return self._embedder.rank(self._question, tokens, [of_chunk for _, of_chunk in spans])
        except ModelError as exc:
            log.warning("retrieval.not_ranked", error=type(exc).__name__)
            self._question = None
            return []


def rank_sentences(
    chunks: Sequence[StoredChunk],
    scores: dict[int, float],
    weights: Mapping[str, Mapping[str, float]],
    ranking: Ranking | None,
    spoken: Sequence[str] = (),
) -> list[Candidate]:
    """Return the sentences of ``chunks``, in no order.

    ``scores``: the chunks' own, by id. ``weights``: of the question's stems, by language. Without
    ``ranking`` only the words count. ``spoken``: the languages that the question may be in.
    """
    spans = [_sentences(chunk) for chunk in chunks]
    words = [
        [
            overlap(
                weights.get(chunk.language, {}),
                lexical.held_stems(chunk.text[a:b], chunk.language),
            )
            for a, b in of_chunk
        ]
        for chunk, of_chunk in zip(chunks, spans, strict=True)
    ]
    if ranking is not None:
        words = _with_meaning(words, chunks, spans, ranking)
    found = []
    for chunk, of_chunk, fits in zip(chunks, spans, words, strict=True):
        share = language_share(chunk.language, spoken)
        padded = [0.0, *(share * fit for fit in fits), 0.0]
        for i in range(len(of_chunk)):
            if len(of_chunk) > 1 and _is_head(chunk, of_chunk[i]):
                continue
            candidate = Candidate(chunk, scores[chunk.id], of_chunk, i)
            own = padded[i + 1]
            beside = 2 * own if candidate.is_row else padded[i] + padded[i + 2]
            score = candidate.score + SENTENCE_WEIGHT * own + NEIGHBOUR_WEIGHT * beside
            found.append(replace(candidate, score=score))
    return found


def language_share(language: str, spoken: Sequence[str]) -> float:
    """Return how much what is in ``language`` counts for a question in one of ``spoken``."""
    return FOREIGN_SHARE if spoken and language not in spoken else 1.0


def _with_meaning(
    words: list[list[float]],
    chunks: Sequence[StoredChunk],
    spans: Sequence[tuple[Span, ...]],
    ranking: Ranking,
) -> list[list[float]]:
    """Mix how well the sentences' tokens fit into how many of the question's words they hold."""
    places = []
    for chunk, of_chunk in zip(chunks, spans, strict=True):
        before = len(chunk.heading) + 1  # what is read begins with the headings, on a line
        places.append((chunk.id, [(before + start, before + end) for start, end in of_chunk]))
    scores = ranking.of_spans(places)
    if not scores:
        return words
    spread = iter(_spread([score for of_chunk in scores for score in of_chunk]))
    mixed = []
    for chunk, of_chunk, fits in zip(chunks, spans, words, strict=True):
        weights = [
            ROW_MEANING_WEIGHT if _is_row(chunk, span) else MEANING_WEIGHT for span in of_chunk
        ]
        pairs = zip(weights, fits, strict=True)
        mixed.append([(1 - weight) * word + weight * next(spread) for weight, word in pairs])
    return mixed


def _sentences(chunk: StoredChunk) -> tuple[Span, ...]:
    """Return the sentences that say something; where all are headings, those."""
    spans = [
        (start, end)
        for start, end in sentence_spans(chunk.text)
        if not is_rule(chunk.text[start:end]) and not _FENCE.fullmatch(chunk.text[start:end])
    ]
    said = [span for span in spans if not _is_heading(chunk.text[slice(*span)], chunk.heading)]
    return tuple(said or spans)


def _spread(scores: Sequence[float]) -> list[float]:
    """Scale scores so that they go from 0 to 1."""
    low, high = min(scores, default=0.0), max(scores, default=1.0)
    return [(score - low) / max(high - low, 1e-9) for score in scores]


def _is_heading(sentence: str, heading: str) -> bool:
    bare = sentence.lstrip("# ").rstrip(":").strip()
    return sentence.startswith("#") or bare in heading.split(HEADING_SEPARATOR)


def overlap(weights: Mapping[str, float], stems: frozenset[str]) -> float:
    """Return the share of the question's weighted words that are among ``stems``."""
    total = sum(weights.values())
    return sum(weights[stem] for stem in weights if stem in stems) / total if total else 0.0
