"""Recordings become documents that are found, quoted and cited with their times."""

from __future__ import annotations

import asyncio
import io
import json
import struct
import wave
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import pytest
import pytest_asyncio
from servers import xoe
from speech import shared_speech

from bench.speech import spoken
from chains.citations import CitationList, find_support
from core.errors import DocumentError, DocumentTooLargeError
from core.settings import load_settings
from ingest.ingestor import DocumentReport, IngestProgress
from ingest.scope import Scope
from voice.audio import STT_RATE, Samples, to_pcm16
from voice.stt import recording_process
from voice.stt.recording_process import RecordingProcess
from xoe.workbench import Workbench, open_workbench

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]
OWNER = "session:tests"
MEETING = (
    "The deposit of the flat is two thousand dollars.",
    "The washing machine was repaired in the spring.",
    "The key of the garden gate hangs behind the kitchen door.",
)
PAUSE_S = 20.0


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * STT_RATE), dtype=np.float32)


def wav(audio: Samples) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(STT_RATE)
        file.writeframes(to_pcm16(audio))
    return buffer.getvalue()


def encoded(audio: Samples, codec: str, container: str) -> bytes:
    """The same sound as another program would save it."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=48_000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(audio[None, :], format="fltp", layout="mono")
        frame.sample_rate = STT_RATE
        sample_format = stream.format.name
        resampler = av.AudioResampler(format=sample_format, layout="mono", rate=48_000)
        for resampled in (*resampler.resample(frame), *resampler.resample(None)):
            file.mux(stream.encode(resampled))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def film_without_sound() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        for _ in range(10):
            picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def float_wav(samples: Samples, rate: int = STT_RATE) -> bytes:
    data = samples.astype("<f4").tobytes()
    header = struct.pack("<HHIIHH", 3, 1, rate, rate * 4 % 2**32, 4, 32)
    head = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack("<I", 16)
    return head + header + b"data" + struct.pack("<I", len(data)) + data


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(need_models, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Workbench]:
    need_models("embedder", "stt")
    async with open_workbench(load_settings(data_dir=tmp_path_factory.mktemp("data"))) as bench:
        yield bench


@pytest.fixture(scope="module")
def meeting(need_models) -> Samples:
    """Three statements, twenty seconds apart."""
    need_models("tts")
    clips = spoken(load_settings().models_dir, MEETING, steady=True)
    return np.concatenate([np.concatenate([clip.audio, silence(PAUSE_S)]) for clip in clips])


async def ingested(
    bench: Workbench, path: Path, data: bytes, seen: list[IngestProgress] | None = None
) -> DocumentReport:
    path.write_bytes(data)
    return await bench.ingestor.ingest_file(
        path, name=path.name, owner=OWNER, on_progress=(seen if seen is not None else []).append
    )


async def test_a_spoken_statement_is_found_and_cited_with_its_time(
    bench: Workbench, meeting: Samples, tmp_path: Path
) -> None:
    seen: list[IngestProgress] = []
    report = await ingested(bench, tmp_path / "house_meeting.wav", wav(meeting), seen)
    assert report.status == "ready", report.reason
    question = "Where is the key of the garden gate?"
    result = bench.search.search(question, Scope.of(OWNER), limit=3)
    support = find_support("The key hangs behind the kitchen door.", result.passages, question)
    assert support is not None
    citations = CitationList()
    citations.number(support)
    [citation] = citations.all()
    assert citation.source == "house_meeting.wav"
    assert "behind the kitchen door" in citation.quote
    document = bench.store.load_document(citation.document_id)
    assert document.text[citation.start : citation.end] == citation.quote
    # It is the third of three, each behind a pause of twenty seconds.
    minutes, seconds = map(int, citation.heading.split(" › ")[-1].split("–")[0].split(":"))
    assert 40 <= minutes * 60 + seconds <= 55
    heard = [p.done for p in seen if p.stage == "listening"]
    assert heard == sorted(heard)
    assert heard[-1] == len(meeting) // STT_RATE


async def test_a_real_recording_is_found_by_what_is_said_in_it(
    bench: Workbench, shared_dir: Path
) -> None:
    speech = next(s for s in shared_speech(shared_dir) if "country" in s.text)
    report = await bench.ingestor.ingest_file(speech.path, name="speech.flac", owner=OWNER)
    assert report.status == "ready", report.reason
    result = bench.search.search("What should you ask for your country?", Scope.of(OWNER), limit=3)
    best = result.passages[0]
    assert best.source == "speech.flac"
    assert "what you can do for your country" in best.text
    assert "0:00–0:1" in best.heading


@pytest.mark.parametrize(
    ("codec", "container", "suffix"),
    [
        ("libmp3lame", "mp3", "mp3"),
        ("aac", "ipod", "m4a"),
        ("libopus", "ogg", "ogg"),
        ("libopus", "webm", "webm"),
        ("flac", "flac", "flac"),
    ],
)
async def test_what_other_programs_save_can_be_heard(
    bench: Workbench, meeting: Samples, tmp_path: Path, codec: str, container: str, suffix: str
) -> None:
    first = meeting[: round(6 * STT_RATE)]
    path = tmp_path / f"{suffix}.bin"  # the content tells, not the name
    report = await ingested(bench, path, encoded(first, codec, container))
    assert report.status == "ready", report.reason
    assert "deposit" in bench.store.load_document(report.document_id or 0).text


async def test_what_cannot_be_heard_says_why_in_a_sentence(
    bench: Workbench, meeting: Samples, tmp_path: Path
) -> None:
    good = wav(meeting[: 3 * STT_RATE])
    not_numbers = np.full(STT_RATE, np.nan, dtype=np.float32)
    bad = {
        "rain.wav": (wav(silence(3)), "Nobody speaks"),
        "film.mp4": (film_without_sound(), "no sound"),
        "cut.wav": (good[:40], "no sound"),
        "broken.mp3": (b"ID3\4\0\0\0\0\0\0" + np.random.default_rng(1).bytes(9000), "damaged"),
        "lie.wav": (float_wav(meeting[:STT_RATE], rate=2_000_000_000), "claims"),
        "nan.wav": (float_wav(not_numbers), "no numbers"),
    }
    for name, (data, why) in bad.items():
        report = await ingested(bench, tmp_path / name, data)
        assert report.status == "failed", name
        assert why in (report.reason or ""), (name, report.reason)
        assert "\n" not in (report.reason or "")
        assert (report.reason or "").endswith(".")
    assert bench.recordings is not None
    assert bench.recordings.pid is None


async def test_without_the_model_the_reason_names_the_command(need_models, tmp_path: Path) -> None:
    settings = load_settings(models_dir=tmp_path)
    path = tmp_path / "talk.wav"
    path.write_bytes(wav(silence(1)))
    with pytest.raises(DocumentError, match="xoe models pull stt"):
        await RecordingProcess(settings).transcribe(path, "talk.wav", lambda *_: None)


async def test_with_voice_switched_off_a_recording_is_refused(need_models, tmp_path: Path) -> None:
    need_models("embedder")
    settings = load_settings(data_dir=tmp_path / "data", voice=False)
    async with open_workbench(settings) as silent:
        report = await ingested(silent, tmp_path / "talk.wav", wav(silence(1)))
    assert report.status == "failed"
    assert "XOE_VOICE" in (report.reason or "")


async def test_cancelling_ends_the_process(
    bench: Workbench, meeting: Samples, tmp_path: Path
) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(wav(np.tile(meeting, 20)))
    assert bench.recordings is not None
    task = asyncio.create_task(bench.recordings.transcribe(path, "long.wav", lambda *_: None))
    async with asyncio.timeout(60):
        while (pid := bench.recordings.pid) is None:
            await asyncio.sleep(0.02)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert bench.recordings.pid is None
    assert not Path(f"/proc/{pid}").exists()
    assert bench.store.find_document(OWNER, "long.wav") is None


async def test_a_process_that_is_killed_costs_its_recording_only(
    bench: Workbench, meeting: Samples, tmp_path: Path
) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(wav(np.tile(meeting, 20)))
    assert bench.recordings is not None
    task = asyncio.create_task(bench.recordings.transcribe(path, "long.wav", lambda *_: None))
    async with asyncio.timeout(60):
        while bench.recordings.pid is None:
            await asyncio.sleep(0.02)
    await bench.recordings.aclose()
    with pytest.raises(DocumentError, match="stopped at it"):
        await task
    report = await ingested(bench, tmp_path / "next.wav", wav(meeting[: 6 * STT_RATE]))
    assert report.status == "ready", report.reason


async def test_one_that_gets_no_further_is_given_up(
    need_models, meeting: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_models("stt")
    monkeypatch.setattr(recording_process, "START_S", 0.05)
    process = RecordingProcess(load_settings())
    path = tmp_path / "talk.wav"
    path.write_bytes(wav(meeting))
    with pytest.raises(DocumentError, match="too long"):
        await process.transcribe(path, "talk.wav", lambda *_: None)
    assert process.pid is None


async def test_one_that_is_longer_than_is_allowed_is_refused(
    need_models, meeting: Samples, tmp_path: Path
) -> None:
    need_models("stt")
    process = RecordingProcess(load_settings(recording_max_h=10 / 3600))
    path = tmp_path / "talk.wav"
    path.write_bytes(wav(meeting))
    with pytest.raises(DocumentTooLargeError, match="longer than"):
        await process.transcribe(path, "talk.wav", lambda *_: None)


async def test_the_command_takes_a_recording_and_answers_as_json(
    need_models, shared_dir: Path, tmp_path: Path
) -> None:
    need_models("embedder", "stt")
    speech = next(s for s in shared_speech(shared_dir) if "country" in s.text)
    done = await asyncio.to_thread(
        xoe, "ingest", str(speech.path), "--data-dir", "data", "--json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["ready"], result["failed"]) == (1, 0)
    assert result["passages"] >= 1
