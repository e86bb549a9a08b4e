"""Speech from the real voice and the real second engine."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
import psutil
import pytest
from piper import PiperVoice

import engines.process
from core.errors import (
    ModelDamagedError,
    ModelLoadError,
    ModelMissingError,
    SettingsError,
    SpeechBusyError,
    SynthesisError,
    XoeError,
)
from core.settings import load_settings
from engines.service import Call
from models.provision import ensure_present
from voice.tts.engines import PARTS_FOLDER, EspeakSynthesizer, PiperSynthesizer
from voice.tts.parts import load_parts
from voice.tts.piper import PiperService
from voice.tts.synthesizer import Samples, Synthesizer, VoiceStyle
from voice.tts.vits import MIN_SNR_DB, PartedGraph, WholeGraph
from voice.tts.voice_file import open_voice
from voice.tts.windows import snr_db

pytestmark = pytest.mark.integration

FAULTY_CHILD = Path(__file__).resolve().parents[1] / "faulty_child.py"
LONG = (
    "The Eiffel Tower is a wrought iron lattice tower in Paris, which was built for the world fair "
    "of eighteen eighty nine and is named after the engineer whose company designed it, and it is "
    "three hundred and thirty meters tall."
)


@pytest.fixture(scope="module")
def models_dir(need_models: Callable[..., None]) -> Path:
    need_models("tts")
    return load_settings().models_dir


@pytest.fixture(scope="module")
def voice_path(models_dir: Path) -> Path:
    return ensure_present("tts", models_dir)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


@pytest.fixture
async def piper(models_dir: Path, cache: Path) -> AsyncIterator[PiperSynthesizer]:
    engine = PiperSynthesizer("tts", models_dir, cache=cache)
    await engine.start()
    yield engine
    await engine.aclose()


@pytest.fixture
async def espeak() -> AsyncIterator[EspeakSynthesizer]:
    engine = EspeakSynthesizer()
    await engine.start()
    yield engine
    await engine.aclose()


async def said(engine: Synthesizer, text: str, style: VoiceStyle | None = None) -> Samples:
    chunks = [chunk async for chunk in engine.stream(text, style)]
    assert {chunk.sample_rate for chunk in chunks} == {engine.sample_rate}
    return np.concatenate([chunk.samples for chunk in chunks])


def piper_here(models_dir: Path, cache: Path) -> PiperService:
    """The service that Piper's process hosts, in this one."""
    service = PiperService(
        voice="tts", models_dir=str(models_dir), speaker=None, threads=1, cache=str(cache)
    )
    service.load(Call({}))
    return service


def said_by(service: PiperService, text: str) -> Samples:
    pieces = []

    def take(_: object, payload: bytes) -> None:
        pieces.append(np.frombuffer(payload, np.float32))

    service.speak(Call({"text": text, "speed": 1.0, "speaker": None}, emit=take))
    return np.concatenate(pieces)


def copy_voice(voice_path: Path, folder: Path, name: str = "voice.onnx") -> Path:
    target = folder / name
    shutil.copy(voice_path, target)
    shutil.copy(f"{voice_path}.json", f"{target}.json")
    return target


@pytest.mark.parametrize("text", ["Yes.", "The capital of France is Paris.", LONG])
async def test_parts_and_windows_give_the_sound_of_the_whole(
    piper: PiperSynthesizer, voice_path: Path, cache: Path, text: str
) -> None:
    """Whatever the length, nothing of the cut or of the windows can be heard."""
    assert piper.windowed
    [folder] = [path for path in cache.iterdir() if path.is_dir()]
    kept = load_parts(cache, folder.name)
    assert kept is not None
    assert min(kept.split_snr_db, kept.windowed_snr_db) >= MIN_SNR_DB
    parted, whole = PartedGraph(kept.parts, 1), WholeGraph(str(voice_path), 1)
    feed = PiperService.noiseless_feed(open_voice(str(voice_path), voice_path.parent), text)
    reference = next(whole.run(feed))
    assert snr_db(reference, parted.run_whole(feed)) >= MIN_SNR_DB
    windows = list(parted.run(feed))
    assert snr_db(reference, np.concatenate(windows)) >= MIN_SNR_DB
    if text == LONG:
        assert len(windows) > 5


