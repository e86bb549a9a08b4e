"""What 500 documents that come in cost who asks meanwhile.

The same questions are put to two servers that were just started, one at rest and one whose folder
is being read, so that neither has read anything of them before. The documents are of random words:
they answer none of the questions.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import httpx

from bench.corpus import Words
from bench.fairness import QUESTIONS
from bench.rows import BenchRow
from bench.scratch import scratch_folder
from bench.startup import WAIT_S, served
from core.settings import Settings, site_root

DOCUMENTS = 500
PARAGRAPHS = 16
BETWEEN_S = 3.0
"""A person reads an answer before the next question."""
ALONE_S = 20.0
"""How long the reading goes on with no question, to see its pace."""


async def run(settings: Settings) -> list[BenchRow]:
    """Return the rows of the incoming suite: first tokens beside an ingest against none."""
    with scratch_folder() as folder:
        corpus = folder / "corpus"
        await asyncio.to_thread(_write, corpus, settings.models_dir)
        idle, _, _ = await _measured(folder / "idle", settings, None)
        busy, during, alone = await _measured(folder / "busy", settings, corpus)
    pairs = [(one, other) for one, other in zip(busy, idle, strict=True) if one and other]
    ratio = median(one / other for one, other in pairs)
    beside, at_rest = median(one for one, _ in pairs), median(other for _, other in pairs)
    return [
        BenchRow.against("incoming_first_token", beside, "ms", at_rest),
        BenchRow("incoming_first_token_of_pairs", ratio, "times"),
        BenchRow("incoming_questions", len(pairs), "questions"),
        BenchRow.against("incoming_passages_per_second", during, "passages/s", alone),
    ]


async def _measured(
    folder: Path, settings: Settings, corpus: Path | None
) -> tuple[list[float | None], float, float]:
    """Return the ms to the first token of each question, and passages a second while and after."""
    library = folder / "library"
    await asyncio.to_thread(shutil.copytree, site_root() / "library", library)
    with served(folder, settings, library) as (url, _):
        async with httpx.AsyncClient(base_url=url, timeout=WAIT_S, trust_env=False) as client:
            await _first_token(client, "Which keys does the page know?")  # what loads at the first
            if corpus is not None:
                await asyncio.to_thread(shutil.copytree, corpus, library / "corpus")
                await _until_coming_in(client)
            begun, passages = time.perf_counter(), await _passages(client)
            times = []
            for question in QUESTIONS:
                times.append(await _first_token(client, question))
                await asyncio.sleep(BETWEEN_S)
            if corpus is None:
                return times, 0.0, 0.0
            if not await _active(client):
                raise RuntimeError("All documents had come in before the last question.")
            during = (await _passages(client) - passages) / (time.perf_counter() - begun)
            begun, passages = time.perf_counter(), await _passages(client)
            await asyncio.sleep(ALONE_S)
            alone = (await _passages(client) - passages) / (time.perf_counter() - begun)
            return times, during, alone


async def _first_token(client: httpx.AsyncClient, question: str) -> float | None:
    """Return the ms to the first words of an answer; None where no model wrote it."""
    begun, first = time.perf_counter(), None
    async with client.stream("POST", "/query/stream", json={"question": question}) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if line == "event: token" and first is None:
                first = (time.perf_counter() - begun) * 1000
    return first


async def _until_coming_in(client: httpx.AsyncClient) -> None:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        if await _active(client) >= DOCUMENTS // 2:
            return
        await asyncio.sleep(0.2)
    raise TimeoutError("The documents are not seen.")


async def _active(client: httpx.AsyncClient) -> int:
    found: int = (await client.get("/library/queue", params={"limit": 1})).json()["active"]
    return found


async def _passages(client: httpx.AsyncClient) -> int:
    found: int = (await client.get("/library", params={"limit": 1})).json()["totals"]["passages"]
    return found


def _write(folder: Path, models_dir: Path) -> None:
    words = Words(models_dir)
    folder.mkdir(parents=True)
    for number in range(DOCUMENTS):
        parts: Sequence[str] = [words.paragraph() for _ in range(PARAGRAPHS)]
        (folder / f"{number:03d}.md").write_text("\n\n".join([f"# Paper {number}", *parts]))
