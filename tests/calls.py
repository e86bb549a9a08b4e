"""A call with both ends in the test's hand: the page that records, and the microphone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import soxr
from noises import Samples, silence

from core.settings import Settings
from telemetry.metrics import Metrics
from voice.audio import PAGE_RATE, STT_RATE, from_pcm16, to_pcm16
from voice.call import Call
from voice.engines import VoiceEngines
from voice.ports import CallState, CallView, TurnStages

CHUNK_BYTES = 8_192
CHUNK_SAMPLES = CHUNK_BYTES // 2
CHUNK_S = CHUNK_SAMPLES / PAGE_RATE
PATIENCE_S = 60
"""A net for what would otherwise hang; nothing is measured against it."""

MICROPHONE_OFF_S = 3.0
"""Longer without a chunk, and it was off; shorter, and the test itself was late."""

Sound = Callable[[float, int], Samples]
"""Takes the time and a number of samples at 24 kHz."""


@dataclass(frozen=True)
class Sent:
    """A piece of the reply's sound."""

    at: float
    track: str
    samples: Samples
    """At 24 kHz."""


@dataclass
class RecordingPage:
    """A page that plays what it is sent as Chainlit's does, and keeps a record."""

    sent: list[Sent] = field(default_factory=list)
    interrupts: list[float] = field(default_factory=list)
    views: list[CallView] = field(default_factory=list)
    stages: list[TurnStages] = field(default_factory=list)
    farewell: str = ""
    _played: list[tuple[float, Samples]] = field(default_factory=list)
    _ends_at: float = 0.0
    _blocked: set[str] = field(default_factory=set)

    async def send_audio(self, track: str, pcm: bytes) -> None:
        now = time.monotonic()
        samples = from_pcm16(pcm)
        self.sent.append(Sent(now, track, samples))
        if track not in self._blocked:
            start = max(now, self._ends_at)
            self._played.append((start, samples))
            self._ends_at = start + samples.size / PAGE_RATE

    async def interrupt(self) -> None:
        now = time.monotonic()
        self.interrupts.append(now)
        self._blocked |= {piece.track for piece in self.sent}
        self._ends_at = now
        self._played = [
            (start, samples[: max(0, round((now - start) * PAGE_RATE))])
            for start, samples in self._played
        ]

    async def show(self, view: CallView) -> None:
        self.views.append(view)

    async def show_stages(self, stages: TurnStages) -> None:
        self.stages.append(stages)

    async def hang_up(self, reason: str) -> None:
        self.farewell = reason

    @property
    def tracks(self) -> list[str]:
        return list(dict.fromkeys(piece.track for piece in self.sent))

    @property
    def notes(self) -> set[str]:
        return {view.note for view in self.views} - {""}

    @property
    def state(self) -> CallState:
        return self.views[-1].state

    def sound_of(self, *tracks: str) -> Samples:
        """What was sent, at 16 kHz."""
        pieces = [piece.samples for piece in self.sent if not tracks or piece.track in tracks]
        whole = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.float32)
        return resampled(whole, PAGE_RATE, STT_RATE)

    def loudspeaker(self, at: float, count: int) -> Samples:
        """What sounded in the ``count`` samples from ``at`` on, at 24 kHz."""
        heard = np.zeros(count, dtype=np.float32)
        for start, samples in self._played[-40:]:
            place = round((start - at) * PAGE_RATE)
            part = samples[max(0, -place) : max(0, count - place)]
            if part.size:
                heard[max(0, place) : max(0, place) + part.size] += part
        return heard


