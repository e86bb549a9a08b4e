"""Search times by size of the library, and what the search finds on real questions.

Random vectors and words measure time; also while documents are taken in. Where the SQuAD 2.0 file
is at hand (``XOE_SHARED_DIR``, or ``shared`` beside the project) the ranking, the windows and the
gate are measured too: on its questions, and on ``reworded.tsv``, questions on the same paragraphs
that avoid their words. A paragraph is a passage.
"""

from __future__ import annotations

import asyncio
import csv
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.corpus import Words, fill_store
from bench.rows import BenchRow
from bench.scratch import scratch_folder, scratch_workbench, squad_articles
from chains import lexical
from chains.gate import is_answerable
from chains.prompt import render_passage
from chains.retriever import HybridSearch
from chains.types import LIBRARY_OWNER, Passage
from core.errors import ModelLoadError
from core.settings import Settings
from ingest.embedder import Embedder
from ingest.ingestor import SourceFile
from ingest.late_interaction import Span
from ingest.loaders import LoadedDocument
from ingest.scope import Scope
from ingest.splitter import Chunk, search_heading
from ingest.vectors import EncodedQuestion
from xoe.workbench import Workbench, open_workbench

SIZES = ((1_000, "1k"), (10_000, "10k"), (100_000, "100k"))
QUESTIONS = 100
WARM_UP = 5
TAKEN_IN = 500
"""Documents that come while a chat asks."""
PARAGRAPHS = 4
PACE_S = 0.2
"""From one question of the chat to the next."""
SQUAD_QUESTIONS = 300
REWORDED = Path(__file__).with_name("reworded.tsv")


async def run(settings: Settings) -> list[BenchRow]:
    """Return the rows of the retrieval suite."""
    rows: list[BenchRow] = []
    for count, label in SIZES:
        async with scratch_workbench(settings) as bench:
            words = Words(settings.models_dir)
            rows += await asyncio.to_thread(_search_rows, bench, words, count, label)
    rows += await _while_ingesting(settings)
    rows += await _squad_rows(settings)
    return rows


def _search_rows(bench: Workbench, words: Words, count: int, label: str) -> list[BenchRow]:
    matrix = fill_store(bench.store, words, count)
    bench.indexes.warm([LIBRARY_OWNER])
    questions = [words.question() for _ in range(QUESTIONS)]
    times = _times_ms(lambda q: bench.search.search(q, Scope.of(LIBRARY_OWNER), limit=3), questions)
    # The baseline is the least that a dense search must do: embed, and compare with all vectors.
    plain = _times_ms(lambda q: _plain(bench, matrix, q), questions)
    return [
        BenchRow.against(
            f"search_p50_{label}", np.percentile(times, 50), "ms", np.percentile(plain, 50)
        ),
        BenchRow.against(
            f"search_p95_{label}", np.percentile(times, 95), "ms", np.percentile(plain, 95)
        ),
    ]


async def _while_ingesting(settings: Settings) -> list[BenchRow]:
    """Search as a chat does, in a thread beside the loop, while that loop takes documents in."""
    with scratch_folder() as folder:
        alone = settings.model_copy(update={"data_dir": folder / "data"})
        async with open_workbench(alone) as bench:
            words = Words(settings.models_dir)
            await asyncio.to_thread(fill_store, bench.store, words, SIZES[1][0])
            await asyncio.to_thread(bench.indexes.warm, [LIBRARY_OWNER])
            sources = await asyncio.to_thread(_written, words, folder)

            async def take_in() -> None:
                async for report in bench.ingestor.ingest_many(sources, owner=LIBRARY_OWNER):
                    if report.status != "ready":
                        raise RuntimeError(report.reason)

            scope = Scope.of(LIBRARY_OWNER)

            async def ask() -> float:
                question = words.question()
                begun = time.perf_counter()
                await asyncio.to_thread(bench.search.search, question, scope, limit=3)
                ms = (time.perf_counter() - begun) * 1e3
                await asyncio.sleep(PACE_S)
                return ms

            for _ in range(WARM_UP):
                await ask()
            idle = [await ask() for _ in range(QUESTIONS)]
            begun = time.perf_counter()
            ingest = asyncio.create_task(take_in())
            busy = []
            while not ingest.done():
                busy.append(await ask())
            await ingest
            seconds = time.perf_counter() - begun
            idle += [await ask() for _ in range(QUESTIONS)]
    return [
        BenchRow.against(
            f"search_{name}_while_ingesting",
            np.percentile(busy, share),
            "ms",
            np.percentile(idle, share),
        )
        for name, share in (("p50", 50), ("p95", 95))
    ] + [BenchRow("search_while_ingesting_rate", TAKEN_IN / seconds, "documents/s")]


