"""Text to speech against Piper's own call, and whether it is understood.

The baseline of the first sound is ``PiperVoice.synthesize()`` as it comes, which gives a sentence
when all of it is there; both speak the same clause in turn. Equality is measured without noise,
since the voice is random otherwise. What the engine's process costs is measured against the same
service in a thread. The round trip gives what was spoken to our speech to text.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from statistics import median

import numpy as np
import soxr

from bench.in_process import InProcess
from bench.rows import BenchRow
from bench.speech_texts import CLAUSES, ROUND_TRIP
from bench.stt import word_errors, words
from core.settings import Settings
from engines.wire import Head
from models.provision import ensure_present
from voice.audio import STT_RATE
from voice.speakable.numbers import say_cardinal, say_digits
from voice.speakable.text import speakable
from voice.stt import DecodeRequest
from voice.stt.whisper import WhisperTranscriber
from voice.tts.engines import PARTS_FOLDER, EspeakSynthesizer, PiperSynthesizer
from voice.tts.factory import create_synthesizer
from voice.tts.graph import cut
from voice.tts.piper import PiperService
from voice.tts.synthesizer import AudioChunk, Samples, Synthesizer
from voice.tts.vits import PartedGraph, WholeGraph, check
from voice.tts.voice_file import open_voice

ROUNDS = 5
CANCELS = 10
LONG = (
    "The Eiffel Tower is a wrought iron lattice tower in Paris, which was built for the world "
    "fair of eighteen eighty nine and is named after the engineer whose company designed it."
)


@dataclass
class _Spoken:
    """What one way took for all clauses."""

    first_ms: list[float] = field(default_factory=list)
    total_s: float = 0.0
    sound_s: float = 0.0


async def run(settings: Settings) -> list[BenchRow]:
    """Return the rows of the text-to-speech suite."""
    settings = settings.model_copy(update={"tts_engine": "piper"})
    piper, espeak = create_synthesizer(settings), EspeakSynthesizer()
    await piper.start()
    await espeak.start()
    try:
        ours, stock = await _compare(piper, settings)
        process, thread = await _against_thread(piper, settings)
        second = await _spoken(espeak, CLAUSES)
        cancel_ms = [await _cancel_ms(piper) for _ in range(CANCELS)]
    finally:
        await piper.aclose()
        await espeak.aclose()
    equal = await asyncio.to_thread(_equality, settings)
    first, stock_first = median(ours.first_ms), median(stock.first_ms)
    p95, stock_p95 = (float(np.percentile(way.first_ms, 95)) for way in (ours, stock))
    factor, stock_factor = (way.total_s / way.sound_s for way in (ours, stock))
    wer, sentences = await _round_trip(settings)
    return [
        BenchRow.against("tts_first_audio", first, "ms", stock_first),
        BenchRow.against("tts_first_audio_p95", p95, "ms", stock_p95),
        BenchRow.against("tts_real_time_factor", factor, "s/s", stock_factor),
        BenchRow.against("tts_process_first_audio", median(process), "ms", median(thread)),
        BenchRow.against("tts_espeak_first_audio", median(second.first_ms), "ms", stock_first),
        BenchRow("tts_cancel_ms", max(cancel_ms), "ms, worst"),
        BenchRow("tts_split_snr_db", equal[0], "dB"),
        BenchRow("tts_windowed_snr_db", equal[1], "dB"),
        BenchRow("tts_round_trip_sentences", sentences, "sentences"),
        BenchRow("tts_round_trip_wer", wer, "errors/word"),
    ]


async def _compare(piper: Synthesizer, settings: Settings) -> tuple[_Spoken, _Spoken]:
    """Return what our way and Piper's own take for the same clauses, spoken in turn."""
    from piper import PiperVoice

    voice = PiperVoice.load(open_voice(settings.tts_voice, settings.models_dir).path)
    list(voice.synthesize(CLAUSES[0]))
    ours, stock = _Spoken(), _Spoken()
    for number in range(ROUNDS * len(CLAUSES)):
        text = CLAUSES[number % len(CLAUSES)]
        for way in (0, 1) if number % 2 else (1, 0):
            if way == 0:
                await _add(ours, piper.stream(text))
            else:
                begun = time.perf_counter()
                chunks = list(voice.synthesize(text))
                seconds = time.perf_counter() - begun
                stock.first_ms.append(seconds * 1e3)
                stock.total_s += seconds
                stock.sound_s += sum(
                    len(chunk.audio_float_array) / chunk.sample_rate for chunk in chunks
                )
    return ours, stock


async def _against_thread(
    piper: Synthesizer, settings: Settings
) -> tuple[list[float], list[float]]:
    """Return the times to the first sound through the process, and in a thread of this one."""
    service = PiperService(
        voice=settings.tts_voice,
        models_dir=str(settings.models_dir),
        speaker=settings.tts_speaker,
        threads=settings.tts_threads,
        cache=str(settings.models_dir / PARTS_FOLDER),
    )
    here = InProcess(service)
    await here.call("load", {})
    asked = {"speed": settings.tts_speed, "speaker": settings.tts_speaker}
    process = _Spoken()
    thread: list[float] = []
    for number in range(ROUNDS * len(CLAUSES)):
        text = CLAUSES[number % len(CLAUSES)]
        for way in (0, 1) if number % 2 else (1, 0):
            if way == 0:
                await _add(process, piper.stream(text))
                continue
            begun = time.perf_counter()
            times: list[float] = []

            def take(_: Head, __: bytes, begun: float = begun, times: list[float] = times) -> None:
                times.append((time.perf_counter() - begun) * 1e3)

            await here.call("speak", asked | {"text": text}, on_event=take)
            thread.append(times[0])
    here.close()
    return process.first_ms, thread