@dataclass
class ScriptedConversation:
    """Somebody who answers as told; what the chain does is tested elsewhere."""

    replies: Sequence[str] = ("The garden is open today.",)
    """One for each turn, the last one again and again."""
    fault: Exception | None = None
    wait_s: float = 0.0
    """Before the first word."""
    asked: list[str] = field(default_factory=list)
    cuts: list[str] = field(default_factory=list)
    sounds: list[float] = field(default_factory=list)
    taken_back: list[str] = field(default_factory=list)
    prepared: list[str] = field(default_factory=list)
    dropped: int = 0

    @property
    def turns(self) -> list[str]:
        """The turns that stand."""
        turns = list(self.asked)
        for text in self.taken_back:
            turns.remove(text)
        return turns

    def prepare(self, text: str) -> None:
        self.prepared.append(text)

    def drop_prepared(self) -> None:
        self.dropped += 1

    async def answer(self, text: str, stages: TurnStages) -> AsyncGenerator[str, None]:
        reply = self.replies[min(len(self.asked), len(self.replies) - 1)]
        self.asked.append(text)
        await asyncio.sleep(self.wait_s)
        for word in reply.split(" "):
            yield f"{word} "
        if self.fault is not None:
            raise self.fault
        yield "\n"

    def sounded(self, first_audio_ms: float) -> None:
        self.sounds.append(first_audio_ms)

    async def cut(self, heard: str) -> None:
        self.cuts.append(heard)

    async def take_back(self) -> None:
        self.taken_back.append(self.asked[-1])

    def answer_times(self) -> tuple[float | None, float | None]:
        return (1.0, 2.0)


@dataclass
class Line:
    """A call that is going on."""

    call: Call
    page: RecordingPage
    conversation: ScriptedConversation
    metrics: Metrics
    task: asyncio.Task[None]
    room: Sound | None = None
    """What the microphone hears beside the person, such as the loudspeaker."""
    now: float = 0.0
    """When the microphone's next chunk begins."""

    async def hear(self, audio: Samples) -> float:
        """Let the microphone hear ``audio`` (16 kHz) as fast as it comes; return when it began."""
        if time.monotonic() - self.now > MICROPHONE_OFF_S:
            self.now = time.monotonic()
        began = self.now
        for chunk in page_chunks(audio):
            await asyncio.sleep(self.now + CHUNK_S - time.monotonic())
            heard = chunk if self.room is None else chunk + self.room(self.now, CHUNK_SAMPLES)
            self.call.put(to_pcm16(heard))
            self.now += CHUNK_S
        return began

    async def hear_at_once(self, audio: Samples, chunk_bytes: int = CHUNK_BYTES) -> None:
        """Let the call hear ``audio`` as fast as it can."""
        data = to_pcm16(resampled(audio, STT_RATE, PAGE_RATE))
        for start in range(0, len(data), chunk_bytes):
            self.call.put(data[start : start + chunk_bytes])
            while self.waiting > CHUNK_BYTES and not self.task.done():
                await asyncio.sleep(0)
        await self.settled()

    async def settled(self) -> None:
        """Wait until all sound was heard."""
        await self.until(lambda: self.waiting == 0)
        await asyncio.sleep(0.01)

    async def until(self, done: Callable[[], bool], *, listening: bool = False) -> None:
        """Wait for ``done``; ``listening``: the microphone is on and it is quiet."""
        async with asyncio.timeout(PATIENCE_S):
            while not done():
                if listening:
                    await self.hear(silence(CHUNK_S))
                else:
                    await asyncio.sleep(0.005)

    @property
    def waiting(self) -> float:
        return self.count("xoe_voice_buffer_bytes")

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def calling(
    engines: VoiceEngines,
    metrics: Metrics,
    settings: Settings,
    conversation: ScriptedConversation | None = None,
    **options: object,
) -> AsyncIterator[Line]:
    """A call, ended at the end."""
    page = RecordingPage()
    conversation = conversation or ScriptedConversation()
    call = Call(engines, page, conversation, settings, **options)  # type: ignore[arg-type]
    task = asyncio.create_task(call.run())
    try:
        yield Line(call, page, conversation, metrics, task)
    finally:
        task.cancel()
        await asyncio.wait([task])
    if not task.cancelled() and (exc := task.exception()) is not None:
        raise exc


def resampled(audio: Samples, one: int, other: int) -> Samples:
    if not audio.size:
        return audio
    return np.asarray(soxr.resample(audio, one, other), dtype=np.float32)


def onset_s(audio: Samples, *, level: float = 0.02) -> float:
    """When the speech in ``audio`` (16 kHz) begins."""
    return float(np.argmax(np.abs(audio) > level)) / STT_RATE


def page_chunks(audio: Samples) -> list[Samples]:
    """What the page makes of ``audio`` (16 kHz): chunks at 24 kHz, the last filled up."""
    sound = resampled(audio, STT_RATE, PAGE_RATE)
    sound = np.pad(sound, (0, -sound.size % CHUNK_SAMPLES))
    return list(sound.reshape(-1, CHUNK_SAMPLES))
