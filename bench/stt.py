"""Speech to text against faster-whisper's own call, and the speech detector.

The baseline is ``WhisperModel.transcribe()`` as it comes (windows of 30 s, beams of 5), with the
same weights, the same threads and the same language, on the same clip in turn. The clock runs
from the end of the sound to the final text. The clips are questions that Piper says, and the real
recordings that are on this computer. What the engine's process costs is measured against the same
service in a thread.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

import numpy as np

from bench.in_process import InProcess
from bench.rows import BenchRow
from bench.speech import Clip, recordings, spoken
from core.settings import Settings
from models.provision import ensure_present
from voice.audio import FRAME_SAMPLES
from voice.stt import DecodeRequest
from voice.stt.decoder import load_whisper
from voice.stt.service import WhisperService
from voice.stt.whisper import SttModel, WhisperTranscriber
from voice.vad import SileroVad

SHORTEST_S, LONGEST_S = 0.5, 6.5
VAD_FRAMES = 2_000
LIVES = 6
LANGUAGE = "en"

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass
class _Heard:
    """What one way made of all clips."""

    ms: list[float] = field(default_factory=list)
    mistakes: int = 0
    words: int = 0

    def add(self, clip: Clip, text: str, ms: float) -> None:
        said = words(clip.text)
        self.ms.append(ms)
        self.mistakes += word_errors(said, words(text))
        self.words += len(said)

    @property
    def wer(self) -> float:
        return self.mistakes / self.words

    @property
    def p95(self) -> float:
        return float(np.percentile(self.ms, 95))


async def run(settings: Settings) -> list[BenchRow]:
    """Return the rows of the speech-to-text suite."""
    clips = [
        clip
        for clip in (*spoken(settings.models_dir), *recordings())
        if SHORTEST_S <= clip.seconds <= LONGEST_S
    ]
    ours, stock = await _compare(settings, "stt", clips)
    process, thread = await _against_thread(settings, clips)
    light, light_stock = await _compare(settings, "stt-light", clips)
    return [
        BenchRow("stt_clips", len(clips), "utterances"),
        BenchRow.against("stt_short_window", median(ours.ms), "ms", median(stock.ms)),
        BenchRow.against("stt_short_window_p95", ours.p95, "ms", stock.p95),
        BenchRow.against("stt_wer", ours.wer, "errors/word", stock.wer),
        BenchRow.against("stt_light", median(light.ms), "ms", median(light_stock.ms)),
        BenchRow.against("stt_light_wer", light.wer, "errors/word", light_stock.wer),
        BenchRow.against("stt_process_transcript", process, "ms", thread),
        BenchRow("vad_frame", await _vad_frame_ms(clips), "ms"),
    ]


async def _compare(
    settings: Settings, model: SttModel, clips: Sequence[Clip]
) -> tuple[_Heard, _Heard]:
    """Return what our window and the stock call make of ``clips``, heard in turn."""
    folder = ensure_present(model, settings.models_dir).parent
    whole = load_whisper(folder, settings.stt_threads)
    engine = WhisperTranscriber.from_settings(settings, model)
    await engine.start()

    async def short(clip: Clip) -> str:
        request = DecodeRequest(clip.audio, LANGUAGE, speech_ms=len(clip.audio) // 16)
        return (await engine.decode(request)).text

    async def stock(clip: Clip) -> str:
        segments, _ = whole.transcribe(clip.audio, language=LANGUAGE)
        return " ".join(segment.text for segment in segments)

    results = (_Heard(), _Heard())
    try:
        await short(clips[0])
        await stock(clips[0])
        for number, clip in enumerate(clips):
            ways = list(zip((short, stock), results, strict=True))
            for way, heard in ways if number % 2 else reversed(ways):
                text, ms = await _timed(way, clip)
                heard.add(clip, text, ms)
    finally:
        await engine.aclose()
    return results


async def _against_thread(settings: Settings, clips: Sequence[Clip]) -> tuple[float, float]:
    """Return the median time of a transcript through the process, and in a thread of this one.

    A model that is loaded again, by either way, is up to a tenth faster or slower for as long as
    it lives: so each way has several.
    """
    times: tuple[list[float], list[float]] = ([], [])
    for life in range(LIVES):
        await _add_times(settings, clips[life::LIVES], times)
    return median(times[0]), median(times[1])


async def _add_times(
    settings: Settings, clips: Sequence[Clip], times: tuple[list[float], list[float]]
) -> None:
    service = WhisperService(
        models_dir=str(settings.models_dir),
        model="stt",
        name="base",
        threads=settings.stt_threads,
        floor_frames=settings.stt_floor_frames,
    )
    here = InProcess(service)
    engine = WhisperTranscriber.from_settings(settings, "stt")
    await engine.start()
    await here.call("load", {})

    async def process(clip: Clip) -> str:
        return (await engine.decode(DecodeRequest(clip.audio, LANGUAGE))).text

    async def thread(clip: Clip) -> str:
        asked = {"language": LANGUAGE, "hints": (), "speech_ms": None, "partial": False}
        return str((await here.call("decode", asked, clip.audio.tobytes())).head["text"])

    try:
        await process(clips[0])
        await thread(clips[0])
        for number, clip in enumerate(clips):
            ways = list(zip((process, thread), times, strict=True))
            for way, taken in ways if number % 2 else reversed(ways):
                taken.append((await _timed(way, clip))[1])
    finally:
        here.close()
        await engine.aclose()


async def _timed(way: Callable[[Clip], Awaitable[str]], clip: Clip) -> tuple[str, float]:
    begun = time.perf_counter()
    text = await way(clip)
    return text, (time.perf_counter() - begun) * 1e3


async def _vad_frame_ms(clips: Sequence[Clip]) -> float:
    """Return the median time of the speech detector for a frame of 32 ms, asked one by one."""
    vad = SileroVad()
    await vad.start()
    try:
        session = vad.session()
        sound = np.concatenate([clip.audio for clip in clips])[: VAD_FRAMES * FRAME_SAMPLES]
        times = []
        for start in range(0, len(sound) - FRAME_SAMPLES + 1, FRAME_SAMPLES):
            begun = time.perf_counter()
            await session.probabilities([sound[start : start + FRAME_SAMPLES]])
            times.append((time.perf_counter() - begun) * 1e3)
    finally:
        await vad.aclose()
    return median(times)


def words(text: str) -> list[str]:
    """Return the words as they are compared: lower case, no punctuation, numbers as written."""
    return [word.lower().replace("’", "'") for word in _WORD.findall(text)]


def word_errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Return the fewest words to insert, delete or replace (Levenshtein) from one to the other."""
    row = list(range(len(heard) + 1))
    for number, word in enumerate(said, 1):
        before, row[0] = row[0], number
        for place, other in enumerate(heard, 1):
            change = before + (word != other)
            before, row[place] = row[place], min(change, row[place] + 1, row[place - 1] + 1)
    return row[-1]
