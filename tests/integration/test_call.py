"""A call with real engines: what is heard becomes turns, and what is said stops for a person.

The microphone runs in real time, as the playback clock matters; who answers is scripted.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from calls import CHUNK_S, Line, ScriptedConversation, calling, onset_s, page_chunks
from noises import NOISES, RATE, Samples, cough, silence
from speech import shared_speech, wer

from bench.speech import spoken
from core.errors import EngineNotReadyError, SynthesisError, TranscriptionError
from core.settings import Settings, load_settings
from state.breakers import Breakers
from telemetry.metrics import Metrics
from voice.audio import PAGE_RATE, to_pcm16
from voice.engines import VoiceEngines
from voice.ports import CallState
from voice.stt import DecodeRequest, Transcript
from voice.stt.fallback import FallbackTranscriber
from voice.stt.whisper import WhisperTranscriber
from voice.tts.fallback import FallbackSynthesizer
from voice.tts.synthesizer import AudioChunk, Synthesizer, VoiceStyle

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

QUESTION = "How much is the deposit?"
REPLY = (
    "The deposit is three monthly rents. It is paid back when you leave the flat, together with "
    "all of the interest, unless there is damage, and nobody may keep it for longer than a year."
)
LONG = (
    "I would like to know which of the neighbours has to write to the company that looks after "
    "the heating of the house, and on which day of the month the letter has to be there."
)
LINES = (
    QUESTION,
    LONG,
    "And what about the garden?",
    "Okay, right.",
    "Where did I put",
    "the contract for the flat?",
)
LISTENING, SPEAKING = CallState.LISTENING, CallState.SPEAKING

Dial = Callable[..., AbstractAsyncContextManager[Line]]


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(stt_language="en")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines(need_models, settings: Settings) -> AsyncIterator[VoiceEngines]:
    need_models("stt", "stt-light", "tts")
    engines = await VoiceEngines.create(settings, Metrics().voice, Breakers(settings, None))
    yield engines
    await engines.aclose()


@pytest.fixture(scope="module")
def voices(need_models, settings: Settings) -> dict[str, Samples]:
    need_models("tts")
    return {clip.text: clip.audio for clip in spoken(settings.models_dir, LINES, steady=True)}


@pytest.fixture
def dial(engines: VoiceEngines, settings: Settings) -> Dial:
    """Begin a call; each has figures of its own."""

    def begin(
        conversation: ScriptedConversation | None = None, *, changed: Any = None, **options: Any
    ) -> AbstractAsyncContextManager[Line]:
        metrics = Metrics()
        own = replace(engines, metrics=metrics.voice, **(changed or {}))
        chosen = options.pop("settings", settings)
        return calling(own, metrics, chosen, conversation, **options)

    return begin


def long_talk(**fields: Any) -> ScriptedConversation:
    return ScriptedConversation(replies=(REPLY, "Yes, there is one."), **fields)


async def ask(line: Line, question: Samples) -> None:
    """Speak, and listen until the reply has begun to sound."""
    begun = len(line.page.tracks)
    await line.hear(np.concatenate([silence(0.3), question]))
    await line.until(lambda: len(line.page.tracks) > begun, listening=True)


async def until_listening(line: Line) -> None:
    await line.until(lambda: line.page.state is LISTENING, listening=True)


# ── turns ────────────────────────────────────────────────────────────────────────────────────────


async def test_a_spoken_question_gives_one_turn_and_sound_comes_back(
    dial: Dial, voices: dict[str, Samples], engines: VoiceEngines
) -> None:
    async with dial() as line:
        await ask(line, voices[QUESTION])
        await until_listening(line)
        assert wer(QUESTION, line.conversation.asked) <= 0.25
        assert line.count("xoe_voice_turns_total") == 1
        assert len(line.page.tracks) == 1
        request = DecodeRequest(line.page.sound_of(), "en")
        assert (
            wer("The garden is open today.", (await engines.transcriber.decode(request)).text)
            <= 0.25
        )
        states = [view.state for view in line.page.views]
        order = list(dict.fromkeys(states))
        assert order == [LISTENING, CallState.THINKING, SPEAKING]
        assert {view.level > 0.3 for view in line.page.views} == {True, False}
        (stages,) = line.page.stages
        assert None not in (stages.endpoint, stages.stt, stages.first_audio)


async def test_what_is_heard_so_far_is_shown_while_one_speaks(
    dial: Dial, voices: dict[str, Samples]
) -> None:
    """The sentence is long enough for a look at it on a busy machine."""
    async with dial() as line:
        await ask(line, voices[LONG])
        shown = [view.partial for view in line.page.views if view.state is LISTENING]
        assert any(shown)
        assert {word for text in shown for word in text.lower().split()} & {"write", "company"}


async def test_people_are_heard_as_well_as_voices(dial: Dial, shared_dir: Path) -> None:
    recordings = [spoken for spoken in shared_speech(shared_dir) if len(spoken.audio) < 6 * RATE]
    said, heard = [], []
    for recording in recordings:
        async with dial(ScriptedConversation(replies=("",))) as line:
            audio = np.concatenate([silence(0.5), recording.audio, silence(2.0)])
            await line.hear_at_once(audio, chunk_bytes=8191)
            await line.until(lambda line=line: bool(line.conversation.asked))  # type: ignore[misc]
            said.append(recording.text)
            heard.append(" ".join(line.conversation.asked))
    assert wer(said, heard) <= 0.1, list(zip(said, heard, strict=True))


@pytest.mark.parametrize("name", NOISES)
async def test_what_is_no_speech_gives_no_turn_and_no_sound(dial: Dial, name: str) -> None:
    async with dial() as line:
        await line.hear_at_once(np.concatenate([NOISES[name](), silence(2.0)]))
        assert line.conversation.asked == []
        assert line.page.sent == []
        assert line.page.state is LISTENING


async def test_two_utterances_before_anything_sounded_are_one_turn(
    dial: Dial, voices: dict[str, Samples]
) -> None:
    conversation = ScriptedConversation(wait_s=4.0)
    async with dial(conversation) as line:
        await line.hear(np.concatenate([silence(0.3), voices["Where did I put"]]))
        await line.until(lambda: bool(conversation.asked), listening=True)
        conversation.wait_s = 0.0
        await line.hear(voices["the contract for the flat?"])
        await line.until(lambda: len(conversation.asked) == 2, listening=True)
        await until_listening(line)
        assert len(conversation.turns) == 1
        assert conversation.cuts == []
        assert wer("Where did I put the contract for the flat?", conversation.turns[0]) <= 0.2
        assert line.page.interrupts == []  # nothing had sounded yet, so nothing is silenced
        assert len(line.page.tracks) == 1


async def test_nothing_sounds_while_the_speaker_goes_on(
    dial: Dial, voices: dict[str, Samples]
) -> None:
    """The reply to the first half is ready in the midst of the second.

    Sound comes in pieces of 171 ms, so the second half is told half a second after it began, and
    the first may have been asked two pieces before that.
    """
    conversation = ScriptedConversation(wait_s=1.2)
    async with dial(conversation) as line:
        await line.hear(np.concatenate([silence(0.3), voices["Where did I put"]]))
        await line.until(lambda: bool(conversation.asked), listening=True)
        began = await line.hear(voices[QUESTION])
        until = began + len(voices[QUESTION]) / RATE
        await line.until(lambda: len(conversation.asked) == 2, listening=True)
        assert [piece.at for piece in line.page.sent if piece.at < until] == []


# ── interruptions ────────────────────────────────────────────────────────────────────────────────


async def test_speech_silences_the_reply_and_only_what_was_heard_is_kept(
    dial: Dial, voices: dict[str, Samples]
) -> None:
    conversation = long_talk()
    async with dial(conversation) as line:
        await ask(line, voices[QUESTION])
        await line.hear(silence(1.5))
        other = voices["And what about the garden?"]
        began = await line.hear(other)
        spoke_at = began + onset_s(other)
        silenced_at = line.page.interrupts[0]
        chunks = (silenced_at - spoke_at) / CHUNK_S
        assert chunks > 0
        await line.until(lambda: len(conversation.asked) == 2, listening=True)
        await until_listening(line)

        (heard,) = conversation.cuts
        assert 0 < len(heard) < len(REPLY)
        assert REPLY.startswith(heard)
        first = line.page.sent[0]
        played_s = silenced_at - first.at
        share = len(heard) / (played_s * 16)  # characters; a voice says 12 to 18 of them a second
        assert 0.6 < share < 1.5, (heard, played_s)
        assert wer("And what about the garden?", conversation.turns[1]) <= 0.25
        assert len(line.page.tracks) == 2
        late = [s for s in line.page.sent if s.track == first.track and s.at > silenced_at]
        assert late == []
        assert line.count("xoe_voice_barge_ins_total") == 1


async def test_speech_interrupts_wherever_it_falls_into_the_pages_chunks(
    dial: Dial, voices: dict[str, Samples], engines: VoiceEngines
) -> None:
    """They last 171 ms. How long it takes is measured by ``xoe bench voice``."""
    other = voices["Where did I put"]
    assert isinstance(engines.voice, FallbackSynthesizer)
    another_voice = {"voice": engines.voice.spare}  # no person has the assistant's own

    async def interrupted(offset_s: float) -> bool:
        async with dial(long_talk(), changed=another_voice) as line:
            await ask(line, voices[QUESTION])
            chunks = page_chunks(np.concatenate([silence(offset_s), other]))
            for number, chunk in enumerate(chunks, 1):
                line.call.put(to_pcm16(chunk))
                await line.settled()
                if line.page.interrupts:
                    return number * CHUNK_S > offset_s + onset_s(other)
            return False

    offsets = (step * CHUNK_S / 4 for step in range(4))
    assert all(await asyncio.gather(*(interrupted(offset) for offset in offsets)))


async def test_a_listeners_yes_lets_the_reply_go_on(dial: Dial, voices: dict[str, Samples]) -> None:
    conversation = ScriptedConversation(
        replies=("The deposit is three monthly rents. You get all of it back when you leave.",)
    )
    async with dial(conversation) as line:
        await ask(line, voices[QUESTION])
        await line.hear(silence(1.0))
        await line.hear(voices["Okay, right."])
        await until_listening(line)
        await line.until(lambda: line.count("xoe_voice_replies_resumed_total") == 1, listening=True)
        await until_listening(line)
        assert len(conversation.asked) == 1
        assert conversation.cuts == conversation.taken_back == []
        second = line.page.tracks[1]
        heard = await _text(line, second)
        assert "leave" in heard
        # The clause that was broken off is said again from its beginning, not the whole reply.
        assert heard.lower().split()[0] in ("the", "you", "get", "three", "is", "deposit")
        assert line.count("xoe_voice_rejected_total", reason="backchannel") == 1


async def test_a_cough_does_not_end_the_reply(dial: Dial, voices: dict[str, Samples]) -> None:
    conversation = ScriptedConversation(replies=("You get all of it back when you leave.",))
    async with dial(conversation) as line:
        await ask(line, voices[QUESTION])
        await line.hear(cough(level=0.9))
        await until_listening(line)
        await line.until(lambda: bool(line.page.stages), listening=True)
        assert len(conversation.asked) == 1
        assert conversation.cuts == conversation.taken_back == []
        assert "leave" in await _text(line, line.page.tracks[-1])


async def test_its_own_voice_in_the_microphone_is_nobody(
    dial: Dial, voices: dict[str, Samples]
) -> None:
    """The reply comes back at −20 dB through the whole of it and after it: 14 s of three calls."""

    async def call(delay_ms: int) -> None:
        conversation = ScriptedConversation(replies=(REPLY,))
        async with dial(conversation) as line:
            line.room = _loudspeaker(line, delay_ms / 1000)
            await ask(line, voices[QUESTION])
            await until_listening(line)
            await line.hear(silence(2.0))
            assert line.page.interrupts == []
            assert len(conversation.asked) == 1
            echoes = line.count("xoe_voice_rejected_total", reason="echo")
            assert echoes > 0, "the echo was too quiet"

    await asyncio.gather(*(call(delay_ms) for delay_ms in (50, 150, 300)))


async def test_a_person_is_heard_over_its_own_voice(dial: Dial, voices: dict[str, Samples]) -> None:
    conversation = long_talk()
    async with dial(conversation) as line:
        line.room = _loudspeaker(line, 0.15)
        await ask(line, voices[QUESTION])
        await line.hear(silence(1.5))
        await line.hear(voices["And what about the garden?"])
        await line.until(lambda: len(conversation.asked) == 2, listening=True)
        assert len(line.page.interrupts) == 1
        assert wer("And what about the garden?", conversation.asked[1]) <= 0.2


async def test_hush_stops_the_voice_and_the_call_goes_on(
    dial: Dial, voices: dict[str, Samples]
) -> None:
    conversation = long_talk()
    async with dial(conversation) as line:
        await ask(line, voices[QUESTION])
        line.call.hush()
        await line.until(lambda: line.page.state is LISTENING)
        sent = len(line.page.sent)
        assert line.page.interrupts
        await line.hear(silence(1.5))
        assert len(line.page.sent) == sent
        assert conversation.cuts == conversation.taken_back == []
        await ask(line, voices["And what about the garden?"])
        assert len(conversation.asked) == 2


# ── push-to-talk, silence, and the microphone ────────────────────────────────────────────────────


async def test_held_to_talk_only_what_is_said_meanwhile_counts(
    dial: Dial, voices: dict[str, Samples]
) -> None:
    conversation = long_talk()
    async with dial(conversation, mode="push_to_talk") as line:
        await line.hear_at_once(np.concatenate([voices[QUESTION], silence(2.0)]))
        assert conversation.asked == []
        line.call.press()
        await line.hear(voices[QUESTION])
        line.call.release()
        await line.until(lambda: bool(line.page.sent), listening=True)
        assert wer(QUESTION, conversation.asked) <= 0.25
        await line.hear(voices["And what about the garden?"])
        assert line.page.interrupts == []  # the button is up
        line.call.press()
        await line.hear(voices["And what about the garden?"])
        assert len(line.page.interrupts) == 1
        line.call.release()
        await line.until(lambda: len(conversation.asked) == 2, listening=True)


async def test_the_word_that_is_said_as_the_button_goes_up_is_heard(
    dial: Dial, voices: dict[str, Samples]
) -> None:
    """The page still has up to a chunk of sound at hand then."""
    question = voices[QUESTION]
    said = round(onset_s(question[::-1]) * RATE)
    question = question[: len(question) - said]
    tail = round(CHUNK_S * RATE)
    async with dial(mode="push_to_talk") as line:
        line.call.press()
        await line.hear_at_once(question[:-tail])
        line.call.release()
        await line.hear_at_once(question[-tail:])
        await line.until(lambda: bool(line.conversation.asked))
        assert wer(QUESTION, line.conversation.asked) <= 0.25


async def test_a_button_without_words_lets_the_reply_go_on(
    dial: Dial, voices: dict[str, Samples]
) -> None:
    conversation = ScriptedConversation(replies=("You get all of it back when you leave.",))
    async with dial(conversation, mode="push_to_talk") as line:
        line.call.press()
        await line.hear(voices[QUESTION])
        line.call.release()
        await line.until(lambda: bool(line.page.sent), listening=True)
        line.call.press()
        await line.hear(silence(0.4))
        line.call.release()
        await line.until(lambda: bool(line.page.stages), listening=True)
        assert len(conversation.asked) == 1
        assert "leave" in await _text(line, line.page.tracks[-1])


async def test_after_a_long_silence_the_call_ends_with_a_sentence(dial: Dial) -> None:
    async with dial(settings=load_settings(endpoint_long_silence_ms=3000)) as line:
        await line.hear_at_once(silence(5.0))
        await line.until(line.task.done)
        assert line.page.farewell.startswith("Nobody has spoken for 3 seconds")


async def test_a_page_that_is_gone_gives_its_place_free(
    dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voice.call.NO_SOUND_S", 0.2)
    async with dial() as line:
        await line.hear_at_once(silence(0.5))
        await line.until(line.task.done)
        assert line.page.farewell.startswith("No sound comes from the microphone")


@pytest.mark.parametrize("chunk_bytes", [33, 8191, 100_001])
async def test_chunks_of_any_size_are_heard(
    dial: Dial, voices: dict[str, Samples], chunk_bytes: int
) -> None:
    async with dial(ScriptedConversation(replies=("",))) as line:
        audio = np.concatenate([voices[QUESTION], silence(2.0)])
        await line.hear_at_once(audio, chunk_bytes=chunk_bytes)
        await line.until(lambda: bool(line.conversation.asked))
        assert wer(QUESTION, line.conversation.asked) <= 0.25


async def test_a_flood_stays_in_bounds_and_the_call_goes_on(
    dial: Dial, voices: dict[str, Samples]
) -> None:
    noise = np.random.default_rng(1).integers(0, 255, 8_191, dtype=np.uint8).tobytes()
    async with dial(ScriptedConversation(replies=("",))) as line:
        most = 0.0
        for _ in range(10_000):
            line.call.put(noise)
            most = max(most, line.waiting)
        assert most <= 64 * 8_192
        assert line.count("xoe_voice_overflow_chunks_total") > 9_900
        await line.settled()
        await line.hear_at_once(np.concatenate([silence(1.0), voices[QUESTION], silence(2.0)]))
        await line.until(lambda: bool(line.conversation.asked))
        assert wer(QUESTION, line.conversation.asked[-1]) <= 0.25


# ── engines that fail ────────────────────────────────────────────────────────────────────────────


class DeafTranscriber(WhisperTranscriber):
    """A real engine that fails from now on, as one whose memory ran out does."""

    def __init__(self) -> None:
        self.name = "deaf"

    async def start(self) -> None:
        """Nothing to load."""

    async def aclose(self) -> None:
        """Nothing to free."""

    async def decode(self, request: DecodeRequest) -> Transcript:
        raise TranscriptionError("The speech could not be transcribed.")


class MuteSynthesizer(Synthesizer):
    """A voice that fails."""

    name = "mute"
    sample_rate = PAGE_RATE
    ready = True
    language = "en-us"

    async def start(self) -> None:
        """Nothing to load."""

    async def aclose(self) -> None:
        """Nothing to free."""

    async def stream(self, text: str, style: VoiceStyle | None = None) -> AsyncIterator[AudioChunk]:
        raise SynthesisError("The voice has failed.")
        yield  # pragma: no cover - makes it a generator


async def test_when_the_transcriber_fails_the_light_one_hears(
    dial: Dial, voices: dict[str, Samples], settings: Settings
) -> None:
    fallbacks = []
    light = WhisperTranscriber.from_settings(settings, model="stt-light")
    pair = FallbackTranscriber(
        DeafTranscriber(),
        light,
        breakers=Breakers(settings, None),
        timeout_s=10,
        on_fallback=lambda: fallbacks.append(1),
    )
    try:
        async with dial(changed={"transcriber": pair}) as line:
            await ask(line, voices[QUESTION])
            assert wer(QUESTION, line.conversation.asked) <= 0.2
            assert fallbacks
            assert pair.serving == "spare"
            assert "A smaller model listens, as the usual one fails." in line.page.notes
    finally:
        await light.aclose()


async def test_when_nothing_can_transcribe_the_speaker_is_told_and_the_call_goes_on(
    dial: Dial, voices: dict[str, Samples], engines: VoiceEngines
) -> None:
    class Recovering(DeafTranscriber):
        well = False

        async def decode(self, request: DecodeRequest) -> Transcript:
            source = engines.transcriber if self.well else super()
            return await source.decode(request)

    ears = Recovering()
    async with dial(changed={"transcriber": ears}) as line:
        await line.hear_at_once(np.concatenate([voices[QUESTION], silence(2.0)]))
        await line.until(lambda: bool(line.page.notes))
        assert line.page.notes == {"I could not make that out. Please say it again, or type."}
        assert line.conversation.asked == []
        # It is said, too: a caller may not be looking.
        await line.until(lambda: bool(line.page.sent), listening=True)
        await until_listening(line)
        assert line.page.sound_of().size > RATE
        ears.well = True
        await ask(line, voices[QUESTION])
        assert wer(QUESTION, line.conversation.asked) <= 0.25


async def test_when_the_voice_fails_a_simpler_one_speaks(
    dial: Dial, voices: dict[str, Samples], engines: VoiceEngines, settings: Settings
) -> None:
    assert isinstance(engines.voice, FallbackSynthesizer)
    fallbacks: list[int] = []
    pair = FallbackSynthesizer(
        MuteSynthesizer(),
        engines.voice.spare,
        breakers=Breakers(settings, None),
        timeout_s=10,
        on_fallback=lambda: fallbacks.append(1),
    )
    async with dial(changed={"voice": pair}) as line:
        await ask(line, voices[QUESTION])
        await until_listening(line)
        assert fallbacks
        assert pair.serving == "spare"
        assert line.page.notes == {"A simpler voice speaks, as the usual one fails."}
        assert line.page.sound_of().size > RATE // 2


async def test_when_no_voice_speaks_it_apologises_and_the_text_goes_on_and_the_call_too(
    dial: Dial, voices: dict[str, Samples]
) -> None:
    async with dial(changed={"voice": MuteSynthesizer()}) as line:
        for turn in (1, 2):
            await line.hear(np.concatenate([silence(0.3), voices[QUESTION]]))
            await line.until(lambda n=turn: len(line.conversation.asked) == n, listening=True)  # type: ignore[misc]
            await until_listening(line)
        assert line.page.notes == {"There is no voice just now. The answer is on the page."}
        apologies = line.page.sound_of().size / RATE
        assert 8.5 < apologies < 9.5  # one of 4.5 s for each turn
        assert line.conversation.cuts == line.conversation.taken_back == []


async def test_when_the_answer_fails_it_is_told_and_the_call_goes_on(
    dial: Dial, voices: dict[str, Samples]
) -> None:
    fault = EngineNotReadyError("The model is not ready.")
    async with dial(ScriptedConversation(replies=("",), fault=fault)) as line:
        await line.hear(np.concatenate([silence(0.3), voices[QUESTION]]))
        await line.until(lambda: bool(line.page.notes), listening=True)
        assert "The model is not ready." in " ".join(line.page.notes)
        line.conversation.fault = None
        line.conversation.replies = ("The garden is open today.",)
        await until_listening(line)
        await ask(line, voices[QUESTION])


async def test_an_unforeseen_fault_ends_the_call_with_a_sentence(
    dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ZeroDivisionError):
        async with dial() as line:
            monkeypatch.setattr(line.call, "_hear", _divide)
            line.call.put(bytes(8_192))
            await line.until(line.task.done)
            assert line.page.farewell.startswith("Something unexpected went wrong")


async def test_a_call_ends_at_once_whatever_just_came_in(dial: Dial) -> None:
    """Also when a chunk comes in the same moment as the end."""
    for _ in range(20):
        async with dial() as line:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            line.call.put(bytes(8_192))
            line.task.cancel()
            async with asyncio.timeout(5):
                await asyncio.wait([line.task])
            assert line.task.cancelled()


async def test_a_call_that_ends_while_it_speaks_is_silent_at_once(
    dial: Dial, voices: dict[str, Samples]
) -> None:
    async with dial(long_talk()) as line:
        await ask(line, voices[QUESTION])
    sent = len(line.page.sent)
    await asyncio.sleep(0.8)
    assert len(line.page.sent) == sent
    assert line.conversation.cuts == line.conversation.taken_back == []
    assert line.waiting == 0


async def _divide(*_: object) -> None:
    raise ZeroDivisionError


async def _text(line: Line, track: str) -> str:
    engine = line.call._engines.transcriber
    return (await engine.decode(DecodeRequest(line.page.sound_of(track), "en"))).text


def _loudspeaker(line: Line, delay_s: float) -> Callable[[float, int], Samples]:
    """What the microphone hears of the reply: late, and at −20 dB."""
    return lambda at, count: 0.1 * line.page.loudspeaker(at - delay_s, count)
