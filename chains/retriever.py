"""Hybrid retrieval: BM25 and dense candidates, fused by chunk, then by sentence.

The fusion is a convex combination of min-max scaled scores (Bruch et al. 2023), which beat
reciprocal rank fusion here. What comes out is a window of sentences round the best one: it holds
the answer about as often as the whole paragraph does, at less than half the tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import structlog

from chains import lexical
from chains.contradictions import contradicts
from chains.types import Passage
from core.errors import ModelError
from ingest.embedder import Embedder
from ingest.instructions import instruction_spans
from ingest.passages import StoredChunk
from ingest.sentences import sentence_spans
from ingest.store import Store
from ingest.vector_index import VectorIndexes
from ingest.vectors import Vectors

log = structlog.get_logger(__name__)

CANDIDATES = 50
"""Chunks taken from each side before fusion."""

RANKED_CHUNKS = 8
"""Chunks whose sentences are compared."""

ORDER_SENTENCES = 10
"""The best sentences, among which orders to the reader are looked for to be named as such."""

SENTENCE_WEIGHT = 1.0
NEIGHBOUR_WEIGHT = 0.15
"""Of each neighbour's overlap: a pronoun's antecedent often stands one sentence before."""

COMMON_TERM_POSTINGS = 8_000
"""Chunks that BM25 may score for one question. Rare words come first; a common one is left out
once the sum is reached, as it would cost most and tell least."""

DUPLICATE_OVERLAP = 0.85
"""Jaccard overlap of stems from which a passage repeats an earlier one."""

WINDOW_CHARS = 700
"""Length of a window at most, unless its best sentence alone is longer."""


@dataclass(frozen=True)
class SearchResult:
    """Passages, best first, and how well the first one fits the question."""

    passages: tuple[Passage, ...]
    similarity: float
    """Cosine of the question and the best passage's chunk."""
    coverage: float
    """Share of the question's weighted words that stand in the best passage, 0 to 1."""
    words_only: bool = False
    """Without the embedder only words were compared; ``similarity`` is then ``coverage``."""
    orders: SearchResult | None = None
    """What was found among sentences that are orders to their reader: never evidence."""


@dataclass(frozen=True)
class _Candidate:
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
    def is_order(self) -> bool:
        return self.spans[self.best] in self.orders


