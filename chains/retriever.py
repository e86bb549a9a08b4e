"""Hybrid retrieval: BM25 and dense candidates, fused, and ranked again by their tokens.

Each fusion is a convex combination of min-max scaled scores (Bruch et al. 2023), which beat
reciprocal rank fusion here. The ranking (``ingest.late_interaction``) tells chunks apart and then
their sentences; where its engine is away, what the fusion and the words say stands. What comes out
is a window of sentences round the best one: it holds the answer about as often as the whole
paragraph does, at less than half the tokens.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache

import structlog

from chains import lexical
from chains.ranking import Candidate, Ranking, language_share, overlap, rank_sentences
from chains.types import Passage
from chains.windows import PageOf, window, windows
from core.errors import ModelError
from ingest.embedder import Embedder
from ingest.language import candidates
from ingest.passages import StoredChunk
from ingest.scope import Scope
from ingest.store import Store
from ingest.vector_index import VectorIndexes
from ingest.vectors import EncodedQuestion, Vectors

log = structlog.get_logger(__name__)

CANDIDATES = 50
"""Chunks taken from each side before fusion."""

RANKED_AGAIN = 50
"""The best of both sides together, which are ranked by their tokens."""

RANKED_CHUNKS = 8
"""Chunks whose sentences are compared."""

ORDER_SENTENCES = 10
"""The best sentences, among which orders to the reader are looked for to be named as such."""

RANKED_LANGUAGES = frozenset({"en"})
"""Those whose similarities tell: the models are trained on English. In six others a question's
cosine with a passage that answers it (median .49 of 48) was hardly above that with one that has
nothing to do with it (.44 of 26)."""

FEW_CHUNKS = 100
"""How many chunks a smaller library is taken to have where words are weighed: it tells too little
about how rare a word is, and a word that it lacks would weigh five times as much as one it has."""

FRAME = "it was"
"""Before a verb that is read by itself."""

COMMON_TERM_POSTINGS = 8_000
"""Chunks that BM25 may score for one question. Rare words come first; a common one is left out
once the sum is reached, as it would cost most and tell least."""


@dataclass(frozen=True)
class SearchResult:
    """Passages, best first, and how well the first one fits the question."""

    passages: tuple[Passage, ...]
    similarity: float | None
    """Of the question's and the best passage's tokens, -1 to 1; None where they are not ranked, or
    are in a language in which that tells nothing."""
    coverage: float
    """Share of the question's weighted words that stand in the best passage, 0 to 1."""
    words_only: bool = False
    """Without the embedder only words were compared."""
    named: bool = False
    """Whether the question holds the names of several documents."""
    orders: SearchResult | None = None
    """What was found among sentences that are orders to their reader: never evidence."""


