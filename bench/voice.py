"""A spoken question until the first sound of its answer, an interruption, and the loop meanwhile.

Questions about the guide are spoken by Piper into a microphone that runs in real time; the chain
answers from the guide among 10,000 made-up chunks. The clock runs from the last sample of speech
to the first sound that is sent, so the wait for the end of the turn counts. The baseline is the
plain pipeline in the same run: a fixed wait of 704 ms, faster-whisper's own call, then the whole
answer, then Piper's own call with the whole text.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import soxr

from bench.chain import open_chain
from bench.rows import BenchRow
from bench.scratch import scratch_settings
from bench.speech import Clip, spoken
from chains.answer import AnswerChain
from chains.prepared import PreparedTurn
from chains.spoken import SpokenAnswer
from chains.types import Done, Question
from core.settings import Settings
from models.provision import ensure_present
from state.breakers import Breakers
from telemetry.metrics import Metrics
from voice.audio import PAGE_RATE, STT_RATE, Samples, to_pcm16
from voice.call import Call
from voice.engines import VoiceEngines
from voice.ports import CallState, CallView, TurnStages
from voice.stt.decoder import load_whisper
from voice.tts.fallback import FallbackSynthesizer
from voice.tts.voice_file import open_voice

if TYPE_CHECKING:
    from faster_whisper import WhisperModel
    from piper import PiperVoice

QUESTIONS = (
    "Which file types can I add?",
    "How large may a document be?",
    "How do I switch the model?",
    "How large is the quality model?",
    "Is my data private?",
    "Where is my data stored?",
    "How long is a conversation remembered?",
    "Can it read scanned documents?",
    "How do I remove a document?",
    "How do I back up the data folder?",
    "How do I start and stop the server?",
    "How do I use another port?",
    "What happens when Redis cannot be reached?",
    "How much memory does it need?",
    "Why was my document refused?",
    "What do the numbers in square brackets mean?",
    "Does it work without the internet?",
    "Do I need a graphics card?",
    "Which language models are there?",
    "How do I install it?",
    "Who can see the documents that I drop on the page?",
    "What is the size limit of an upload?",
    "How do I start a call?",
    "How can I interrupt the answer when it is speaking?",
)
INTERRUPTION = "Where did I put the contract for the flat?"
TALK = (
    "The deposit is three monthly rents, and it is paid back when you leave the flat, together "
    "with all of the interest, unless there is damage that was found in the last inspection."
)
INTERRUPTIONS = 8
USUAL_WAIT_MS = 704.0
ANSWER_TOKENS = 96
LISTEN_S = 1.5
"""How long the answer is listened to, so that the loop is busy with all engines at once."""
CHUNK_SAMPLES = 4_096
CHUNK_S = CHUNK_SAMPLES / PAGE_RATE
PATIENCE_S = 60.0
LAG_EVERY_S = 0.005
SPEECH_LEVEL = 0.02


async def run(settings: Settings) -> list[BenchRow]:
    """Return the rows of the voice suite."""
    settings = settings.model_copy(update={"stt_language": "en"})
    clips = spoken(settings.models_dir, QUESTIONS, steady=True)
    interruption = spoken(settings.models_dir, [INTERRUPTION], steady=True)[0]
    with scratch_settings(settings) as alone:
        async with open_chain(alone) as (chain, _):
            engines = await VoiceEngines.create(alone, Metrics().voice, Breakers(alone, None))
            try:
                ours = await _ask_all(engines, chain, alone, clips)
                barge_ins = await _interrupt(engines, alone, clips[0], interruption)
            finally:
                await engines.aclose()
            plain = await _Pipeline.load(alone, chain)
            theirs = [await plain.ask(clip, number) for number, clip in enumerate(clips)]
    first, stt = ours.first_audio, ours.stt
    whole = [turn.first_audio_ms for turn in theirs]
    return [
        BenchRow("voice_questions", len(first), "questions"),
        BenchRow.against("voice_first_audio", median(first), "ms", median(whole)),
        BenchRow.against("voice_first_audio_p95", _p95(first), "ms", _p95(whole)),
        BenchRow.against(
            "voice_stt_after_endpoint",
            median(stt),
            "ms",
            median(turn.stt_ms for turn in theirs),
        ),
        BenchRow("voice_barge_in", median(barge_ins), "ms"),
        BenchRow("voice_barge_in_worst", max(barge_ins), "ms"),
        BenchRow("voice_loop_lag_p99", float(np.percentile(ours.lags, 99)), "ms"),
    ]


@dataclass
class _Measured:
    """Milliseconds of all questions."""

    first_audio: list[float] = field(default_factory=list)
    stt: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)


@dataclass
class _Page:
    """A page that notes when something comes."""

    sent: list[float] = field(default_factory=list)
    interrupts: list[float] = field(default_factory=list)
    stages: list[TurnStages] = field(default_factory=list)
    state: CallState = CallState.LISTENING

    async def send_audio(self, track: str, pcm: bytes) -> None:
        self.sent.append(time.perf_counter())

    async def interrupt(self) -> None:
        self.interrupts.append(time.perf_counter())

    async def show(self, view: CallView) -> None:
        self.state = view.state

    async def show_stages(self, stages: TurnStages) -> None:
        self.stages.append(stages)

    async def hang_up(self, reason: str) -> None:
        raise RuntimeError(reason)


class _Talk:
    """Somebody who says the same whatever is asked."""

    def prepare(self, text: str) -> None:
        """Nothing to prepare."""

    def drop_prepared(self) -> None:
        """Nothing to drop."""

    async def answer(self, text: str, stages: TurnStages) -> AsyncGenerator[str, None]:
        yield TALK + "\n"

    def sounded(self, first_audio_ms: float) -> None:
        """Nothing is traced."""

    async def cut(self, heard: str) -> None:
        """Nothing is kept."""

    async def take_back(self) -> None:
        """Nothing is kept."""

    def answer_times(self) -> tuple[float | None, float | None]:
        return (None, None)


class _Chat(_Talk):
    """The chain, as the page's conversation uses it."""

    def __init__(self, chain: AnswerChain, session_id: str) -> None:
        self._chain = chain
        self._prepared = PreparedTurn(chain)
        self._session_id = session_id
        self.asked: list[str] = []

    def prepare(self, text: str) -> None:
        self._prepared.begin(_question(text, self._session_id))

    def drop_prepared(self) -> None:
        self._prepared.drop()

    async def answer(self, text: str, stages: TurnStages) -> AsyncGenerator[str, None]:
        self.asked.append(text)
        turn = await self._prepared.take(_question(text, self._session_id))
        quotable = turn.passages if turn.settled is None else ()
        said = SpokenAnswer(quotable, text, grounds=turn.grounds, library_lost=turn.library_lost)
        async with aclosing(self._chain.answer(turn)) as events:
            async for event in events:
                piece = said.feed(event)
                if piece:
                    yield piece