async def test_it_says_as_much_as_piper_itself(piper: PiperSynthesizer, voice_path: Path) -> None:
    voice = PiperVoice.load(voice_path)
    theirs = sum(len(chunk.audio_float_array) for chunk in voice.synthesize(LONG))
    ours = await said(piper, LONG)
    assert len(ours) == pytest.approx(theirs, rel=0.1)
    assert np.abs(ours).max() <= 1.0
    assert 0.02 < np.sqrt(np.mean(ours**2)) < 0.3


async def test_double_speed_is_a_good_deal_shorter(piper: PiperSynthesizer) -> None:
    normal, fast = await said(piper, LONG), await said(piper, LONG, VoiceStyle(speed=2.0))
    # Not quite half of it: every sound lasts a whole number of frames.
    assert 0.4 < len(fast) / len(normal) < 0.75


async def test_the_first_chunk_comes_long_before_the_last(piper: PiperSynthesizer) -> None:
    begun = time.perf_counter()
    times = []
    async for _chunk in piper.stream(LONG):
        times.append(time.perf_counter() - begun)
    assert len(times) > 5
    assert times[0] < times[-1] / 2


@pytest.mark.parametrize("text", ["", "   ", "…", "!?", "[[", "\0", "🎉", "x" * 3000, "\ud800"])
async def test_odd_texts_are_no_error(piper: PiperSynthesizer, text: str) -> None:
    async for _chunk in piper.stream(text):
        break


async def test_cancelling_frees_the_engine_for_the_next(
    piper: PiperSynthesizer, espeak: EspeakSynthesizer
) -> None:
    """A closed stream stops in the thread too: it does not speak on for nobody."""
    for engine, text in ((piper, LONG), (espeak, LONG + LONG)):
        stream = engine.stream(text)
        await anext(stream)
        await stream.aclose()
        for _ in range(100):
            if engine.idle:
                break
            await asyncio.sleep(0.01)
        assert engine.idle
        assert len(await said(engine, "Yes."))


async def test_a_cancelled_task_is_cancelled_before_and_while_it_speaks(
    piper: PiperSynthesizer,
) -> None:
    async def listen() -> None:
        async for _chunk in piper.stream(LONG):
            pass

    for pause in (0.0, 0.05, 0.3):
        task = asyncio.create_task(listen())
        await asyncio.sleep(pause)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(await said(piper, "Yes."))


async def test_a_full_queue_says_so(models_dir: Path, cache: Path) -> None:
    engine = PiperSynthesizer("tts", models_dir, cache=cache, queue_limit=2)
    await engine.start()
    tasks = [asyncio.create_task(said(engine, LONG)) for _ in range(6)]
    done = await asyncio.gather(*tasks, return_exceptions=True)
    await engine.aclose()
    assert any(isinstance(outcome, SpeechBusyError) for outcome in done)
    assert any(isinstance(outcome, np.ndarray) for outcome in done)


async def test_closing_fails_what_waits_and_ends_the_thread_and_the_process(
    models_dir: Path, cache: Path
) -> None:
    engine = PiperSynthesizer("tts", models_dir, cache=cache)
    await engine.start()
    [report] = engine.reports()
    assert report.pid is not None
    assert psutil.pid_exists(report.pid)
    tasks = [asyncio.create_task(said(engine, LONG)) for _ in range(3)]
    await asyncio.sleep(0.05)
    await engine.aclose()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, XoeError) for outcome in outcomes)
    assert not any(thread.name == "xoe-piper" for thread in threading.enumerate())
    assert not psutil.pid_exists(report.pid)