@dataclass(frozen=True)
class _Ranked:
    """The chunks that were found for a question."""

    chunks: dict[int, StoredChunk]
    scores: dict[int, float]
    """By chunk, of the fusion and of the tokens."""
    weights: dict[str, dict[str, float]]
    """Of the question's stems, by language."""
    ranking: Ranking
    spoken: tuple[str, ...]
    """The languages that the question may be in."""

    def sentences(self, scores: dict[int, float]) -> list[Candidate]:
        """Return the sentences of the chunks in ``scores``, best first."""
        chunks = [self.chunks[one] for one in scores]
        found = rank_sentences(chunks, scores, self.weights, self.ranking, self.spoken)
        return sorted(found, key=lambda candidate: candidate.score, reverse=True)


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

    def search(self, text: str, scope: Scope, *, limit: int) -> SearchResult:
        """Return at most ``limit`` passages in ``scope`` for the question ``text``."""
        if not text.strip() or not scope.owners:
            return SearchResult((), None, 0.0)
        ranked = self._ranked(text, scope)
        named = _named(ranked.chunks.values(), text)
        found = ranked.sentences(_chosen(ranked.scores, ranked.chunks, named))
        found = _in_turns(found, named)
        statements = (candidate for candidate in found if not candidate.is_order)
        orders = [candidate for candidate in found[:ORDER_SENTENCES] if candidate.is_order]
        page_of = self._page_of()
        result = self._result(windows(statements, limit, text, page_of), ranked)
        result = replace(result, named=bool(named))
        if not orders:
            return result
        return replace(result, orders=self._result(windows(orders, 1, text, page_of), ranked))

    def by_document(self, text: str, scope: Scope) -> tuple[SearchResult, ...]:
        """Return for each document among the candidates its best passage, best first."""
        if not text.strip() or not scope.owners:
            return ()
        ranked = self._ranked(text, scope)
        best: dict[int, Candidate] = {}
        for candidate in ranked.sentences(ranked.scores):
            if not candidate.is_order:
                best.setdefault(candidate.chunk.document_id, candidate)
        top = max((candidate.score for candidate in best.values()), default=1.0) or 1.0
        page_of = self._page_of()
        return tuple(
            self._result((window(candidate, candidate.score / top, page_of),), ranked)
            for candidate in best.values()
        )

    def _ranked(self, text: str, scope: Scope) -> _Ranked:
        languages = self._store.languages(scope)
        terms = lexical.query_terms(text, languages)
        lexical_side = self._lexical_pool.submit(self._bm25, terms, scope)
        question = self._embed(text)
        vector = None if question is None else question.vector
        dense = {} if vector is None else dict(self._indexes.search(vector, scope, CANDIDATES))
        bm25, counts, total = lexical_side.result()
        if vector is None:
            fused = _scaled(bm25)
        else:
            fused = self._fuse(bm25, self._with_dense(bm25, dense, vector))
        best = _best(fused, RANKED_AGAIN)
        ranking = Ranking(self._embedder, question, best, self._store.tokens(list(best)))
        chunks = self._store.chunks(list(best), scope.owners)
        spoken = candidates(text)
        scores = {
            one: score * language_share(chunks[one].language, spoken)
            for one, score in ranking.by_chunk(best).items()
            if one in chunks
        }
        weights = lexical.weights_by_language(terms, languages, counts, total)
        return _Ranked(chunks, scores, weights, ranking, spoken)

    def _result(self, passages: tuple[Passage, ...], ranked: _Ranked) -> SearchResult:
        """Tell how well the first of ``passages`` fits the question."""
        if not passages:
            return SearchResult((), None, 0.0)
        best = passages[0]
        held = lexical.held_stems(f"{best.heading} {best.text}", best.language)
        coverage = overlap(ranked.weights.get(best.language, {}), held)
        coverage *= language_share(best.language, ranked.spoken)
        similarity = None
        if best.language in RANKED_LANGUAGES:
            similarity = ranked.ranking.similarities.get(best.chunk_id)
        return SearchResult(passages, similarity, coverage, words_only=not ranked.ranking.embedded)

    def close(self) -> None:
        """Stop the worker threads."""
        self._lexical_pool.shutdown(wait=False, cancel_futures=True)

    def languages(self, scope: Scope) -> tuple[str, ...]:
        """Return the languages of what can be found, that of the most passages first."""
        return self._store.languages(scope)

    def alike(self, verb: str, other: str) -> float | None:
        """Return how alike two verbs are, -1 to 1; ``None`` where there is no embedder just now."""
        read = [self._embed(f"{FRAME} {one}") for one in (verb, other)]
        if read[0] is None or read[1] is None:
            return None
        # [CLS], the mark, the frame's words; [SEP] at the end.
        one, two = (question.tokens[2 + len(FRAME.split()) : -1] for question in read if question)
        return float((one @ two.T).max(axis=1).mean())

    def chunk_texts(self, passages: Sequence[Passage], scope: Scope) -> dict[int, str]:
        """Return the whole chunks that ``passages`` are windows of, by id."""
        chunks = self._store.chunks([passage.chunk_id for passage in passages], scope.owners)
        return {chunk_id: chunk.text for chunk_id, chunk in chunks.items()}

    def _embed(self, text: str) -> EncodedQuestion | None:
        """Return the question's vectors, or ``None`` where there is no embedder just now."""
        try:
            return self._embedder.encode_question(text)
        except ModelError as exc:
            log.warning("retrieval.words_only", error=type(exc).__name__)
            return None

    def _bm25(
        self, terms: Mapping[str, Sequence[str]], scope: Scope
    ) -> tuple[dict[int, float], dict[str, int], int]:
        """Return the BM25 scores by chunk, the chunks that hold each word, and all chunks.

        ``terms``: what each word of the question is in the languages of the passages.
        """
        held = self._store.term_counts([term for forms in terms.values() for term in forms])
        counts = {word: sum(held.get(term, 0) for term in forms) for word, forms in terms.items()}
        total = max(FEW_CHUNKS, self._store.chunk_count())
        kept: list[str] = []
        postings = 0
        for word in sorted(counts, key=lambda word: counts[word]):
            if counts[word] and (not kept or postings + counts[word] <= COMMON_TERM_POSTINGS):
                kept += [term for term in terms[word] if term in held]
                postings += counts[word]
        if not kept:
            return {}, counts, total
        matches = self._store.match(lexical.match_expression(kept), scope, CANDIDATES)
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

    def _page_of(self) -> PageOf:
        """Return what tells pages during one search; a document's are read once, at most."""
        pages_of = cache(self._store.pages)
        starts_of = cache(lambda document_id: [page.start for page in pages_of(document_id)])

        def page_of(document_id: int, offset: int) -> int | None:
            at = bisect_right(starts_of(document_id), offset) - 1
            pages = pages_of(document_id)
            return pages[max(at, 0)].number if pages else None

        return page_of


