"""Whoever floods an engine waits for themselves: others are next when what runs has ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from engine_service import Words, puppet

from core.errors import BusyError, SpeechBusyError, TranscriptionBusyError
from core.settings import Settings, load_settings
from core.share import Share, as_share
from engines.worker import Worker
from ingest.ingestor import DocumentReport
from state.breakers import Breakers
from voice.audio import STT_RATE
from voice.stt import DecodeRequest
from voice.stt.fallback import FallbackTranscriber
from voice.stt.whisper import QUEUE_LIMIT, WhisperTranscriber
from voice.tts.engines import EspeakSynthesizer
from xoe.workbench import Workbench

pytestmark = pytest.mark.integration

Work = Callable[[], Coroutine[None, None, object]]
ADA, BEN, CY = (Share(f"user:{name}", "chat", interactive=True) for name in ("ada", "ben", "cy"))


class Crowd:
    """Has work done as several owners; notes in which order it ended."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.refused: list[BusyError] = []
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, whose: Share, work: Work, times: int = 1) -> list[asyncio.Task[None]]:
        with as_share(whose):
            begun = [asyncio.create_task(self._do(whose.owner, work)) for _ in range(times)]
        self._tasks += begun
        return begun

    async def _do(self, owner: str, work: Work) -> None:
        try:
            await work()
            self.ended.append(owner)
        except BusyError as exc:
            self.refused.append(exc)

    async def done(self) -> None:
        await asyncio.gather(*self._tasks)


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not done():
            await asyncio.sleep(0.001)


# ── any engine ───────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def worker() -> Iterator[Worker[Words]]:
    worker = puppet(limit=64)
    worker.start().result()
    yield worker
    worker.stop()


@contextlib.asynccontextmanager
async def at_work(worker: Worker[Words]) -> AsyncIterator[None]:
    """Keep the engine busy while the crowd gathers."""
    job = Words("run_on", {})
    worker.submit(job)
    await until(lambda: bool(job._events))
    yield
    worker.cancel(job)


async def test_owners_take_turns_before_an_engine(worker: Worker[Words]) -> None:
    async def word() -> object:
        job = Words("words", {"count": 1})
        worker.submit(job)
        return [event async for event in job.events()]

    crowd = Crowd()
    program = Share("user:dan", "program")
    async with at_work(worker):
        crowd.begin(program, word, 4)
        for whose in (ADA, BEN, CY):
            crowd.begin(whose, word, 8)
        await until(lambda: worker.waiting == 28)
    await crowd.done()
    first = Counter(crowd.ended[:12])
    assert min(first[whose.owner] for whose in (ADA, BEN, CY)) >= 3
    assert 1 <= first["user:dan"] <= 2, "people go first, and programs are not starved"


async def test_what_waits_for_its_turn_does_not_hang(worker: Worker[Words]) -> None:
    """The time that an engine may take begins when it takes something up."""
    job = Words("run_on", {})
    heard = asyncio.create_task(_all(job, timeout_s=0.1))
    async with at_work(worker):
        worker.submit(job)
        await asyncio.sleep(0.5)
        assert not heard.done()
    with pytest.raises(TimeoutError):
        await heard
    worker.cancel(job)


async def _all(job: Words, timeout_s: float) -> list[object]:
    return [event async for event in job.events(timeout_s)]


# ── hearing and speaking ─────────────────────────────────────────────────────────────────────────


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tiny(need_models) -> AsyncIterator[WhisperTranscriber]:
    need_models("stt-light")
    engine = WhisperTranscriber(load_settings().models_dir, model="stt-light", threads=1)
    await engine.start()
    yield engine
    await engine.aclose()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_flood_of_dictation_delays_anothers_by_one_piece_and_a_call_by_none_that_waits(
    tiny: WhisperTranscriber,
) -> None:
    noise = np.random.default_rng(7).normal(0, 0.1, 4 * STT_RATE).astype(np.float32)
    begun = 0

    async def decode() -> object:
        nonlocal begun
        begun += 1
        return await tiny.decode(DecodeRequest(noise, "en"))

    crowd = Crowd()
    dictating = Share("user:ada", "dictation")
    crowd.begin(dictating, decode)
    await until(lambda: begun == 1 and tiny.waiting == 0)
    crowd.begin(dictating, decode, 2 * QUEUE_LIMIT)
    await until(lambda: bool(crowd.refused))
    crowd.begin(Share("user:ben", "dictation"), decode)
    await asyncio.sleep(0)
    crowd.begin(CY, decode)
    await crowd.done()
    assert crowd.ended[0] == "user:ada", "what was under way"
    assert crowd.ended[1] == "user:cy", "in a call"
    assert crowd.ended.index("user:ben") <= 3
    assert len(crowd.ended) == 1 + QUEUE_LIMIT // 4 + 2
    for refusal in crowd.refused:
        assert isinstance(refusal, TranscriptionBusyError)
        assert refusal.own
        assert refusal.retry_after_s >= 1


