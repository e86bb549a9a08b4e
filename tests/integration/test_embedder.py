"""The embedder may die; no document is lost by it, and questions go before documents."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

import engines.process
from chains.types import LIBRARY_OWNER
from core.settings import load_settings
from ingest.embedder import PORTION_CHARS, Embedder
from ingest.encoder import SentenceEncoder
from ingest.ingestor import IngestProgress, SourceFile
from ingest.late_interaction import MAX_START
from ingest.loaders import LoadedDocument
from ingest.scope import Scope
from ingest.splitter import Chunk
from ingest.store import Fingerprint, Store
from ingest.vectors import DIMENSION
from xoe.workbench import Workbench, open_workbench

pytestmark = pytest.mark.integration

FAULTY_CHILD = Path(__file__).resolve().parents[1] / "faulty_child.py"
TOWNS = ("Ardmore", "Belvedere", "Carlow", "Dunmore", "Ennis", "Fermoy", "Galway", "Howth")
POISON = "arsenic"


def report_of(town: str, number: int) -> str:
    return (
        f"In {town} the ferry number {number} carries letters, bicycles and forty passengers over "
        f"the bay, and it is back before the tide of the evening turns in month {number}. "
    )


@pytest.fixture
def embedder(need_models: Callable[..., None]) -> Embedder:
    need_models("embedder")
    return Embedder(load_settings().models_dir)


@pytest.fixture
async def bench(need_models, tmp_path: Path) -> AsyncIterator[Workbench]:
    need_models("embedder")
    async with open_workbench(load_settings(data_dir=tmp_path / "data")) as bench:
        yield bench


def pid_of(embedder: Embedder) -> int:
    pid = embedder.report().pid
    assert pid is not None
    return pid


def test_a_question_is_answered_while_documents_are_still_read(embedder: Embedder) -> None:
    done: list[str] = []
    begun = threading.Event()

    def read() -> None:
        begun.set()
        embedder.encode([report_of(town, n) * 4 for town in TOWNS for n in range(16)])
        done.append("documents")

    embedder.load()
    reading = threading.Thread(target=read)
    reading.start()
    begun.wait()
    for number in range(5):
        embedder.encode_question(f"Where does ferry {number} go?")
        done.append("question")
    reading.join()
    embedder.close()
    assert done == ["question"] * 5 + ["documents"]


async def test_a_document_that_is_embedded_as_the_process_is_killed_is_found_all_the_same(
    bench: Workbench, tmp_path: Path
) -> None:
    path = tmp_path / "ferries.md"
    text = "\n\n".join(f"# {t}\n\n" + report_of(t, 1) * 40 for t in TOWNS * 3)
    path.write_text(f"{text}\n\n# Zennor\n\nThe last lamp is lit by Ingrid Sund.\n")
    kills = []

    def kill(progress: IngestProgress) -> None:
        if progress.stage == "embedding" and progress.done < progress.total and not kills:
            kills.append(pid_of(bench.embedder))
            threading.Timer(0.3, os.kill, (kills[-1], signal.SIGKILL)).start()  # amid the next

    report = await bench.ingestor.ingest_file(
        path, name=path.name, owner=LIBRARY_OWNER, on_progress=kill
    )
    assert kills
    assert bench.embedder.report().restarts == 1
    assert report.status == "ready", report.reason
    assert bench.store.totals() == (1, report.passages)
    found = bench.search.search("Who lights the last lamp?", Scope.of(LIBRARY_OWNER), limit=1)
    assert not found.words_only
    assert "Ingrid Sund" in found.passages[0].text
    chunk_ids = bench.store.document_chunk_ids(report.document_id or 0)
    norms = np.linalg.norm(bench.store.vectors(chunk_ids), axis=1)
    assert norms == pytest.approx(np.ones(report.passages), abs=1e-2)


@pytest.mark.parametrize("names", [("a.md", "b.md", "c.md"), ("b.md", "c.md", "a.md")])
async def test_a_document_that_ends_the_embedder_is_refused_and_the_others_are_taken(
    need_models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    need_models("embedder")
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps({"embedder": "poison"}))
    monkeypatch.setattr(engines.process, "COMMAND", ("-P", str(FAULTY_CHILD), str(faults)))
    for name, what in (("a.md", "a lamp"), ("b.md", POISON), ("c.md", "a rope")):
        (tmp_path / name).write_text(f"# Shed\n\nThere is {what} in the shed.\n")
    async with open_workbench(load_settings(data_dir=tmp_path / "data")) as bench:
        sources = [SourceFile(tmp_path / name, name) for name in names]
        told = {
            report.name: report
            async for report in bench.ingestor.ingest_many(sources, owner=LIBRARY_OWNER)
        }
        assert {name: report.status for name, report in told.items()} == {
            "a.md": "ready", "b.md": "failed", "c.md": "ready",
        }  # fmt: skip
        assert (told["b.md"].reason or "").startswith("The embedder failed on it twice")
        found = bench.search.search("What rope is in the shed?", Scope.of(LIBRARY_OWNER), limit=1)
        assert "rope" in found.passages[0].text
        assert not found.words_only


def test_texts_of_any_number_and_length_are_embedded_as_they_are_one_by_one(
    embedder: Embedder,
) -> None:
    """They go over in portions; a text of more than one is a portion of its own.

    The model's int8 scales follow what else is in a batch, so a vector is the same but for that.
    """
    assert embedder.encode([]).vectors.shape == (0, DIMENSION)
    assert embedder.count_tokens([]) == []
    long = "harbour " * (PORTION_CHARS // 8 + 9)
    texts = ["a", long, *(report_of(town, n) for town in TOWNS[:4] for n in range(4)), "", "b"]
    here = SentenceEncoder(load_settings().models_dir)
    one_by_one = [here.encode([text]) for text in texts]
    made = embedder.encode(texts)
    theirs = np.concatenate([one.vectors for one in one_by_one])
    assert np.sum(made.vectors * theirs, axis=1) == pytest.approx(np.ones(len(texts)), abs=0.02)
    assert [len(tokens) for tokens in made.tokens] == [len(one.tokens[0]) for one in one_by_one]
    many = [report_of("Ennis", n) for n in range(2 * PORTION_CHARS // 150)]
    assert embedder.count_tokens(many) == here.count_tokens(many)
    here.close()
    embedder.close()


def test_the_model_finds_and_ranks_what_is_said_in_other_words(embedder: Embedder) -> None:
    """What it was trained for; a wrong pooling, mark or order of the bits would lose it."""
    said = {
        "How old must one be to stand for a seat?": "Candidates have to be at least 18 years old.",
        "What did the singer earn?": "The vocalist was paid four hundred crowns.",
        "Why was the crossing closed?": "Ice had broken two pillars of the bridge.",
        "Who looks after the sick?": "Nurse Okafor is on the ward until nine.",
        "When does the shop open?": "We sell bread from six in the morning.",
    }
    read = embedder.encode(list(said.values()))
    whole = [[(0, MAX_START)]] * len(said)
    for place, text in enumerate(said):
        question = embedder.encode_question(text)
        assert np.argmax(read.vectors @ question.vector) == place, text
        scores = [of_text[0] for of_text in embedder.rank(question, read.tokens, whole)]
        assert np.argmax(scores) == place, text
    text = " ".join(["Of the ward and the bridge more is said elsewhere.", *said.values()])
    [packed] = embedder.encode([text]).tokens
    asked, answer = next(iter(said.items()))
    spans = [(text.index(one), text.index(one) + len(one)) for one in said.values()]
    [of_sentences] = embedder.rank(embedder.encode_question(asked), [packed], [spans])
    assert np.argmax(of_sentences) == list(said.values()).index(answer)
    embedder.close()


async def test_what_another_embedder_read_is_read_anew_and_then_ranked(
    need_models, tmp_path: Path
) -> None:
    need_models("embedder")
    settings = load_settings(data_dir=tmp_path / "data")
    settings.data_dir.mkdir()
    text = "The ferry is at noon.\n\nNurse Okafor is on the ward until nine."
    before = Store(settings.data_dir, Fingerprint("another", DIMENSION, "sentences-v1-200"))
    before.put_document(
        LIBRARY_OWNER,
        "notes.txt",
        origin="upload",
        sha256="n",
        size_bytes=len(text),
        document=LoadedDocument(text, "Notes", "text"),
        chunks=[Chunk(0, len(text), text, "")],
        vectors=np.full((1, DIMENSION), DIMENSION**-0.5, dtype=np.float32),
    )
    before.close()
    async with open_workbench(settings) as bench:
        question = "Who looks after the sick?"
        assert not bench.search.search(question, Scope.of(LIBRARY_OWNER), limit=1).passages
        assert await bench.ingestor.rebuild_outdated() == 1
        found = bench.search.search(question, Scope.of(LIBRARY_OWNER), limit=1)
        assert "Okafor" in found.passages[0].best_sentence
        assert found.similarity is not None
        assert bench.store.outdated_owners() == []


def test_closing_leaves_neither_process_nor_thread(embedder: Embedder) -> None:
    embedder.load()
    pid = pid_of(embedder)
    embedder.close()
    assert not psutil.pid_exists(pid)
    assert not any(thread.name == "xoe-embedder" for thread in threading.enumerate())


async def test_many_may_ask_at_once_as_the_process_is_killed(embedder: Embedder) -> None:
    await asyncio.to_thread(embedder.load)
    whole = [embedder.encode_question(town).vector for town in TOWNS]
    asked = [asyncio.create_task(asyncio.to_thread(embedder.encode_question, t)) for t in TOWNS]
    os.kill(pid_of(embedder), signal.SIGKILL)
    asked += [asyncio.create_task(asyncio.to_thread(embedder.encode_question, t)) for t in TOWNS]
    for number, question in enumerate(await asyncio.gather(*asked)):
        assert question.vector == pytest.approx(whole[number % len(TOWNS)], abs=1e-3)
    embedder.close()