def _written(words: Words, folder: Path) -> list[SourceFile]:
    sources = []
    for number in range(TAKEN_IN):
        path = folder / f"letter-{number}.md"
        text = "\n\n".join(words.paragraph() for _ in range(PARAGRAPHS))
        path.write_text(f"# Letter {number}\n\n{text}\n", encoding="utf-8")
        sources.append(SourceFile(path, path.name))
    return sources


def _plain(
    bench: Workbench, matrix: np.ndarray[tuple[int, int], np.dtype[np.float32]], question: str
) -> None:
    scores = matrix @ bench.embedder.encode_question(question).vector
    np.argpartition(-scores, 10)[:10]


def _times_ms(work: Callable[[str], object], questions: Sequence[str]) -> list[float]:
    for question in questions[:WARM_UP]:
        work(question)
    times = []
    for question in questions:
        begun = time.perf_counter()
        work(question)
        times.append((time.perf_counter() - begun) * 1000)
    return times


@dataclass(frozen=True)
class _Asked:
    """A question, and the paragraph that answers it."""

    text: str
    owner: str
    chunk_id: int
    answers: tuple[str, ...]
    """Texts that answer it; none for a reworded one."""


class _Unranked(Embedder):
    """An embedder that finds, and ranks nothing again: the search without it."""

    def rank(
        self, question: EncodedQuestion, tokens: Sequence[bytes], spans: Sequence[Sequence[Span]]
    ) -> list[list[float]]:
        raise ModelLoadError("left out")


async def _squad_rows(settings: Settings) -> list[BenchRow]:
    articles = squad_articles()
    if not articles:
        return []
    async with scratch_workbench(settings) as bench:
        return await asyncio.to_thread(_squad, bench, settings, articles)


def _squad(bench: Workbench, settings: Settings, articles: list[dict[str, Any]]) -> list[BenchRow]:
    asked: list[_Asked] = []
    reworded: list[_Asked] = []
    for article in articles:
        owner = f"bench:{article['title']}"
        texts = [paragraph["context"] for paragraph in article["paragraphs"]]
        chunk_ids = put_article(bench, owner, article["title"].replace("_", " "), texts)
        for paragraph, chunk_id in zip(article["paragraphs"], chunk_ids, strict=True):
            asked += [
                _Asked(qa["question"], owner, chunk_id, tuple(a["text"] for a in qa["answers"]))
                for qa in paragraph["qas"]
                if not qa["is_impossible"]
            ]
        reworded += _reworded(article["title"], owner, texts, chunk_ids)
    asked = random.Random(1).sample(asked, SQUAD_QUESTIONS)
    unranked = _Unranked(settings.models_dir)
    try:
        searches = {
            "words": HybridSearch(bench.store, bench.indexes, unranked, dense_weight=0.0),
            "fused": HybridSearch(
                bench.store,
                bench.indexes,
                unranked,
                dense_weight=settings.retrieval_dense_weight,
            ),
            "ranked": bench.search,
        }
        owners = [f"bench:{article['title']}" for article in articles]
        rows: list[BenchRow] = []
        for name, questions in (("squad", asked), ("reworded", reworded)):
            for how, search in searches.items():
                found = [
                    search.search(q.text, Scope.of(*owners), limit=10).passages for q in questions
                ]
                rows += _rank_rows(f"{name}_{how}", questions, found)
        for how, search in searches.items():
            rows += _window_rows(f"squad_{how}", asked, owners, search)
    finally:
        unranked.close()
    return rows + _gate_rows(bench, owners, asked)


