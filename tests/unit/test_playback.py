"""Playback: the page is kept just ahead, and what can have been heard is known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence

import numpy as np
import pytest

from core.errors import SynthesisError
from voice.playback import BLOCK_BYTES, LEAD_MAX_S, Player, Playout
from voice.speakable.clauses import SpokenClause, clauses_of
from voice.tts.page_audio import PAGE_RATE, PageAudio
from voice.tts.synthesizer import AudioChunk


class FakeTime:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += max(0.0, seconds)
        await asyncio.sleep(0)


def clause(text: str, start: int = 0) -> SpokenClause:
    return SpokenClause(text, text.strip(), start, start + len(text))


def seconds(length: float) -> bytes:
    return bytes(2 * round(length * PAGE_RATE))


async def pieces(clauses: Sequence[SpokenClause]) -> AsyncIterator[SpokenClause]:
    for piece in clauses:
        yield piece


def reply_with(*parts: tuple[SpokenClause, float]) -> Playout:
    reply = Playout("track")
    for piece, length in parts:
        reply.begin_clause(piece)
        reply.push(seconds(length))
    reply.end()
    return reply


def test_no_more_than_the_lead_is_taken_and_only_whole_blocks() -> None:
    reply = reply_with((clause("One two three."), 5.0))
    first = reply.take(10.0)
    assert len(first) % BLOCK_BYTES == 0
    assert LEAD_MAX_S - 0.01 < reply.lead_s(10.0) <= LEAD_MAX_S
    assert reply.take(10.0) == b""
    assert len(reply.take(10.5)) == pytest.approx(len(seconds(0.5)), abs=2 * BLOCK_BYTES)


def test_nothing_is_lost_and_nothing_is_doubled() -> None:
    """Taken bit by bit, the sound is what was pushed."""
    rng = np.random.default_rng(1)
    pushed = rng.integers(0, 255, 2 * 128 * 400, dtype=np.uint8).tobytes()
    reply = Playout("track")
    reply.begin_clause(clause("Noise."))
    for at in range(0, len(pushed), 1000):
        reply.push(pushed[at : at + 1000])
    reply.end()
    taken, now = b"", 0.0
    while reply.has_blocks:
        taken += reply.take(now)
        now += 0.13
    assert taken == pushed


def test_what_was_heard_grows_with_the_time_and_ends_at_the_clauses_end() -> None:
    first, second = clause("Hello there, "), clause("how are you?", 13)
    reply = reply_with((first, 0.4), (second, 0.4))
    reply.take(0.0)
    assert reply.heard(0.0).chars == 0
    assert reply.heard(0.2).clause == 0
    assert 0 < reply.heard(0.2).chars <= 13
    assert reply.heard(0.6).clause == 1
    assert 13 < reply.heard(0.6).chars < 25
    done = reply.heard(0.9)
    assert (done.chars, done.complete) == (25, True)


def test_the_page_stands_still_while_it_has_nothing() -> None:
    """A gap in the sound moves its end, so nothing of what follows counts as heard too early."""
    reply = Playout("track")
    reply.begin_clause(clause("A long clause that comes slowly, "))
    reply.push(seconds(0.4))
    reply.take(0.0)
    assert reply.heard(3.0).ms == pytest.approx(400, abs=6)
    reply.push(seconds(0.4))
    reply.take(3.0)
    assert reply.heard(3.2).ms == pytest.approx(600, abs=6)


def test_stop_freezes_what_was_heard() -> None:
    reply = reply_with((clause("Some words that take a while to say."), 3.0))
    reply.take(0.0)
    reply.stop(0.5)
    assert reply.take(0.6) == b""
    assert reply.heard(9.0) == reply.heard(0.5)
    assert reply.heard(9.0).ms == pytest.approx(500, abs=6)
    assert not reply.heard(9.0).complete


def test_a_clause_cut_off_while_it_was_made_is_not_counted_as_heard_whole() -> None:
    """Of a clause whose sound was not finished, the share is taken of its usual length."""
    text = "The quick brown fox jumps over the lazy dog and then it rests for a while."
    reply = Playout("track")
    reply.begin_clause(clause(text))
    reply.push(seconds(0.5))
    reply.take(0.0)
    reply.stop(0.5)
    assert 0 < reply.heard(0.5).chars < len(text) / 2


def test_heard_text_ends_at_a_word() -> None:
    answer = "The Eiffel Tower was finished in 1889 [1]. It is 330 m tall."
    parts = list(clauses_of(answer))
    reply = reply_with(*((part, 1.0) for part in parts))
    now = 0.0
    while reply.has_blocks:
        reply.take(now)
        now += 0.1
        heard = answer[: reply.heard(now).chars]
        assert answer.startswith(heard)
        assert heard == answer or answer[len(heard)].isspace() or heard[-1:].isspace()


async def tone(_text: str) -> AsyncGenerator[AudioChunk, None]:
    for _ in range(8):
        yield AudioChunk(np.full(5512, 0.1, np.float32), 22_050)


async def test_a_reply_is_sent_whole_in_blocks_with_the_lead_kept() -> None:
    time, sent, leads = FakeTime(), bytearray(), []
    ends_at = 0.0

    async def send(track: str, pcm: bytes) -> None:
        nonlocal ends_at
        assert track == player.track
        assert len(pcm) % BLOCK_BYTES == 0
        if sent:
            leads.append(ends_at - time.now)
        ends_at = max(ends_at, time.now) + len(pcm) / 2 / PAGE_RATE
        assert ends_at - time.now <= LEAD_MAX_S + 0.001
        sent.extend(pcm)

    player = Player(send, clock=time.clock, sleep=time.sleep)
    heard = await player.play(pieces([clause("First one, "), clause("second one.", 11)]), tone)
    assert len(sent) / 2 / PAGE_RATE == pytest.approx(4.0, abs=0.01)
    assert heard.complete
    assert heard.chars == 22
    assert not player.playing
    assert all(lead >= 0 for lead in leads)
    assert sum(lead >= 0.3 for lead in leads[4:]) == len(leads[4:])


async def test_each_reply_has_a_track_of_its_own() -> None:
    time, tracks = FakeTime(), set()

    async def send(track: str, _pcm: bytes) -> None:
        tracks.add(track)

    player = Player(send, clock=time.clock, sleep=time.sleep)
    for _ in range(3):
        await player.play(pieces([clause("Again.")]), tone)
    assert len(tracks) == 3


async def test_stop_ends_the_voice_and_the_sending_at_once() -> None:
    time, sent, closed = FakeTime(), [], asyncio.Event()

    async def endless(_text: str) -> AsyncGenerator[AudioChunk, None]:
        try:
            while True:
                yield AudioChunk(np.zeros(2205, np.float32), 22_050)
        finally:
            closed.set()

    async def send(_track: str, pcm: bytes) -> None:
        sent.append(pcm)
        if len(sent) == 5:
            heard = player.stop()
            assert heard is not None
            assert not heard.complete

    player = Player(send, clock=time.clock, sleep=time.sleep)
    heard = await asyncio.wait_for(player.play(pieces([clause("For ever.")]), endless), 5)
    assert len(sent) == 5
    assert not heard.complete
    assert closed.is_set()
    assert not player.playing


async def test_cancelling_stops_the_voice_too() -> None:
    time, closed = FakeTime(), asyncio.Event()

    async def stuck(_text: str) -> AsyncGenerator[AudioChunk, None]:
        try:
            yield AudioChunk(np.zeros(22_050, np.float32), 22_050)
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def send(_track: str, _pcm: bytes) -> None:
        return None

    player = Player(send, clock=time.clock, sleep=time.sleep)
    task = asyncio.create_task(player.play(pieces([clause("Stuck.")]), stuck))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed.is_set()
    assert not player.playing


async def test_a_voice_that_fails_is_told_after_its_sound_was_sent() -> None:
    time, sent = FakeTime(), bytearray()

    async def failing(_text: str) -> AsyncGenerator[AudioChunk, None]:
        yield AudioChunk(np.zeros(24_000, np.float32), 24_000)
        raise SynthesisError("The voice failed.")

    async def send(_track: str, pcm: bytes) -> None:
        sent.extend(pcm)

    player = Player(send, clock=time.clock, sleep=time.sleep)
    with pytest.raises(SynthesisError):
        await player.play(pieces([clause("Half of it.")]), failing)
    assert len(sent) > 2 * 20_000
    assert player.heard() is not None
    time.now += 10
    assert not player.playing


def test_resampling_in_pieces_is_resampling_at_once() -> None:
    """The state is kept: no clicks where chunks meet, and the end is a whole block."""
    rng = np.random.default_rng(2)
    samples = (rng.standard_normal(40_000) * 0.1).astype(np.float32)
    whole, cut = PageAudio(), PageAudio()
    at_once = whole.feed(AudioChunk(samples, 22_050)) + whole.finish()
    in_pieces = b""
    for at in range(0, len(samples), 777):
        in_pieces += cut.feed(AudioChunk(samples[at : at + 777], 22_050))
    in_pieces += cut.finish()
    assert len(at_once) == len(in_pieces)
    assert len(at_once) % BLOCK_BYTES == 0
    one, two = (np.frombuffer(pcm, "<i2").astype(int) for pcm in (at_once, in_pieces))
    assert np.max(np.abs(one - two)) <= 1
    assert len(one) == pytest.approx(40_000 * 24_000 / 22_050, abs=128)


def test_another_voices_rate_in_the_middle_of_a_reply_loses_nothing() -> None:
    page = PageAudio()
    pcm = page.feed(AudioChunk(np.zeros(22_050, np.float32), 22_050))
    pcm += page.feed(AudioChunk(np.zeros(16_000, np.float32), 16_000))
    pcm += page.feed(AudioChunk(np.zeros(24_000, np.float32), 24_000)) + page.finish()
    assert len(pcm) / 2 == pytest.approx(3 * PAGE_RATE, abs=200)
