"""Whisper hears real speech, hears nothing where nobody speaks, and serves many at once."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
import soxr
from noises import NOISES, music, pink_noise, silence
from speech import Samples, Spoken, shared_speech, wer

from bench import speech as bench_speech
from core.errors import (
    EngineNotReadyError,
    ModelDamagedError,
    ModelMissingError,
    TranscriptionBusyError,
    TranscriptionError,
)
from core.settings import load_settings
from models.provision import model_path
from voice.audio import PAGE_RATE, STT_RATE, to_pcm16
from voice.endpoint import Endpointer, Pause, SpeechStarted, TurnEnded
from voice.frames import Framer
from voice.stt import DecodeRequest, Transcript, TranscriptionSession
from voice.stt import decoder as decoder_module
from voice.stt.decoder import WhisperDecoder, WindowConfig
from voice.stt.hints import hints_from_titles
from voice.stt.whisper import WhisperTranscriber
from voice.vad import SileroVad

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def base(need_models) -> AsyncIterator[WhisperTranscriber]:
    need_models("stt")
    engine = WhisperTranscriber.from_settings(load_settings(), "stt")
    await engine.start()
    yield engine
    await engine.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def vad() -> AsyncIterator[SileroVad]:
    detector = SileroVad()
    await detector.start()
    yield detector
    await detector.aclose()


@pytest.fixture(scope="module")
def recordings(shared_dir: Path) -> list[Spoken]:
    return shared_speech(shared_dir)


def page_bytes(audio: Samples) -> bytes:
    """What the page would send: mono PCM at 24 kHz."""
    return to_pcm16(soxr.resample(audio, STT_RATE, PAGE_RATE).astype(np.float32))


class Ear:
    """A call's listening half: bytes in, transcripts out."""

    def __init__(self, session: TranscriptionSession, vad: SileroVad) -> None:
        self.session = session
        self.framer, self.vad, self.endpointer = Framer(), vad.session(), Endpointer()
        self.started = self.prepared = 0
        self.turns: list[Transcript] = []

    async def hear(self, audio: Samples, chunk: int = 8192) -> None:
        data = page_bytes(audio)
        for start in range(0, len(data), chunk):
            frames = self.framer.feed(data[start : start + chunk])
            probabilities = await self.vad.probabilities(frames)
            for frame, probability in zip(frames, probabilities, strict=True):
                await self._take(frame, probability)

    async def _take(self, frame: Samples, probability: float) -> None:
        self.session.feed(frame, probability)
        for event in self.endpointer.feed(probability):
            if isinstance(event, SpeechStarted):
                self.started += 1
            elif isinstance(event, Pause):
                self.prepared += 1
                partial = await self.session.partial()
                assert partial is not None
                self.endpointer.hear(partial.text)
            elif isinstance(event, TurnEnded):
                self.turns.append(await self.session.final())
                self.session.reset()


async def test_real_recordings_are_heard_from_the_pages_bytes(
    base: WhisperTranscriber, vad: SileroVad, recordings: list[Spoken]
) -> None:
    said, heard = [], []
    for spoken in recordings:
        ear = Ear(TranscriptionSession(base), vad)
        await ear.hear(np.concatenate([silence(0.5), spoken.audio, silence(2.0)]), chunk=8191)
        assert ear.turns, f"{spoken.name}: no turn"
        said.append(spoken.text)
        heard.append(" ".join(turn.text for turn in ear.turns))
    assert wer(said, heard) <= 0.1, list(zip(said, heard, strict=True))


@pytest.mark.parametrize("name", NOISES)
async def test_what_is_no_speech_gives_no_turn_and_no_text(
    base: WhisperTranscriber, vad: SileroVad, name: str
) -> None:
    ear = Ear(TranscriptionSession(base), vad)
    await ear.hear(NOISES[name]())
    assert (ear.started, ear.turns) == (0, [])
    assert (await ear.session.final()).text == ""


@pytest.mark.parametrize("name", NOISES)
async def test_whisper_alone_writes_nothing_for_noise_either(
    base: WhisperTranscriber, name: str
) -> None:
    transcript = await base.decode(DecodeRequest(NOISES[name](), language="en"))
    assert transcript.text == ""


