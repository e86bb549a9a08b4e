"""Search times by size of the library, and what the search finds on real questions.

Random vectors and words measure time; also while documents are taken in. Where the SQuAD 2.0 file
is at hand (``XOE_SHARED_DIR``, or ``shared`` beside the project) recall and the gate are measured
on its questions too.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bench.corpus import Words, fill_store
from bench.rows import BenchRow
from chains.gate import is_answerable
from chains.retriever import HybridSearch
from chains.types import LIBRARY_OWNER
from core.settings import SHARED_ENV, Settings
from ingest.ingestor import SourceFile
from ingest.loaders import LoadedDocument
from ingest.splitter import split
from xoe.workbench import Workbench, open_workbench

SIZES = ((1_000, "1k"), (10_000, "10k"), (100_000, "100k"))
QUESTIONS = 100
WARM_UP = 5
TAKEN_IN = 500
"""Documents that come while a chat asks."""
PARAGRAPHS = 4
PACE_S = 0.2
"""From one question of the chat to the next."""
SQUAD = "eval/squad2-dev-a.json"
SQUAD_QUESTIONS = 300


async def run(settings: Settings) -> list[BenchRow]:
    """Return the rows of the retrieval suite."""
    rows: list[BenchRow] = []
    for count, label in SIZES:
        with tempfile.TemporaryDirectory(prefix="xoe-bench-") as scratch:
            alone = settings.model_copy(update={"data_dir": Path(scratch)})
            async with open_workbench(alone) as bench:
                words = Words(settings.models_dir)
                rows += await asyncio.to_thread(_search_rows, bench, words, count, label)
    rows += await _while_ingesting(settings)
    rows += await _squad_rows(settings)
    return rows


def _search_rows(bench: Workbench, words: Words, count: int, label: str) -> list[BenchRow]:
    matrix = fill_store(bench.store, words, count)
    bench.indexes.warm([LIBRARY_OWNER])
    questions = [words.question() for _ in range(QUESTIONS)]
    times = _times_ms(lambda q: bench.search.search(q, [LIBRARY_OWNER], limit=3), questions)
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
    with tempfile.TemporaryDirectory(prefix="xoe-bench-") as scratch:
        alone = settings.model_copy(update={"data_dir": Path(scratch) / "data"})
        async with open_workbench(alone) as bench:
            words = Words(settings.models_dir)
            await asyncio.to_thread(fill_store, bench.store, words, SIZES[1][0])
            await asyncio.to_thread(bench.indexes.warm, [LIBRARY_OWNER])
            sources = await asyncio.to_thread(_written, words, Path(scratch))

            async def take_in() -> None:
                async for report in bench.ingestor.ingest_many(sources, owner=LIBRARY_OWNER):
                    if report.status != "ready":
                        raise RuntimeError(report.reason)

            async def ask() -> float:
                question = words.question()
                begun = time.perf_counter()
                await asyncio.to_thread(bench.search.search, question, [LIBRARY_OWNER], limit=3)
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
    scores = matrix @ bench.embedder.encode([question])[0]
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


async def _squad_rows(settings: Settings) -> list[BenchRow]:
    path = shared() / SQUAD
    if not path.is_file():
        return []
    articles = json.loads(path.read_text(encoding="utf-8"))["data"]
    with tempfile.TemporaryDirectory(prefix="xoe-bench-") as scratch:
        alone = settings.model_copy(update={"data_dir": Path(scratch)})
        async with open_workbench(alone) as bench:
            return await asyncio.to_thread(_squad, bench, articles, settings.chunk_tokens)


def _squad(
    bench: Workbench, articles: list[dict[str, object]], chunk_tokens: int
) -> list[BenchRow]:
    asked: list[tuple[str, str, list[str]]] = []  # owner of the article, question, answers
    owners = []
    for article in articles:
        owner = f"bench:{article['title']}"
        owners.append(owner)
        paragraphs = article["paragraphs"]
        assert isinstance(paragraphs, list)
        put_article(bench, owner, paragraphs, chunk_tokens)
        asked += [
            (owner, qa["question"], [answer["text"] for answer in qa["answers"]])
            for paragraph in paragraphs
            for qa in paragraph["qas"]
            if not qa["is_impossible"]
        ]
    asked = random.Random(1).sample(asked, SQUAD_QUESTIONS)
    found = {weight: _answered(bench, owners, asked, weight) for weight in (0.0, 1.0, 0.4)}
    let_through = stopped = 0
    for owner, question, _ in asked:
        let_through += is_answerable(bench.search.search(question, owners, limit=3))
        others = [other for other in owners if other != owner]
        stopped += not is_answerable(bench.search.search(question, others, limit=3))
    lexical, dense, fused = (found[weight] for weight in (0.0, 1.0, 0.4))
    return [
        BenchRow.against("squad_answer_in_best_sentence", fused[0], "share", lexical[0]),
        BenchRow.against("squad_answer_in_three_windows", fused[1], "share", lexical[1]),
        BenchRow.against("squad_answer_in_three_windows_dense", dense[1], "share", fused[1]),
        BenchRow("squad_gate_lets_through_answerable", let_through / len(asked), "share"),
        BenchRow("squad_gate_stops_foreign", stopped / len(asked), "share"),
    ]


def put_article(
    bench: Workbench,
    owner: str,
    paragraphs: list[dict[str, str]],
    chunk_tokens: int,
    *,
    title: str = "",
) -> None:
    """Add an article of SQuAD as a document of ``owner``'s."""
    text = "\n\n".join(p["context"] for p in paragraphs)
    document = LoadedDocument(text, title or owner, "text")
    chunks = split(document, chunk_tokens=chunk_tokens, count=bench.embedder.count_tokens)
    bench.store.put_document(
        owner,
        "article",
        origin="bench",
        sha256=owner,
        size_bytes=len(document.text),
        document=document,
        chunks=chunks,
        vectors=bench.embedder.encode([chunk.text for chunk in chunks]),
    )


def _answered(
    bench: Workbench, owners: list[str], asked: list[tuple[str, str, list[str]]], weight: float
) -> tuple[float, float]:
    """Return how often the best sentence, and the three windows, hold an answer."""
    search = HybridSearch(bench.store, bench.indexes, bench.embedder, dense_weight=weight)
    best = windows = 0
    for _, question, answers in asked:
        passages = search.search(question, owners, limit=3).passages
        best += any(answer in p.best_sentence for p in passages[:1] for answer in answers)
        windows += any(answer in p.text for p in passages for answer in answers)
    search.close()
    return best / len(asked), windows / len(asked)


def shared() -> Path:
    """Return the folder of evaluation data, whether or not it exists."""
    default = Path(__file__).resolve().parent.parent.parent / "shared"
    return Path(os.environ.get(SHARED_ENV, default))
