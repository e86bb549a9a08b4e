"""What a search finds for questions that lean on the turns before, against the question in full.

The chains of three turns (``followup_chains.txt``) are about the articles of the SQuAD 2.0 file
(``XOE_SHARED_DIR``, or ``shared`` beside the project) and name its questions by id, so that nothing
of the articles stands here. A turn's answer, which the next may lean on, is the sentence of the
article that holds it. What is counted is whether one of five passages has its best sentence in the
paragraph that answers (R@5).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.rows import BenchRow
from bench.scratch import scratch_workbench, squad_articles
from chains.followup import Said, stand_alone
from chains.types import LIBRARY_OWNER
from core.settings import Settings
from ingest.loaders import LoadedDocument
from ingest.scope import Scope
from ingest.sentences import sentence_spans
from ingest.splitter import search_heading, split
from xoe.workbench import Workbench

CHAINS = Path(__file__).with_name("followup_chains.txt")
DEVELOPED = 70
"""The rules were written with these chains in view; those that follow were written afterwards."""
PASSAGES = 5


@dataclass(frozen=True)
class AskedTurn:
    """A turn of a chain."""

    kind: str
    """What the question leans with: a pronoun, an ellipsis, "the second one", …"""
    id: str
    """Of the question in the SQuAD file whose paragraph answers it."""
    asked: str
    in_full: str


@dataclass(frozen=True)
class Place:
    """Where the answer to a turn stands."""

    source: str
    start: int
    """Offsets of the paragraph in the article's text."""
    end: int
    answer: str
    """The sentence that holds the answer."""


@dataclass(frozen=True)
class _Found:
    kind: str
    in_full: bool
    as_asked: bool
    with_previous: bool
    """Searched together with the question before, which needs no rules."""
    rewritten: bool


async def run(settings: Settings) -> list[BenchRow]:
    """Return the rows of the follow-ups suite; none where the SQuAD file is not at hand."""
    articles = squad_articles()
    if not articles:
        return []
    chains = read_chains(CHAINS.read_text(encoding="utf-8"))
    async with scratch_workbench(settings) as bench:
        places = await asyncio.to_thread(take_in, bench, articles, settings.chunk_tokens)
        developed = await asyncio.to_thread(_ask, bench, chains[:DEVELOPED], places)
        held = await asyncio.to_thread(_ask, bench, chains[DEVELOPED:], places)
    rows = _rows("followups", developed) + _rows("followups_held_out", held)
    rows.append(BenchRow("followups_rewriting_p95", _rewriting_ms(chains, places), "ms"))
    return rows


def read_chains(text: str) -> list[list[AskedTurn]]:
    """Return the chains of a file: ``kind | id | asked | in full`` a turn, a blank line between."""
    chains = []
    for block in text.strip().split("\n\n"):
        turns = []
        for line in block.splitlines():
            kind, named, asked, *in_full = (part.strip() for part in line.split(" | "))
            turns.append(AskedTurn(kind, named, asked, in_full[0] if in_full else asked))
        chains.append(turns)
    return chains


def rewritten(chain: Sequence[AskedTurn], places: dict[str, Place]) -> Iterator[str]:
    """Yield each turn's question as it is searched, with the turns before it as they went."""
    earlier: list[Said] = []
    for turn in chain:
        text = stand_alone(turn.asked, earlier)
        yield text
        earlier.append(Said(text, places[turn.id].answer))


def take_in(
    bench: Workbench, articles: list[dict[str, object]], chunk_tokens: int
) -> dict[str, Place]:
    """Put each article into the store as a document; return the place of each question's answer."""
    places = {}
    for article in articles:
        title, paragraphs = str(article["title"]), article["paragraphs"]
        assert isinstance(paragraphs, list)
        text = "\n\n".join(p["context"] for p in paragraphs)
        document = LoadedDocument(text, title.replace("_", " "), "text")
        chunks = split(document, chunk_tokens=chunk_tokens, count=bench.embedder.count_tokens)
        headed = search_heading(document.title, "")
        read = bench.embedder.encode([f"{headed}\n{chunk.text}" for chunk in chunks])
        bench.store.put_document(
            LIBRARY_OWNER,
            title,
            origin="bench",
            sha256=title,
            size_bytes=len(text),
            document=document,
            chunks=chunks,
            vectors=read.vectors,
            tokens=read.tokens,
        )
        start = 0
        for paragraph in paragraphs:
            context = paragraph["context"]
            for qa in paragraph["qas"]:
                if qa["answers"]:
                    answer = _sentence_at(context, qa["answers"][0]["answer_start"])
                    places[qa["id"]] = Place(title, start, start + len(context), answer)
            start += len(context) + 2
    return places


def _sentence_at(text: str, offset: int) -> str:
    return next(text[start:end] for start, end in sentence_spans(text) if offset < end)


def _ask(
    bench: Workbench, chains: Sequence[Sequence[AskedTurn]], places: dict[str, Place]
) -> list[_Found]:
    def finds(text: str, place: Place) -> bool:
        passages = bench.search.search(text, Scope.of(LIBRARY_OWNER), limit=PASSAGES).passages
        return any(
            passage.source == place.source and place.start <= passage.best_start < place.end
            for passage in passages
        )

    found = []
    for chain in chains:
        previous = ""
        for turn, text in zip(chain, rewritten(chain, places), strict=True):
            place = places[turn.id]
            found.append(
                _Found(
                    turn.kind,
                    in_full=finds(turn.in_full, place),
                    as_asked=finds(turn.asked, place),
                    with_previous=finds(f"{previous}\n{turn.asked}", place),
                    rewritten=finds(text, place),
                )
            )
            previous = turn.asked
    return found


def _rows(name: str, found: Sequence[_Found]) -> list[BenchRow]:
    """Return R@5 of all turns that follow another, and by kind."""
    follow = [one for one in found if one.kind != "alone"]
    if not follow:
        return []
    in_full = _share([one.in_full for one in follow])
    rows = [
        BenchRow.against(f"{name}_as_asked", _share([f.as_asked for f in follow]), "R@5", in_full),
        BenchRow.against(
            f"{name}_with_previous", _share([f.with_previous for f in follow]), "R@5", in_full
        ),
        BenchRow.against(
            f"{name}_rewritten", _share([f.rewritten for f in follow]), "R@5", in_full
        ),
    ]
    for kind in dict.fromkeys(one.kind for one in follow):
        of_kind = [one for one in follow if one.kind == kind]
        rows.append(
            BenchRow.against(
                f"{name}_rewritten_{kind}",
                _share([one.rewritten for one in of_kind]),
                "R@5",
                _share([one.in_full for one in of_kind]),
            )
        )
    return rows


def _share(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits)


def _rewriting_ms(chains: Sequence[Sequence[AskedTurn]], places: dict[str, Place]) -> float:
    times = []
    for chain in chains:
        begun = time.perf_counter()
        for _ in rewritten(chain, places):
            times.append((time.perf_counter() - begun) * 1000)
            begun = time.perf_counter()
    return float(np.percentile(times, 95))