async def _spoken(engine: Synthesizer, texts: Sequence[str]) -> _Spoken:
    result = _Spoken()
    for text in texts:
        await _add(result, engine.stream(text))
    return result


async def _add(result: _Spoken, stream: AsyncGenerator[AudioChunk, None]) -> None:
    begun = time.perf_counter()
    first = True
    async for chunk in stream:
        if first:
            result.first_ms.append((time.perf_counter() - begun) * 1e3)
            first = False
        result.sound_s += chunk.seconds
    result.total_s += time.perf_counter() - begun


async def _cancel_ms(engine: Synthesizer) -> float:
    """Return the time from a cancel in the middle of a sentence to the engine being free."""
    if not isinstance(engine, PiperSynthesizer):
        raise TypeError("only an engine with a process of its own can be watched")
    async with aclosing(engine.stream(LONG)) as stream:
        await anext(stream)
        begun = time.perf_counter()
    await asyncio.to_thread(_wait_idle, engine)
    return (time.perf_counter() - begun) * 1e3


def _wait_idle(engine: PiperSynthesizer) -> None:
    while not engine.idle:
        time.sleep(0.001)


def _equality(settings: Settings) -> tuple[float, float]:
    """Return the SNR of the parts, whole and in windows, against the whole graph."""
    voice = open_voice(settings.tts_voice, settings.models_dir)
    feed = PiperService.noiseless_feed(voice, LONG)
    reference = next(WholeGraph(str(voice.path), settings.tts_threads).run(feed))
    parts = cut(voice.path, with_flow=True)
    checked = check(PartedGraph(parts, settings.tts_threads), parts, reference, feed)
    return checked.split_snr_db, checked.windowed_snr_db


async def _round_trip(settings: Settings) -> tuple[float, int]:
    """Return the errors for each word, and the number of sentences."""
    ensure_present("stt", settings.models_dir)
    ears = WhisperTranscriber.from_settings(settings, "stt")
    mouth = create_synthesizer(settings)
    await ears.start()
    mistakes = count = 0
    try:
        for sentence in ROUND_TRIP:
            spoken = speakable(sentence)
            heard = await _heard(ears, await _sound(mouth, spoken))
            said = comparable(spoken)
            mistakes += word_errors(said, comparable(heard))
            count += len(said)
    finally:
        await mouth.aclose()
        await ears.aclose()
    return mistakes / count, len(ROUND_TRIP)


_CLOCK = re.compile(r"\b(\d{1,2})\.(\d\d)(?=\s?[ap]\.?m)", re.IGNORECASE)
_FOUR = re.compile(r"\b([1-9]\d)([1-9]\d)\b(?![,.-]\d)")
_GROUPS = re.compile(r"(?<![\w-])(?!\d{4}-\d\d-\d\d(?![\w-]))\d+(?:-\d+){2,}(?![\w-])")
_MANY = re.compile(r"(?<![\d.,])\d{7,}(?![\d.,]*\d)")


def comparable(text: str) -> list[str]:
    """Return the words as both sides are compared: said out in full, no hyphens, no letters apart.

    Whisper writes "$5.20" and "USB" where the voice said "five dollars and twenty cents" and
    "U S B", so what it wrote is said out the same way, by the rules of ``speakable``. On top of
    these, three spellings are read as what they are a spelling of: a time that it writes
    "10.30 am", four digits without a comma ("1745": it heard two pairs), and a telephone number
    (seven digits or more, or groups with hyphens: digit by digit, wherever the hyphens are).

    So it forgives case, punctuation, hyphens, digits for number words, signs for units, and
    letters set apart. It forgives no word, number or name that was misheard.
    """
    text = _CLOCK.sub(r"\1:\2", text)
    text = _GROUPS.sub(lambda match: say_digits(match.group().replace("-", "")), text)
    text = _MANY.sub(lambda match: say_digits(match.group()), text)
    text = _FOUR.sub(
        lambda match: f"{say_cardinal(int(match[1]))} {say_cardinal(int(match[2]))}", text
    )
    spoken = speakable(text).replace("-", " ")
    joined: list[str] = []
    apart = False
    for word in words(spoken):
        letter = len(word) == 1
        if letter and apart:
            joined[-1] += word
        else:
            joined.append(word)
        apart = letter
    return joined


async def _sound(engine: Synthesizer, text: str) -> Samples:
    chunks = [chunk.samples async for chunk in engine.stream(text)]
    sound: Samples = soxr.resample(np.concatenate(chunks), engine.sample_rate, STT_RATE)
    return sound


async def _heard(ears: WhisperTranscriber, sound: Samples) -> str:
    request = DecodeRequest(sound, "en", speech_ms=len(sound) // (STT_RATE // 1000))
    return (await ears.decode(request)).text