async def test_both_engines_speak_at_once(
    piper: PiperSynthesizer, espeak: EspeakSynthesizer
) -> None:
    texts = ["One.", "The second sentence is longer.", "And a third one, for good measure."]
    alone = [len(await said(espeak, text)) for text in texts]
    for _ in range(3):
        sounds = await asyncio.gather(
            *(said(piper, text) for text in texts), *(said(espeak, text) for text in texts)
        )
        assert all(len(sound) for sound in sounds)
        # espeak-ng's pauses differ by a few milliseconds from one time to the next.
        assert [len(sound) for sound in sounds[3:]] == pytest.approx(alone, rel=0.05)


async def test_espeak_speaks(espeak: EspeakSynthesizer) -> None:
    sound = await said(espeak, "The capital of France is Paris.")
    assert 1.0 < len(sound) / espeak.sample_rate < 4.0
    assert 0.01 < np.sqrt(np.mean(sound**2)) < 0.5
    fast = await said(espeak, LONG, VoiceStyle(speed=2.0))
    assert len(fast) < 0.7 * len(await said(espeak, LONG))


async def test_espeak_is_there_again_after_it_was_closed() -> None:
    for _ in range(2):
        engine = EspeakSynthesizer()
        assert len(await said(engine, "Hello."))
        await engine.aclose()


async def test_two_espeaks_keep_their_voices_apart_and_an_unknown_voice_is_refused(
    espeak: EspeakSynthesizer,
) -> None:
    """The library's state is global: each has a process of its own."""
    text = "Twenty-one large houses."
    alone = len(await said(espeak, text))
    german = EspeakSynthesizer(voice="de")
    for _ in range(3):
        sounds = await asyncio.gather(said(espeak, text), said(german, text))
        assert len(sounds[0]) == pytest.approx(alone, rel=0.05)
        assert len(sounds[1]) != pytest.approx(alone, rel=0.05)
    await german.aclose()
    with pytest.raises(ModelLoadError, match="no voice"):
        await EspeakSynthesizer(voice="no-such-voice").start()


async def test_a_voice_without_its_json_is_refused_in_a_sentence(
    voice_path: Path, tmp_path: Path
) -> None:
    lonely = tmp_path / "lonely.onnx"
    shutil.copy(voice_path, lonely)
    with pytest.raises(ModelMissingError, match=r"lonely\.onnx\.json"):
        await PiperSynthesizer(str(lonely), tmp_path).start()


async def test_a_voice_whose_json_makes_no_sense_is_refused(
    voice_path: Path, tmp_path: Path
) -> None:
    path = copy_voice(voice_path, tmp_path)
    for nonsense in ("", "[]", "{}", '{"audio": 3}'):
        Path(f"{path}.json").write_text(nonsense)
        with pytest.raises(ModelLoadError, match="configuration"):
            await PiperSynthesizer(str(path), tmp_path).start()


async def test_a_damaged_voice_is_refused_in_a_sentence(voice_path: Path, tmp_path: Path) -> None:
    path = copy_voice(voice_path, tmp_path)
    whole = path.read_bytes()
    for damaged in (b"", b"no model", whole[:3_000_000], whole[:1000] + bytes(4000)):
        path.write_bytes(damaged)
        with pytest.raises(ModelLoadError, match="damaged"):
            await PiperSynthesizer(str(path), tmp_path).start()


async def test_a_damaged_voice_of_the_manifest_is_refused(voice_path: Path, tmp_path: Path) -> None:
    (tmp_path / "tts").mkdir()
    path = copy_voice(voice_path, tmp_path / "tts", voice_path.name)
    with path.open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"damage")
    with pytest.raises(ModelDamagedError):
        await PiperSynthesizer("tts", tmp_path).start()


async def test_a_speaker_that_the_voice_does_not_have_is_refused(models_dir: Path) -> None:
    engine = PiperSynthesizer("tts", models_dir, style=VoiceStyle(speaker="Anna"))
    with pytest.raises(SettingsError, match="Anna"):
        await engine.start()