class HybridSearch:
    """Finds passages for a question. Thread-safe and blocking."""

    def __init__(
        self, store: Store, indexes: VectorIndexes, embedder: Embedder, *, dense_weight: float
    ) -> None:
        """Search ``store``; ``dense_weight`` 0 is BM25 alone, 1 dense alone."""
        self._store = store
        self._indexes = indexes
        self._embedder = embedder
        self._dense_weight = dense_weight
        self._lexical_pool = ThreadPoolExecutor(2, thread_name_prefix="bm25")

    def search(self, text: str, owners: Sequence[str], *, limit: int) -> SearchResult:
        """Return at most ``limit`` passages of ``owners`` for the question ``text``."""
        if not text.strip() or not owners:
            return SearchResult((), 0.0, 0.0)
        stems = {word: lexical.stem(word) for word in lexical.content_words(text)}
        lexical_side = self._lexical_pool.submit(self._bm25, stems, owners)
        vector = self._embed(text)
        dense = {} if vector is None else dict(self._indexes.search(vector, owners, CANDIDATES))
        bm25, counts, total = lexical_side.result()
        if vector is None:
            fused = _scaled(bm25)
        else:
            fused = self._fuse(bm25, self._with_dense(bm25, dense, vector))
        ranked = sorted(fused.items(), key=lambda item: item[1], reverse=True)[:RANKED_CHUNKS]
        chunks = self._store.chunks([chunk_id for chunk_id, _ in ranked], owners)
        weights = lexical.inverse_frequencies(list(dict.fromkeys(stems.values())), counts, total)
        found: list[_Candidate] = []
        for chunk_id, score in ranked:
            if chunk_id in chunks:
                found += _rank_sentences(chunks[chunk_id], score, weights)
        found.sort(key=lambda candidate: candidate.score, reverse=True)
        statements = (candidate for candidate in found if not candidate.is_order)
        orders = [candidate for candidate in found[:ORDER_SENTENCES] if candidate.is_order]
        result = self._result(self._windows(statements, limit, text), weights, vector)
        if not orders:
            return result
        beside = self._result(self._windows(orders, 1, text), weights, vector)
        return replace(result, orders=beside)

    def _result(
        self, passages: tuple[Passage, ...], weights: dict[str, float], vector: Vectors | None
    ) -> SearchResult:
        """Tell how well the first of ``passages`` fits the question."""
        if not passages:
            return SearchResult((), 0.0, 0.0)
        best = passages[0]
        coverage = _overlap(weights, lexical.content_stems(f"{best.heading} {best.text}"))
        if vector is None:
            return SearchResult(passages, coverage, coverage, words_only=True)
        return SearchResult(passages, self._similarity(best.chunk_id, vector), coverage)

    def close(self) -> None:
        """Stop the worker threads."""
        self._lexical_pool.shutdown(wait=False, cancel_futures=True)

    def chunk_texts(self, passages: Sequence[Passage], owners: Sequence[str]) -> dict[int, str]:
        """Return the whole chunks that ``passages`` are windows of, by id."""
        chunks = self._store.chunks([passage.chunk_id for passage in passages], owners)
        return {chunk_id: chunk.text for chunk_id, chunk in chunks.items()}

    def leads(self, chunk_ids: Sequence[int], owners: Sequence[str]) -> tuple[Passage, ...]:
        """Return the first sentences of each of the chunks, in the given order."""
        chunks = self._store.chunks(chunk_ids, owners)
        found = []
        for chunk_id in chunk_ids:
            candidates = _rank_sentences(chunks[chunk_id], 1.0, {}) if chunk_id in chunks else []
            first = next((one for one in candidates if not one.is_order), None)
            if first is not None:
                found.append(self._window(first, 1.0))
        return tuple(found)

    def _embed(self, text: str) -> Vectors | None:
        """Return the question's vector, or ``None`` where there is no embedder just now."""
        try:
            vector: Vectors = self._embedder.encode_question(text)
        except ModelError as exc:
            log.warning("retrieval.words_only", error=type(exc).__name__)
            return None
        return vector

    def _bm25(
        self, stems: dict[str, str], owners: Sequence[str]
    ) -> tuple[dict[int, float], dict[str, int], int]:
        """Return the BM25 scores by chunk, the chunks that hold each stem, and all chunks."""
        counts = self._store.term_counts(list(stems.values()))
        total = max(1, self._store.chunk_count())
        kept: list[str] = []
        postings = 0
        for word in sorted(stems, key=lambda word: counts.get(stems[word], 0)):
            count = counts.get(stems[word], 0)
            if count and (not kept or postings + count <= COMMON_TERM_POSTINGS):
                kept.append(word)
                postings += count
        if not kept:
            return {}, counts, total
        matches = self._store.match(lexical.match_expression(kept), owners, CANDIDATES)
        return dict(matches), counts, total

    def _with_dense(
        self, bm25: dict[int, float], dense: dict[int, float], vector: Vectors
    ) -> dict[int, float]:
        """Add the cosines of the chunks that only BM25 found."""
        missing = [chunk_id for chunk_id in bm25 if chunk_id not in dense]
        if missing:
            cosines = self._store.vectors(missing) @ vector
            dense = {**dense, **dict(zip(missing, cosines.tolist(), strict=True))}
        return dense

    def _fuse(self, bm25: dict[int, float], dense: dict[int, float]) -> dict[int, float]:
        if not dense:
            return {}
        low, high = min(dense.values()), max(dense.values())
        scale = max(high - low, 1e-9)
        top = max(bm25.values(), default=1.0) or 1.0
        weight = self._dense_weight
        return {
            chunk_id: weight * (cosine - low) / scale + (1 - weight) * bm25.get(chunk_id, 0.0) / top
            for chunk_id, cosine in dense.items()
        }

    def _similarity(self, chunk_id: int, vector: Vectors) -> float:
        return float((self._store.vectors([chunk_id]) @ vector)[0])

    def _windows(
        self, ranked: Iterable[_Candidate], limit: int, question: str
    ) -> tuple[Passage, ...]:
        """Return the best windows; one that only repeats another is left out."""
        passages: list[Passage] = []
        seen: list[frozenset[str]] = []
        highest = 0.0
        for candidate in ranked:
            highest = max(highest, candidate.score, 1e-9)
            passage = self._window(candidate, candidate.score / highest)
            overlaps = any(
                other.document_id == passage.document_id
                and other.start < passage.end
                and passage.start < other.end
                for other in passages
            )
            stems = lexical.content_stems(passage.text)
            if overlaps or any(
                _jaccard(stems, other) >= DUPLICATE_OVERLAP
                and not contradicts(
                    passage.best_sentence,
                    before.best_sentence,
                    question,
                    headings=(passage.heading, before.heading),
                )
                for other, before in zip(seen, passages, strict=True)
            ):
                continue
            passages.append(passage)
            seen.append(stems)
            if len(passages) == limit:
                break
        return tuple(passages)

    def _window(self, candidate: _Candidate, score: float) -> Passage:
        chunk, spans = candidate.chunk, candidate.spans
        first = last = candidate.best
        orders = candidate.orders
        kinds = [span in orders for span in spans]
        # Grow to a sentence before and one after of the same kind, as far as the length allows.
        if (
            first > 0
            and kinds[first - 1] == kinds[first]
            and spans[last][1] - spans[first - 1][0] <= WINDOW_CHARS
        ):
            first -= 1
        if (
            last + 1 < len(spans)
            and kinds[last + 1] == kinds[last]
            and spans[last + 1][1] - spans[first][0] <= WINDOW_CHARS
        ):
            last += 1
        best_start, best_end = spans[candidate.best]
        start, end = spans[first][0], spans[last][1]
        page = _page_of(self._store, chunk.document_id, chunk.start + best_start)
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
        )