def _rank_rows(
    name: str, questions: Sequence[_Asked], found: Sequence[tuple[Passage, ...]]
) -> list[BenchRow]:
    """Return in which place the right paragraph came; windows of one paragraph count once."""
    ranks = []
    for question, passages in zip(questions, found, strict=True):
        chunk_ids = list(dict.fromkeys(passage.chunk_id for passage in passages))
        there = question.chunk_id in chunk_ids
        ranks.append(chunk_ids.index(question.chunk_id) + 1 if there else len(questions))
    places = np.array(ranks)
    shares = [BenchRow(f"{name}_r@{k}", float(np.mean(places <= k)), "share") for k in (1, 3, 5)]
    mrr = float(np.mean(np.where(places <= 10, 1 / places, 0)))
    return [*shares, BenchRow(f"{name}_mrr@10", mrr, "")]


def _window_rows(
    name: str, questions: Sequence[_Asked], owners: Sequence[str], search: HybridSearch
) -> list[BenchRow]:
    """Return how often an answer is in the first windows, and how many tokens they take."""
    rows = []
    for limit in (1, 2, 3):
        held = tokens = best = 0
        for question in questions:
            passages = search.search(question.text, Scope.of(*owners), limit=limit).passages
            texts = [passage.text for passage in passages]
            held += any(answer in text for text in texts for answer in question.answers)
            tokens += sum(lexical.estimated_tokens(render_passage(p)) for p in passages)
            best += any(a in p.best_sentence for p in passages[:1] for a in question.answers)
        count = len(questions)
        if limit == 1:
            rows.append(BenchRow(f"{name}_answer_in_best_sentence", best / count, "share"))
        rows.append(BenchRow(f"{name}_answer_in_{limit}_windows", held / count, "share"))
        rows.append(BenchRow(f"{name}_tokens_of_{limit}_windows", tokens / count, "tokens"))
    return rows


def _gate_rows(bench: Workbench, owners: Sequence[str], asked: Sequence[_Asked]) -> list[BenchRow]:
    let_through = stopped = 0
    for question in asked:
        let_through += is_answerable(bench.search.search(question.text, Scope.of(*owners), limit=3))
        others = [owner for owner in owners if owner != question.owner]
        stopped += not is_answerable(bench.search.search(question.text, Scope.of(*others), limit=3))
    return [
        BenchRow("squad_gate_lets_through_answerable", let_through / len(asked), "share"),
        BenchRow("squad_gate_stops_foreign", stopped / len(asked), "share"),
    ]


def put_article(bench: Workbench, owner: str, title: str, texts: Sequence[str]) -> list[int]:
    """Store an article, a chunk for each paragraph; return their ids."""
    document = LoadedDocument("\n\n".join(texts), title, "text")
    chunks, position = [], 0
    for text in texts:
        chunks.append(Chunk(position, position + len(text), text, ""))
        position += len(text) + 2
    read = bench.embedder.encode([f"{search_heading(title, '')}\n{text}" for text in texts])
    document_id = bench.store.put_document(
        owner,
        "article",
        origin="bench",
        sha256=owner,
        size_bytes=len(document.text),
        document=document,
        chunks=chunks,
        vectors=read.vectors,
        tokens=read.tokens,
    )
    return bench.store.document_chunk_ids(document_id)


def _reworded(
    title: str, owner: str, texts: Sequence[str], chunk_ids: Sequence[int]
) -> list[_Asked]:
    asked = []
    with REWORDED.open(encoding="utf-8") as file:
        for article, question, words in list(csv.reader(file, delimiter="\t"))[1:]:
            if article == title:
                [place] = (
                    n
                    for n, text in enumerate(texts)
                    if all(word.lower() in text.lower() for word in words.split("; "))
                )
                asked.append(_Asked(question, owner, chunk_ids[place], ()))
    return asked
