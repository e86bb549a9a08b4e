"""What was said is kept, trimmed and bounded; what is lost is counted and told once."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from voice.audio import FRAME_MS, FRAME_SAMPLES
from voice.utterance import UtteranceBuffer

SPEECH, SILENCE = 0.9, 0.01
LEAD_IN, LEAD_OUT = 8, 5  # frames kept by default


def frame(number: int) -> np.ndarray:
    return np.full(FRAME_SAMPLES, number, dtype=np.float32)


def fed(pattern: str, **bounds: float) -> UtteranceBuffer:
    """Feed numbered frames, ``s`` with speech and ``.`` without."""
    buffer = UtteranceBuffer(**bounds)  # type: ignore[arg-type]
    for number, kind in enumerate(pattern):
        buffer.append(frame(number), SPEECH if kind == "s" else SILENCE)
    return buffer


def numbers(buffer: UtteranceBuffer) -> list[int]:
    audio = buffer.utterance().audio
    assert len(audio) % FRAME_SAMPLES == 0, "half a frame was kept"
    return [int(piece[0]) for piece in audio.reshape(-1, FRAME_SAMPLES)]


def test_silence_at_both_ends_is_trimmed_to_a_lead() -> None:
    kept = numbers(fed("." * 40 + "ssss..ss" + "." * 40))
    assert kept == list(range(40 - LEAD_IN, 48 + LEAD_OUT))


def test_silence_alone_is_nothing() -> None:
    utterance = fed("." * 100).utterance()
    assert (len(utterance.audio), utterance.speech_ms, utterance.end) == (0, 0, 0)


def test_waiting_in_silence_for_an_hour_holds_no_more_than_the_lead_in() -> None:
    buffer = fed("." * 5000)
    assert buffer.duration_ms == LEAD_IN * FRAME_MS
    assert buffer.dropped_frames == 0


def test_past_the_hard_limit_the_oldest_whole_frames_go_and_are_counted() -> None:
    buffer = fed("s" * 1000, hard_s=10)
    limit = 10_000 // FRAME_MS
    assert buffer.dropped_frames == 1000 - limit
    assert numbers(buffer) == list(range(1000 - limit, 1000))
    assert buffer.speech_ms == limit * FRAME_MS


def test_the_hard_limit_cannot_be_raised_above_whispers_window() -> None:
    assert fed("s" * 1000, hard_s=500).duration_ms <= 30_000


def test_the_speaker_is_told_of_a_loss_once_a_turn() -> None:
    buffer = fed("s" * 40, hard_s=1)
    assert (buffer.take_notice(), buffer.take_notice()) == (True, False)
    buffer.clear()
    assert not buffer.take_notice()
    for _ in range(40):
        buffer.append(frame(0), SPEECH)
    assert buffer.take_notice()


def test_the_soft_window_only_says_so() -> None:
    buffer = fed("s" * 32, soft_s=1)
    assert buffer.over_soft
    assert buffer.dropped_frames == 0
    assert len(numbers(buffer)) == 32


def test_the_prepared_audio_is_the_final_audio_when_only_silence_follows() -> None:
    at_the_pause = fed("...ssss" + "." * 6).utterance()
    at_the_end = fed("...ssss" + "." * 30).utterance()
    assert at_the_pause.end == at_the_end.end
    assert np.array_equal(at_the_pause.audio, at_the_end.audio)


def test_what_was_settled_is_forgotten_and_what_came_later_is_kept() -> None:
    buffer = fed("ssss......")
    settled = buffer.utterance().end
    for number in (10, 11):
        buffer.append(frame(number), SPEECH)
    buffer.forget(settled)
    assert buffer.speech_ms == 2 * FRAME_MS
    assert numbers(buffer)[-2:] == [10, 11]
    assert 3 not in numbers(buffer)
    buffer.forget(buffer.utterance().end)
    assert buffer.end == 0


@given(st.text("s.", max_size=300), st.integers(1, 5))
def test_whatever_comes_it_stays_within_bounds_and_counts_right(pattern: str, hard: int) -> None:
    buffer = fed(pattern, hard_s=hard)
    assert buffer.duration_ms <= hard * 1000
    kept = numbers(buffer)
    assert kept == sorted(set(kept))
    assert buffer.speech_ms == sum(pattern[number] == "s" for number in kept) * FRAME_MS