async def test_a_start_that_failed_can_be_made_good(voice_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "voice.onnx"
    engine = PiperSynthesizer(str(path), tmp_path)
    with pytest.raises(ModelMissingError):
        await engine.start()
    copy_voice(voice_path, tmp_path)
    assert len(await said(engine, "Yes."))
    await engine.aclose()


async def test_parts_are_cut_once_and_again_when_they_or_the_voice_changed(
    voice_path: Path, tmp_path: Path
) -> None:
    path = copy_voice(voice_path, tmp_path)
    cache = tmp_path / PARTS_FOLDER

    async def start() -> bool:
        engine = PiperSynthesizer(str(path), tmp_path)
        await engine.start()
        await engine.aclose()
        return engine.windowed or bool(list(cache.glob("*/parts.json")))

    assert await start()
    [index] = cache.glob("*/parts.json")
    made = index.stat().st_mtime_ns
    assert await start()
    assert index.stat().st_mtime_ns == made
    decoder = index.with_name("decoder.onnx")
    decoder.write_bytes(decoder.read_bytes()[:-100])
    assert await start()
    assert index.stat().st_mtime_ns != made
    assert json.loads(index.read_text())["windowed_snr_db"] >= MIN_SNR_DB
    assert not list(cache.glob("*/.*"))


def test_where_onnx_is_not_installed_the_voice_is_used_whole(
    models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    service = piper_here(models_dir, tmp_path)
    assert not service.load(Call({}))["windowed"]
    assert len(said_by(service, "It still speaks."))


def test_a_cut_that_sounds_different_is_not_used(
    models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With too little context there are seams; the check hears them."""
    monkeypatch.setattr("voice.tts.graph._Graph.radius", lambda *_: (1.0, 256))
    service = piper_here(models_dir, tmp_path)
    assert not service.load(Call({}))["windowed"]
    assert not list(tmp_path.glob("*/parts.json"))
    assert len(said_by(service, "It still speaks."))


async def test_where_the_parts_cannot_be_kept_it_speaks_all_the_same(
    models_dir: Path, tmp_path: Path
) -> None:
    blocked = tmp_path / "a-file"
    blocked.write_text("in the way")
    engine = PiperSynthesizer("tts", models_dir, cache=blocked)
    await engine.start()
    assert engine.windowed
    await engine.aclose()


async def test_the_loop_is_not_held_up(piper: PiperSynthesizer) -> None:
    """While the engine works, the event loop goes round."""
    lags = []

    async def watch() -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.005)
            lags.append(time.perf_counter() - begun - 0.005)

    watcher = asyncio.create_task(watch())
    await said(piper, LONG)
    watcher.cancel()
    assert len(lags) > 10
    assert sorted(lags)[len(lags) // 2] < 0.1


def test_an_error_of_onnx_runtime_is_told_in_a_sentence_and_the_next_text_is_spoken(
    models_dir: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = piper_here(models_dir, cache)

    def fail(*_: object) -> None:
        raise ort.capi.onnxruntime_pybind11_state.Fail("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(service._graph, "run", fail)
        with pytest.raises(SynthesisError, match="failed while it was speaking"):
            said_by(service, "Yes.")
    assert len(said_by(service, "Yes."))


async def test_any_other_error_in_its_process_is_told_and_the_next_text_is_spoken(
    models_dir: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = tmp_path / "faults.json"
    command = ("-P", str(FAULTY_CHILD), str(faults))
    monkeypatch.setattr(engines.process, "COMMAND", command)
    engine = PiperSynthesizer("tts", models_dir, cache=cache)
    await engine.start()
    pid = engine.reports()[0].pid
    faults.write_text('{"tts": "error"}')
    with pytest.raises(SynthesisError, match="failed"):
        await said(engine, "Yes.")
    faults.write_text("{}")
    assert len(await said(engine, "Yes."))
    assert engine.reports()[0].pid == pid
    await engine.aclose()