async def test_the_detectors_process_may_be_lost_and_no_frame_with_it(
    vad: SileroVad, recordings: list[Spoken]
) -> None:
    """What it has heard goes back and forth with each call, so another process goes on."""
    audio = max(recordings, key=lambda spoken: len(spoken.text)).audio
    frames = [audio[start : start + 512] for start in range(0, len(audio) - 511, 512)]
    whole = await vad.session().probabilities(frames)
    assert max(whole) > 0.9

    async def hear(kill_at: int) -> list[float]:
        session, heard = vad.session(), []
        for start in range(0, len(frames), 5):
            call = asyncio.create_task(session.probabilities(frames[start : start + 5]))
            if start == kill_at:
                await asyncio.sleep(0)
                os.kill(vad.report().pid or 0, signal.SIGKILL)
            heard += await call
        return heard

    restarts = vad.report().restarts
    for kill_at in (0, len(frames) // 10 * 5):
        for heard in await asyncio.gather(hear(kill_at), hear(-1), hear(-1)):
            assert heard == pytest.approx(whole, abs=1e-4)
    assert vad.report().restarts == restarts + 2


async def test_a_state_that_is_kept_matters_to_what_is_heard(
    vad: SileroVad, recordings: list[Spoken]
) -> None:
    audio = recordings[0].audio
    frames = [audio[start : start + 512] for start in range(0, len(audio) - 511, 512)]
    session, forgetful = vad.session(), []
    for frame in frames:
        session.reset()
        forgetful += await session.probabilities([frame])
    assert forgetful != pytest.approx(await vad.session().probabilities(frames), abs=0.05)


async def test_speech_in_a_noisy_room_is_heard(
    base: WhisperTranscriber, vad: SileroVad, recordings: list[Spoken]
) -> None:
    spoken = max(recordings, key=lambda spoken: len(spoken.text))
    audio = np.concatenate([silence(0.5), spoken.audio, silence(2.0)])
    room = pink_noise(len(audio) / STT_RATE, level=float(np.abs(spoken.audio).std()) * 0.3)
    ear = Ear(TranscriptionSession(base, language="en"), vad)
    await ear.hear((audio + room[: len(audio)]).astype(np.float32))
    assert wer(spoken.text, " ".join(turn.text for turn in ear.turns)) <= 0.15


async def test_music_does_not_end_up_in_what_is_said_after_it(
    base: WhisperTranscriber, vad: SileroVad, recordings: list[Spoken]
) -> None:
    spoken = next(r for r in recordings if "lamp" in r.text)
    ear = Ear(TranscriptionSession(base), vad)
    await ear.hear(np.concatenate([music(4.0), silence(1.0), spoken.audio, silence(2.0)]))
    assert wer(spoken.text, " ".join(turn.text for turn in ear.turns)) <= 0.2


async def test_a_loop_in_a_short_window_is_decoded_again_in_a_longer_one(
    need_models, recordings: list[Spoken]
) -> None:
    need_models("stt")
    folder = model_path("stt", load_settings().models_dir).parent
    spoken = next(r for r in recordings if "lamp" in r.text)
    # Without silence behind the speech Whisper does not find the end: the loop is provoked.
    bare = WindowConfig(floor_frames=100, slack_frames=0)
    whisper = WhisperDecoder.load(folder, name="base", threads=2, window=bare)
    request = DecodeRequest(spoken.audio, language="en")
    guarded = whisper.transcribe(request)
    assert guarded.window_frames >= decoder_module.WIDE_FRAMES
    assert wer(spoken.text, guarded.text) <= 0.25
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder_module.guard, "suspicion", lambda *_, **__: None)
        unguarded = whisper.transcribe(request)
    assert wer(spoken.text, unguarded.text) > 0, "the short window no longer needs the guard"
    whisper.close()


async def test_a_sentence_that_is_written_three_times_is_heard_once(need_models) -> None:
    need_models("stt", "tts")
    settings = load_settings()
    said = "Section 12 of the contract covers damage by water."
    [clip] = bench_speech.spoken(settings.models_dir, [said], steady=True)
    whisper = WhisperDecoder.load(
        model_path("stt", settings.models_dir).parent, name="base", threads=2
    )
    request = DecodeRequest(clip.audio, language="en")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder_module.guard, "suspicion", lambda *_, **__: None)
        unguarded = whisper.transcribe(request)
    assert wer(said, unguarded.text) > 1, "this sentence no longer loops"
    assert wer(said, whisper.transcribe(request).text) <= 0.25
    whisper.close()