def _question(text: str, session_id: str) -> Question:
    owner = f"bench:{session_id}"
    return Question(text, session_id, owner, max_tokens=ANSWER_TOKENS, kind="spoken")


async def _ask_all(
    engines: VoiceEngines, chain: AnswerChain, settings: Settings, clips: Sequence[Clip]
) -> _Measured:
    measured = _Measured()
    watch = asyncio.create_task(_watch_loop(measured.lags))
    try:
        for number, clip in enumerate(clips):
            chat = _Chat(chain, f"spoken-{number}")
            async with _calling(engines, settings, chat) as (call, page):
                microphone = _Microphone(call)
                began = await microphone.hear(clip.audio)
                ended_at = began + _speech(clip.audio)[1]
                await microphone.until(page, sent=1)
                measured.first_audio.append((page.sent[0] - ended_at) * 1e3)
                await microphone.listen(LISTEN_S)
                call.hush()
                await microphone.until(page, stages=1)
                measured.stt.append(page.stages[0].stt or 0.0)
    finally:
        watch.cancel()
    return measured


async def _interrupt(
    engines: VoiceEngines, settings: Settings, question: Clip, interruption: Clip
) -> list[float]:
    """Return the milliseconds from the onset of speech to the reply's silence, worst cases too.

    The speech falls differently into the page's chunks each time. The spare voice speaks, as no
    person has the voice that the bench gives to the speaker.
    """
    assert isinstance(engines.voice, FallbackSynthesizer)
    other = replace(engines, voice=engines.voice.spare)
    times = []
    for number in range(INTERRUPTIONS):
        async with _calling(other, settings, _Talk()) as (call, page):
            microphone = _Microphone(call)
            await microphone.hear(question.audio)
            await microphone.until(page, sent=1)
            await microphone.listen(LISTEN_S)
            shift_s = number * CHUNK_S / INTERRUPTIONS
            shift = np.zeros(round(shift_s * STT_RATE), dtype=np.float32)
            began = await microphone.hear(np.concatenate([shift, interruption.audio]))
            await microphone.until(page, interrupts=1)
            spoke_at = began + shift_s + _speech(interruption.audio)[0]
            times.append((page.interrupts[0] - spoke_at) * 1e3)
    return times