def _scaled(bm25: dict[int, float]) -> dict[int, float]:
    top = max(bm25.values(), default=1.0) or 1.0
    return {chunk_id: score / top for chunk_id, score in bm25.items()}


def _rank_sentences(
    chunk: StoredChunk, chunk_score: float, weights: dict[str, float]
) -> list[_Candidate]:
    spans = tuple(
        (start, end)
        for start, end in sentence_spans(chunk.text)
        if not _is_heading(chunk.text[start:end], chunk.heading)
    )
    overlaps = [
        _overlap(weights, lexical.content_stems(chunk.text[start:end])) for start, end in spans
    ]
    padded = [0.0, *overlaps, 0.0]
    return [
        _Candidate(
            chunk,
            chunk_score
            + SENTENCE_WEIGHT * padded[i + 1]
            + NEIGHBOUR_WEIGHT * (padded[i] + padded[i + 2]),
            spans,
            i,
        )
        for i in range(len(spans))
    ]


def _is_heading(sentence: str, heading: str) -> bool:
    bare = sentence.lstrip("# ").rstrip(":").strip()
    return sentence.startswith("#") or bare in heading.split(" › ")


def _overlap(weights: dict[str, float], stems: frozenset[str]) -> float:
    total = sum(weights.values())
    return sum(weights[stem] for stem in weights if stem in stems) / total if total else 0.0


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b) if a and b else 0.0


def _page_of(store: Store, document_id: int, offset: int) -> int | None:
    pages = store.pages(document_id)
    for page in reversed(pages):
        if offset >= page.start:
            return page.number
    return pages[0].number if pages else None