@pytest.mark.asyncio(loop_scope="module")
async def test_being_busy_opens_no_circuit(tiny: WhisperTranscriber, tmp_path: Path) -> None:
    breakers = Breakers(Settings(data_dir=tmp_path), None)
    spared: list[int] = []
    pair = FallbackTranscriber(
        tiny,
        WhisperTranscriber(load_settings().models_dir, model="stt-light"),
        breakers=breakers,
        timeout_s=60,
        on_fallback=lambda: spared.append(1),
    )
    noise = np.random.default_rng(7).normal(0, 0.1, STT_RATE).astype(np.float32)
    crowd = Crowd()
    crowd.begin(ADA, lambda: pair.decode(DecodeRequest(noise, "en")), 30)
    await crowd.done()
    assert len(crowd.refused) >= 20
    await pair.decode(DecodeRequest(noise, "en"))
    assert not spared


async def test_who_has_much_read_aloud_delays_anothers_clause_by_one(need_models) -> None:
    engine = EspeakSynthesizer(queue_limit=32)
    await engine.start()

    async def speak() -> object:
        return [chunk async for chunk in engine.stream("A sentence that is read aloud. " * 20)]

    try:
        crowd = Crowd()
        reading = Share("user:ada", "reading")
        crowd.begin(reading, speak, 12)
        await until(lambda: engine.waiting > 0)
        crowd.begin(Share("user:ben", "reading"), speak)
        await until(lambda: engine.waiting > 1)
        crowd.begin(CY, speak)
        await crowd.done()
        assert crowd.ended.index("user:cy") <= 2
        assert crowd.ended.index("user:ben") <= 4
        assert crowd.refused, "an owner's part of the queue is full"
        assert all(isinstance(refusal, SpeechBusyError) for refusal in crowd.refused)
    finally:
        await engine.aclose()


# ── reading files ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def bench(tmp_path: Path, need_models) -> AsyncIterator[Workbench]:
    need_models("embedder")
    bench = await asyncio.to_thread(
        Workbench.build, load_settings(data_dir=tmp_path / "data", voice=False)
    )
    yield bench
    await bench.aclose()


def write(folder: Path, name: str) -> Path:
    path = folder / f"{name}.md"
    text = " ".join(f"In {name} stands sentence {number} of its own." for number in range(12))
    path.write_text(f"# {name}\n\n{text}\n")
    return path


async def test_a_heap_of_files_delays_anothers_one_file_by_what_is_under_way(
    bench: Workbench, tmp_path: Path
) -> None:
    flood = 16
    paths = {owner: [write(tmp_path, f"{owner}-{n}") for n in range(flood)] for owner in "abc"}

    def reading(owner: str, number: int) -> Work:
        path = paths[owner][number]

        async def read() -> DocumentReport:
            report = await bench.ingestor.ingest_file(path, name=path.name, owner=owner)
            assert report.status == "ready", report
            return report

        return read

    crowd = Crowd()
    for number in range(flood):
        crowd.begin(ADA, reading("a", number))
    await until(lambda: len(crowd.ended) >= 2)
    had = len(crowd.ended)
    crowd.begin(BEN, reading("b", 0))
    await crowd.done()
    # One at each stage: read, split, embedded, kept.
    assert crowd.ended.index("user:ben") - had <= 5
    assert not crowd.refused


async def test_several_heaps_of_files_are_read_in_turns(bench: Workbench, tmp_path: Path) -> None:
    crowd = Crowd()

    def reading(owner: str, number: int) -> Work:
        path = write(tmp_path, f"{owner}-{number}")
        return lambda: _ready(bench.ingestor.ingest_file(path, name=path.name, owner=owner))

    for whose, owner in ((ADA, "a"), (BEN, "b"), (CY, "c")):
        for number in range(10):
            crowd.begin(whose, reading(owner, number))
    await crowd.done()
    first = Counter(crowd.ended[:15])
    assert all(4 <= first[whose.owner] <= 6 for whose in (ADA, BEN, CY)), crowd.ended


async def _ready(reading: Awaitable[DocumentReport]) -> None:
    assert (await reading).status == "ready"


async def test_a_file_for_which_there_is_no_room_is_told_and_left_for_later(
    bench: Workbench, tmp_path: Path
) -> None:
    path = write(tmp_path, "again")
    with as_share(ADA):
        reading = [
            asyncio.create_task(
                bench.ingestor.ingest_file(write(tmp_path, f"n{n}"), name=f"n{n}.md", owner="a")
            )
            for n in range(60)
        ]
    reports = await asyncio.gather(*reading)
    put_off = [report for report in reports if report.status == "failed"]
    assert put_off
    assert all("files under way" in (report.reason or "") for report in put_off)
    stored = await asyncio.to_thread(bench.store.documents, ["a"])
    assert {document.status for document in stored} == {"ready"}
    report = await bench.ingestor.ingest_file(path, name=path.name, owner="a")
    assert report.status == "ready"