def _scaled(bm25: dict[int, float]) -> dict[int, float]:
    top = max(bm25.values(), default=1.0) or 1.0
    return {chunk_id: score / top for chunk_id, score in bm25.items()}


def _best(scores: dict[int, float], limit: int) -> dict[int, float]:
    """Return the ``limit`` best, best first."""
    return dict(sorted(scores.items(), key=lambda item: item[1], reverse=True)[:limit])


def _named(chunks: Iterable[StoredChunk], question: str) -> list[int]:
    """Return the documents whose title or file name stands in the question, if several do."""
    asked = lexical.content_stems(question)
    found = []
    for document_id, title, source in {(c.document_id, c.title, c.source) for c in chunks}:
        name = source.rsplit("/", 1)[-1].rsplit(".", 1)[0]
        names = (lexical.content_stems(title), lexical.content_stems(name))
        if any(stems and stems <= asked for stems in names):
            found.append(document_id)
    return sorted(found) if len(found) > 1 else []


def _chosen(
    scores: dict[int, float], chunks: dict[int, StoredChunk], named: Sequence[int]
) -> dict[int, float]:
    """Return the chunks whose sentences are compared: the best, and the best of each named one."""
    ranked = _best(scores, len(scores))
    kept = list(ranked)[:RANKED_CHUNKS]
    for document_id in named:
        kept += [one for one in ranked if chunks[one].document_id == document_id][:1]
    return {one: ranked[one] for one in dict.fromkeys(kept)}


def _in_turns(found: list[Candidate], named: Sequence[int]) -> list[Candidate]:
    """Put the best of each named document first, then the second best of each, and so on."""
    places: dict[int, int] = {}
    turns = []
    for candidate in found:
        document_id = candidate.chunk.document_id
        places[document_id] = places.get(document_id, 0) + 1
        turns.append(places[document_id] if document_id in named else len(found))
    order = sorted(range(len(found)), key=turns.__getitem__)
    return [found[place] for place in order] if named else found