async def _watch_loop(lags: list[float]) -> None:
    """Note how late the loop comes back, in milliseconds."""
    while True:
        due = time.perf_counter() + LAG_EVERY_S
        await asyncio.sleep(LAG_EVERY_S)
        lags.append((time.perf_counter() - due) * 1e3)


@asynccontextmanager
async def _calling(
    engines: VoiceEngines, settings: Settings, conversation: _Talk
) -> AsyncIterator[tuple[Call, _Page]]:
    page = _Page()
    call = Call(engines, page, conversation, settings)
    task = asyncio.create_task(call.run())
    try:
        yield call, page
    finally:
        task.cancel()
        await asyncio.wait([task])


class _Microphone:
    """Sends chunks as the page does, each when its last sample has been spoken."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self.now = time.perf_counter()
        """When the next chunk begins."""

    async def hear(self, audio: Samples) -> float:
        """Hear ``audio`` (16 kHz) and return when it began."""
        began = self.now
        sound = np.asarray(soxr.resample(audio, STT_RATE, PAGE_RATE), dtype=np.float32)
        sound = np.pad(sound, (0, -sound.size % CHUNK_SAMPLES))
        for start in range(0, sound.size, CHUNK_SAMPLES):
            await asyncio.sleep(self.now + CHUNK_S - time.perf_counter())
            self._call.put(to_pcm16(sound[start : start + CHUNK_SAMPLES]))
            self.now += CHUNK_S
        return began

    async def listen(self, seconds: float) -> None:
        """Hear nothing for ``seconds``."""
        await self.hear(np.zeros(round(seconds * STT_RATE), dtype=np.float32))

    async def until(
        self, page: _Page, *, sent: int = 0, interrupts: int = 0, stages: int = 0
    ) -> None:
        """Hear nothing until the page has had so much."""
        deadline = time.perf_counter() + PATIENCE_S
        while (
            len(page.sent) < sent or len(page.interrupts) < interrupts or len(page.stages) < stages
        ):
            if time.perf_counter() > deadline:
                raise TimeoutError("the call gave no answer")
            await self.listen(CHUNK_S)


def _speech(audio: Samples) -> tuple[float, float]:
    """Return the seconds at which the speech begins and ends."""
    loud = np.flatnonzero(np.abs(audio) > SPEECH_LEVEL)
    return float(loud[0]) / STT_RATE, float(loud[-1] + 1) / STT_RATE


@dataclass(frozen=True)
class _PlainTurn:
    first_audio_ms: float
    stt_ms: float


@dataclass(frozen=True)
class _Pipeline:
    """One engine after the other, each as it comes."""

    ears: WhisperModel
    chain: AnswerChain
    voice: PiperVoice

    @classmethod
    async def load(cls, settings: Settings, chain: AnswerChain) -> _Pipeline:
        from piper import PiperVoice

        folder = ensure_present("stt", settings.models_dir).parent
        ears = await asyncio.to_thread(load_whisper, folder, settings.stt_threads)
        path = open_voice(settings.tts_voice, settings.models_dir).path
        pipeline = cls(ears, chain, await asyncio.to_thread(PiperVoice.load, path))
        await asyncio.to_thread(lambda: list(pipeline.voice.synthesize("Hello.")))
        return pipeline

    async def ask(self, clip: Clip, number: int) -> _PlainTurn:
        """Return when the sound of the answer would begin, and the time of its transcription."""
        begun = time.perf_counter()
        text = await asyncio.to_thread(self._transcribe, clip.audio)
        stt_ms = (time.perf_counter() - begun) * 1e3
        answer = ""
        async with aclosing(self.chain.stream(_question(text, f"plain-{number}"))) as events:
            async for event in events:
                if isinstance(event, Done):
                    answer = event.answer.text
        await asyncio.to_thread(lambda: list(self.voice.synthesize(answer)))
        return _PlainTurn(USUAL_WAIT_MS + (time.perf_counter() - begun) * 1e3, stt_ms)

    def _transcribe(self, audio: Samples) -> str:
        segments, _ = self.ears.transcribe(audio, language="en")
        return " ".join(segment.text for segment in segments).strip()


def _p95(values: Sequence[float]) -> float:
    p95: float = np.percentile(values, 95)
    return p95
