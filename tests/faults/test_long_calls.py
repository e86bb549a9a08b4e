"""Calls that go on and on: nothing grows, and nothing is heard where nobody speaks.

They run faster than real time, as the call's clock is that of the sound it was given. A thousand
turns with Whisper and Piper take a quarter of an hour, so they run with a scripted transcript and
the espeak voice, all else being real, and a few with all engines: raise ``TURNS_OF_ALL_ENGINES``
to have a thousand of those, too.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import psutil
import pytest
from calls import CHUNK_S, ScriptedConversation, page_chunks
from lengths import length
from noises import Samples, hum, music, pink_noise, silence

from bench.speech import spoken
from core.settings import Settings, load_settings
from state.breakers import Breakers
from telemetry.metrics import Metrics
from voice.audio import to_pcm16
from voice.call import Call
from voice.engines import VoiceEngines
from voice.inbox import LIMIT_BYTES
from voice.ports import CallState, CallView, TurnStages
from voice.stt import DecodeRequest, Transcriber, Transcript
from voice.tts.engines import EspeakSynthesizer
from voice.vad import SileroVad

pytestmark = pytest.mark.faults

TURNS = length(100, 1000)
TURNS_OF_ALL_ENGINES = 20
WARM_UP = 100
GROWTH_BYTES = 10_000_000
MINUTES_OF_EACH_NOISE = length(1, 5)
SHORT = "The light is on."
LONG = (
    "The light in the living room is on now, and so is the one in the kitchen, as they go together."
)
PATIENCE_S = 300
"""A net for what would otherwise hang; nothing is measured against it."""


class SoundClock:
    """Time that passes as sound is heard."""

    def __init__(self) -> None:
        self.now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = itertools.count()

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._number), waking))
        await waking

    def advance(self, seconds: float) -> None:
        self.now += seconds
        while self._sleepers and self._sleepers[0][0] <= self.now:
            waking = heapq.heappop(self._sleepers)[2]
            if not waking.done():
                waking.set_result(None)


@dataclass
class ForgetfulPage:
    """A page that keeps nothing but counts."""

    state: CallState = CallState.LISTENING
    pieces: int = 0
    interrupts: int = 0
    farewell: str = ""

    async def send_audio(self, track: str, pcm: bytes) -> None:
        self.pieces += 1

    async def interrupt(self) -> None:
        self.interrupts += 1

    async def show(self, view: CallView) -> None:
        self.state = view.state

    async def show_stages(self, stages: TurnStages) -> None:
        """Nothing is kept."""

    async def hang_up(self, reason: str) -> None:
        self.farewell = reason


class ScriptedTranscriber(Transcriber):
    """Hears the same in all speech."""

    name = "scripted"

    async def start(self) -> None:
        """Nothing to load."""

    async def aclose(self) -> None:
        """Nothing to free."""

    async def decode(self, request: DecodeRequest) -> Transcript:
        return Transcript("Turn on the light.", language="en", speech_ms=request.speech_ms or 0)


@dataclass
class FastLine:
    """A call whose microphone runs as fast as the engines hear."""

    call: Call
    page: ForgetfulPage
    conversation: ScriptedConversation
    clock: SoundClock
    metrics: Metrics
    most_waiting: float = field(default=0.0)

    async def hear(self, audio: Samples) -> None:
        for chunk in page_chunks(audio):
            self.call.put(to_pcm16(chunk))
            self.most_waiting = max(self.most_waiting, self.waiting)
            self.clock.advance(CHUNK_S)
            while self.waiting:
                await asyncio.sleep(0)
            for _ in range(5):  # the player, woken by the clock, sends what there is
                await asyncio.sleep(0)

    async def until(self, done: Callable[[], bool]) -> None:
        """Listen to silence; the engines' threads get time to finish."""
        async with asyncio.timeout(PATIENCE_S):
            while not done():
                await self.hear(silence(0.17))
                await asyncio.sleep(0.001)

    @property
    def waiting(self) -> float:
        return self.metrics.registry.get_sample_value("xoe_voice_buffer_bytes") or 0.0