async def test_a_loop_of_one_call_is_not_in_the_next(
    base: WhisperTranscriber, recordings: list[Spoken]
) -> None:
    audio = recordings[-1].audio
    request = DecodeRequest(audio, language="en", speech_ms=1000)
    texts = {(await base.decode(request)).text for _ in range(3)}
    assert len(texts) == 1


async def test_two_sessions_that_speak_at_once_are_not_mixed(
    base: WhisperTranscriber, vad: SileroVad, recordings: list[Spoken]
) -> None:
    light = next(r for r in recordings if r.text.endswith("light."))
    paris = next(r for r in recordings if "Paris" in r.text)
    ears = [Ear(TranscriptionSession(base), vad) for _ in range(2)]
    sounds = [np.concatenate([s.audio, silence(2.0)]) for s in (light, paris)]
    await asyncio.gather(*(ear.hear(sound) for ear, sound in zip(ears, sounds, strict=True)))
    for ear, spoken in zip(ears, (light, paris), strict=True):
        assert wer(spoken.text, " ".join(turn.text for turn in ear.turns)) <= 0.2


async def test_the_final_text_is_there_when_the_pause_has_prepared_it(
    base: WhisperTranscriber, vad: SileroVad, recordings: list[Spoken]
) -> None:
    spoken = next(r for r in recordings if "lamp" in r.text)
    ear = Ear(TranscriptionSession(base, language="en"), vad)
    await ear.hear(np.concatenate([spoken.audio, silence(0.3)]))
    assert ear.prepared == 1
    calls = []
    decode = base.decode

    async def counted(request: DecodeRequest) -> Transcript:
        calls.append(request)
        return await decode(request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base, "decode", counted)
        await ear.hear(silence(2.0))
    assert ear.turns[0].text
    assert calls == []


async def test_a_cancelled_decode_leaves_the_engine_free(
    base: WhisperTranscriber, recordings: list[Spoken]
) -> None:
    long = np.tile(recordings[0].audio, 3)[: 29 * STT_RATE]
    first = asyncio.create_task(base.decode(DecodeRequest(long, language="en")))
    waiting = asyncio.create_task(base.decode(DecodeRequest(long, language="en")))
    await asyncio.sleep(0.05)
    for task in (waiting, first):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    spoken = next(r for r in recordings if "lamp" in r.text)
    transcript = await base.decode(DecodeRequest(spoken.audio, language="en"))
    assert wer(spoken.text, transcript.text) <= 0.2


async def test_the_loop_is_never_blocked(
    base: WhisperTranscriber, recordings: list[Spoken]
) -> None:
    lags = []

    async def watch() -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.005)
            lags.append(time.perf_counter() - begun)

    watcher = asyncio.create_task(watch())
    await base.decode(DecodeRequest(recordings[0].audio, language="en"))
    watcher.cancel()
    # A decode takes hundreds of milliseconds: had it run in the loop, there would be one turn.
    assert len(lags) > 5


async def test_a_final_goes_before_the_partials_that_wait(
    base: WhisperTranscriber, recordings: list[Spoken]
) -> None:
    audio = recordings[0].audio
    order: list[str] = []

    async def run(name: str, *, partial: bool) -> None:
        await base.decode(DecodeRequest(audio, language="en", partial=partial))
        order.append(name)

    tasks = [asyncio.create_task(run("running", partial=True))]
    await asyncio.sleep(0.02)
    tasks += [asyncio.create_task(run(f"partial {i}", partial=True)) for i in range(2)]
    await asyncio.sleep(0)
    tasks.append(asyncio.create_task(run("final", partial=False)))
    await asyncio.gather(*tasks)
    assert order == ["running", "final", "partial 0", "partial 1"]


async def test_a_full_queue_says_so(base: WhisperTranscriber) -> None:
    noise = NOISES["white noise"]()
    tasks = [asyncio.create_task(base.decode(DecodeRequest(noise, "en"))) for _ in range(30)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(result, TranscriptionBusyError) for result in results) >= 10


