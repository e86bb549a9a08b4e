"""A session holds one speaker's turn; the engine knows nothing of it."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from core.errors import TranscriptionError
from core.settings import Settings
from voice.audio import FRAME_SAMPLES
from voice.stt import CallLanguage, DecodeRequest, Transcriber, Transcript, TranscriptionSession


class ScriptedEngine(Transcriber):
    """Writes how many frames it heard, once it is let; used where a real one cannot be timed."""

    name = "scripted"

    def __init__(self) -> None:
        self.requests: list[DecodeRequest] = []
        self.cancelled = 0
        self.free = asyncio.Event()
        self.free.set()
        self.fault: Exception | None = None

    async def start(self) -> None:
        """Nothing to load."""

    async def aclose(self) -> None:
        """Nothing to free."""

    async def decode(self, request: DecodeRequest) -> Transcript:
        self.requests.append(request)
        try:
            await self.free.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.fault is not None:
            raise self.fault
        frames = len(request.audio) // FRAME_SAMPLES
        return Transcript(
            f"{frames} frames",
            language=request.language or "de",
            language_probability=0.9,
            speech_ms=request.speech_ms or 0,
        )


@pytest.fixture
async def engine() -> ScriptedEngine:
    return ScriptedEngine()


def say(session: TranscriptionSession, pattern: str) -> None:
    for kind in pattern:
        session.feed(np.zeros(FRAME_SAMPLES, dtype=np.float32), 0.9 if kind == "s" else 0.01)


async def test_silence_does_not_reach_the_engine(engine: ScriptedEngine) -> None:
    session = TranscriptionSession(engine)
    say(session, "." * 100)
    assert (await session.final()).text == ""
    assert (await session.partial()).text == ""  # type: ignore[union-attr]
    assert engine.requests == []


async def test_the_final_text_costs_nothing_when_the_pause_has_prepared_it(
    engine: ScriptedEngine,
) -> None:
    session = TranscriptionSession(engine)
    say(session, "ssss......")
    prepared = await session.partial()
    say(session, "." * 20)
    final = await session.final()
    assert prepared is not None
    assert (prepared.text, prepared.partial, final.partial) == (final.text, True, False)
    assert len(engine.requests) == 1


async def test_a_final_joins_the_partial_that_is_under_way(engine: ScriptedEngine) -> None:
    engine.free.clear()
    session = TranscriptionSession(engine)
    say(session, "ssss......")
    partial = asyncio.create_task(session.partial())
    await asyncio.sleep(0)
    final = asyncio.create_task(session.final())
    await asyncio.sleep(0)
    partial.cancel()  # who prepared it gives up; the turn does not
    await asyncio.sleep(0)
    engine.free.set()
    assert (await final).text == "9 frames"
    assert len(engine.requests) == 1
    assert engine.cancelled == 0


async def test_the_latest_partial_takes_the_place_of_an_older_one(engine: ScriptedEngine) -> None:
    engine.free.clear()
    session = TranscriptionSession(engine)
    say(session, "ssss")
    older = asyncio.create_task(session.partial())
    await asyncio.sleep(0.01)
    say(session, "ss")
    newer = asyncio.create_task(session.partial())
    await asyncio.sleep(0.01)
    assert await older is None
    assert engine.cancelled == 1
    engine.free.set()
    transcript = await newer
    assert transcript is not None
    assert transcript.text == "6 frames"


async def test_cancelling_the_last_who_waits_stops_the_engine(engine: ScriptedEngine) -> None:
    engine.free.clear()
    session = TranscriptionSession(engine)
    say(session, "ssss")
    final = asyncio.create_task(session.final())
    await asyncio.sleep(0.01)
    final.cancel()
    with pytest.raises(asyncio.CancelledError):
        await final
    await asyncio.sleep(0.01)
    assert engine.cancelled == 1
    engine.free.set()
    assert (await session.final()).text == "4 frames"


async def test_two_sessions_are_not_mixed(engine: ScriptedEngine) -> None:
    one, other = (
        TranscriptionSession(engine, language="en"),
        TranscriptionSession(engine, language="fr"),
    )
    for _ in range(4):
        say(one, "s")
        say(other, "ss")
    texts = await asyncio.gather(one.final(), other.final())
    assert [text.text for text in texts] == ["4 frames", "8 frames"]
    assert [text.language for text in texts] == ["en", "fr"]


async def test_a_long_turn_is_settled_piece_by_piece_and_nothing_is_lost(
    engine: ScriptedEngine,
) -> None:
    session = TranscriptionSession(engine, soft_s=1)
    for _ in range(3):
        say(session, "s" * 40 + "......")
        assert session.over_soft
        await session.commit()
        assert not session.over_soft
    say(session, "ss")
    final = await session.final()
    heard = [len(request.audio) // FRAME_SAMPLES for request in engine.requests]
    assert final.text == " ".join(f"{frames} frames" for frames in heard)
    assert final.speech_ms == (3 * 40 + 2) * 32
    assert session.dropped_frames == 0


async def test_what_is_said_while_a_piece_is_settled_is_kept(engine: ScriptedEngine) -> None:
    engine.free.clear()
    session = TranscriptionSession(engine)
    say(session, "ssss......")
    commit = asyncio.create_task(session.commit())
    await asyncio.sleep(0.01)
    say(session, "sss")
    engine.free.set()
    assert (await commit).text == "9 frames"
    assert (await session.final()).speech_ms == 7 * 32


async def test_a_failure_is_told_and_tried_again_at_the_next_call(engine: ScriptedEngine) -> None:
    session = TranscriptionSession(engine)
    say(session, "ssss")
    engine.fault = TranscriptionError("no")
    with pytest.raises(TranscriptionError):
        await session.final()
    engine.fault = None
    assert (await session.final()).text == "4 frames"


async def test_the_language_is_found_out_once_a_call(engine: ScriptedEngine) -> None:
    language = CallLanguage("auto")
    session = TranscriptionSession(engine, language=language)
    say(session, "s" * 10)
    await session.final()
    assert session.language is None, "a short word has settled the language"
    session.reset()
    say(session, "s" * 40)
    await session.final()
    session.reset()
    say(session, "s" * 40)
    await session.final()
    assert [request.language for request in engine.requests] == [None, None, "de"]
    assert TranscriptionSession(engine, language=language).language == "de"


async def test_the_settings_reach_the_session(engine: ScriptedEngine) -> None:
    settings = Settings(stt_language="fr", stt_window_s=2, vad_end_threshold=0.3)
    session = TranscriptionSession.of(engine, settings)
    assert session.language == "fr"
    for _ in range(63):
        session.feed(np.zeros(FRAME_SAMPLES, dtype=np.float32), 0.31)
    assert (session.speech_ms, session.over_soft) == (63 * 32, True)


async def test_a_new_turn_begins_with_nothing(engine: ScriptedEngine) -> None:
    session = TranscriptionSession(engine, hints=("Handbook",))
    say(session, "ssss")
    await session.commit()
    session.reset()
    assert (await session.final()).text == ""
    say(session, "ss")
    assert (await session.final()).text == "2 frames"
    assert engine.requests[-1].hints == ("Handbook",)