@asynccontextmanager
async def calling(
    engines: VoiceEngines, settings: Settings, conversation: ScriptedConversation
) -> AsyncIterator[FastLine]:
    metrics, clock, page = Metrics(), SoundClock(), ForgetfulPage()
    own = replace(engines, metrics=metrics.voice)
    call = Call(own, page, conversation, settings, clock=clock.time, sleep=clock.sleep)
    task = asyncio.create_task(call.run())
    try:
        yield FastLine(call, page, conversation, clock, metrics)
    finally:
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(stt_language="en", endpoint_long_silence_ms=600_000)


@pytest.fixture(scope="module")
def command(need_models, settings: Settings) -> Samples:
    need_models("tts")
    return spoken(settings.models_dir, ["Turn on the light."], steady=True)[0].audio


async def talk(line: FastLine, command: Samples, turns: int, resident: list[int]) -> None:
    """Have so many turns; every fourth reply is interrupted by the next."""
    asked = line.conversation.asked
    for number in range(turns):
        await line.hear(np.concatenate([silence(0.2), command]))
        await line.until(lambda n=number: len(asked) > n)  # type: ignore[misc]
        await line.until(lambda: line.page.state is CallState.SPEAKING)
        if number % 4 == 3:
            await line.hear(silence(0.7))
        else:
            await line.until(lambda: line.page.state is CallState.LISTENING)
        resident.append(resident_bytes())


def resident_bytes() -> int:
    """What this process and those of the engines hold."""
    here = psutil.Process()
    return sum(process.memory_info().rss for process in (here, *here.children(recursive=True)))


def check_growth(resident: list[int], warm_up: int) -> int:
    growth = max(resident[-10:]) - max(resident[:warm_up][-10:])
    assert growth < GROWTH_BYTES
    return growth


async def test_a_thousand_turns_take_no_more_memory(settings: Settings, command: Samples) -> None:
    voice, vad = EspeakSynthesizer(), SileroVad()
    await voice.start()
    await vad.start()
    engines = VoiceEngines(vad, ScriptedTranscriber(), voice, Metrics().voice)
    conversation = ScriptedConversation(replies=(SHORT, SHORT, SHORT, LONG) * TURNS)
    resident: list[int] = []
    try:
        async with calling(engines, settings, conversation) as line:
            await talk(line, command, WARM_UP + TURNS, resident)
            assert len(conversation.asked) == WARM_UP + TURNS
            assert line.page.interrupts == len(conversation.cuts) == (WARM_UP + TURNS) // 4 - 1
            assert line.most_waiting <= LIMIT_BYTES
    finally:
        await engines.aclose()
    print(f"growth over {TURNS} turns: {check_growth(resident, WARM_UP) / 1e6:.1f} MB")


async def test_with_all_engines_memory_stays_too(
    need_models, settings: Settings, command: Samples
) -> None:
    need_models("stt", "tts")
    engines = await VoiceEngines.create(settings, Metrics().voice, Breakers(settings, None))
    warm_up = TURNS_OF_ALL_ENGINES // 2
    resident: list[int] = []
    conversation = ScriptedConversation(replies=(SHORT, SHORT, SHORT, LONG) * TURNS)
    try:
        async with calling(engines, settings, conversation) as line:
            await talk(line, command, warm_up + TURNS_OF_ALL_ENGINES, resident)
            assert len(conversation.asked) == len(resident)
    finally:
        await engines.aclose()
    print(f"growth: {check_growth(resident, warm_up) / 1e6:.1f} MB")


def minutes_of(noise: Callable[[float], Samples]) -> Iterator[Samples]:
    """Yield the noise in pieces of 20 s."""
    for _ in range(3 * MINUTES_OF_EACH_NOISE):
        yield noise(20.0)


async def test_in_minutes_of_silence_hum_music_and_noise_there_is_no_turn(
    settings: Settings,
) -> None:
    voice, vad = EspeakSynthesizer(), SileroVad()
    await vad.start()
    engines = VoiceEngines(vad, ScriptedTranscriber(), voice, Metrics().voice)
    resident = []
    for noise in (silence, hum, music, pink_noise):
        conversation = ScriptedConversation()
        async with calling(engines, settings, conversation) as line:
            for piece in minutes_of(noise):
                await line.hear(piece)
                resident.append(resident_bytes())
            assert conversation.asked == conversation.prepared == []
            assert line.page.pieces == 0
            assert line.page.farewell == ""
            assert line.most_waiting <= LIMIT_BYTES
    await engines.aclose()
    check_growth(resident, len(resident) // 4)
