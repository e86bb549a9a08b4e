"""What the demands of a question refuse: of SQuAD's unanswerable questions, and of the answerable.

Each question of the SQuAD 2.0 file (``XOE_SHARED_DIR``, or ``shared`` beside the project) is
searched, and its demands are looked for in the three windows that are found. The ratio of a row is
the unanswerable refused for one that was refused wrongly.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from bench.followups import take_in
from bench.rows import BenchRow
from bench.scratch import scratch_workbench, squad_articles
from chains.gate import lacking
from chains.types import LIBRARY_OWNER
from core.settings import Settings
from ingest.scope import Scope
from xoe.workbench import Workbench

PASSAGES = 3


async def run(settings: Settings) -> list[BenchRow]:
    """Return the rows of the constraints suite; none where the SQuAD file is not at hand.

    The value is the share of the unanswerable questions, the baseline that of the answerable.
    """
    articles = squad_articles()
    if not articles:
        return []
    async with scratch_workbench(settings) as bench:
        await asyncio.to_thread(take_in, bench, articles, settings.chunk_tokens)
        return await asyncio.to_thread(_rows, bench, articles)


def _rows(bench: Workbench, articles: list[dict[str, object]]) -> list[BenchRow]:
    asked: Counter[bool] = Counter()
    refused: Counter[tuple[str, bool]] = Counter()
    for article in articles:
        paragraphs = article["paragraphs"]
        assert isinstance(paragraphs, list)
        for qa in (qa for paragraph in paragraphs for qa in paragraph["qas"]):
            question, answerable = qa["question"], not qa["is_impossible"]
            asked[answerable] += 1
            found = bench.search.search(question, Scope.of(LIBRARY_OWNER), limit=PASSAGES).passages
            chunks = bench.search.chunk_texts(found, Scope.of(LIBRARY_OWNER))
            kinds = {str(one.kind) for one in lacking(question, found, chunks)}
            refused.update((kind, answerable) for kind in kinds | ({"any"} if kinds else set()))
    named = sorted({kind for kind, _ in refused} - {"any"})
    return [
        BenchRow.against(
            f"constraints_{kind}",
            refused[kind, False] / asked[False],
            "share refused",
            refused[kind, True] / asked[True],
        )
        for kind in [*named, "any"]
    ]