async def test_sound_that_cannot_be_is_refused(base: WhisperTranscriber) -> None:
    with pytest.raises(TranscriptionError, match="no numbers"):
        await base.decode(DecodeRequest(np.full(STT_RATE, np.nan, dtype=np.float32), "en"))
    with pytest.raises(TranscriptionError, match="30 seconds"):
        await base.decode(DecodeRequest(silence(31), "en"))
    with pytest.raises(TranscriptionError, match="'xx'"):
        await base.decode(DecodeRequest(silence(1), "xx"))


async def test_hints_help_with_names_and_are_never_written_for_noise(
    base: WhisperTranscriber, need_models
) -> None:
    need_models("tts")
    titles = ("Ferrovia heat pump manual", "Novadine dosage leaflet", "Corvane insurance policy")
    hints = hints_from_titles(titles)
    questions = ["How often may I take Novadine?", "How do I reset the Ferrovia heat pump?"]
    clips = bench_speech.spoken(load_settings().models_dir, questions, steady=True)
    requests = [DecodeRequest(clip.audio, "en", speech_ms=1500) for clip in clips]
    plain = [(await base.decode(request)).text for request in requests]
    hinted = [(await base.decode(replace(request, hints=hints))).text for request in requests]
    assert wer(questions, hinted) < wer(questions, plain)
    assert "novadine" in hinted[0].lower()
    assert "ferrovia" in hinted[1].lower()
    for make in NOISES.values():
        assert (await base.decode(DecodeRequest(make(), "en", hints))).text == ""


async def test_starting_twice_waits_for_the_same_load(need_models) -> None:
    need_models("stt-light")
    engine = WhisperTranscriber.from_settings(load_settings(), "stt-light")
    first = asyncio.create_task(engine.start())
    await asyncio.sleep(0)
    first.cancel()  # who asked first gives up; the load goes on
    await engine.start()
    assert engine.ready
    await engine.aclose()


async def test_the_language_is_found_out_and_kept(base: WhisperTranscriber) -> None:
    samples = pytest.importorskip("pytest_audioeval.plugin").__file__
    folder = Path(samples).parent / "samples" / "audio" / "fr"
    if not folder.is_dir():
        pytest.skip("pytest-audioeval has no French samples")
    audio = Spoken("", folder / "pangrama.wav", "").audio
    session = TranscriptionSession(base)
    for start in range(0, len(audio) - 511, 512):
        session.feed(audio[start : start + 512], 0.9)
    transcript = await session.final()
    assert transcript.language == "fr"
    assert session.language == "fr"


async def test_the_light_engine_hears_english(need_models, recordings: list[Spoken]) -> None:
    need_models("stt-light")
    engine = WhisperTranscriber.from_settings(load_settings(), "stt-light")
    await engine.start()
    try:
        said = [spoken.text for spoken in recordings]
        heard = [(await engine.decode(DecodeRequest(s.audio, speech_ms=900))) for s in recordings]
        assert wer(said, [transcript.text for transcript in heard]) <= 0.15
        assert {transcript.language for transcript in heard} == {"en"}
    finally:
        await engine.aclose()


async def test_a_missing_or_damaged_model_is_told_and_a_repaired_one_is_taken(
    tmp_path: Path, need_models
) -> None:
    need_models("stt-light")
    engine = WhisperTranscriber(tmp_path, model="stt-light")
    with pytest.raises(ModelMissingError, match="xoe models pull"):
        await engine.start()
    with pytest.raises(EngineNotReadyError):
        await engine.decode(DecodeRequest(silence(1)))
    good = model_path("stt-light", load_settings().models_dir).parent
    shutil.copytree(good, tmp_path / "stt-light")
    whole = (tmp_path / "stt-light" / "model.bin").read_bytes()
    (tmp_path / "stt-light" / "model.bin").write_bytes(whole[:-4] + b"\0\1\2\3")
    with pytest.raises(ModelDamagedError):
        await engine.start()
    (tmp_path / "stt-light" / "model.bin").write_bytes(whole)
    await engine.start()
    assert engine.ready
    await engine.aclose()
    assert not engine.ready
    with pytest.raises(EngineNotReadyError):
        await engine.decode(DecodeRequest(silence(1)))
