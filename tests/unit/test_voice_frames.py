"""However the page cuts the sound into chunks, the engines hear the same frames."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice.audio import FRAME_SAMPLES, PAGE_RATE, STT_RATE, from_pcm16, to_pcm16
from voice.frames import Framer

SPEECH = to_pcm16((0.3 * np.random.default_rng(7).standard_normal(PAGE_RATE)).astype(np.float32))
"""A second of the page's sound: 48,000 bytes."""


def framed(data: bytes, sizes: list[int], rate: int = PAGE_RATE) -> list[np.ndarray]:
    framer, frames, start, turn = Framer(rate), [], 0, 0
    while start < len(data):
        size = sizes[turn % len(sizes)]
        frames += framer.feed(data[start : start + size])
        start, turn = start + size, turn + 1
    return frames + framer.flush()


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(a, b) for a, b in zip(one, other, strict=True)
    )


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=20))
def test_any_chunking_of_the_same_bytes_gives_the_same_frames(sizes: list[int]) -> None:
    assert same(framed(SPEECH, sizes), framed(SPEECH, [len(SPEECH)]))


@pytest.mark.parametrize("size", [1, 3, 8191, 8192, 1 << 20])
def test_odd_tiny_and_huge_chunks_give_the_same_frames(size: int) -> None:
    data = SPEECH * 2 if size < 100 else SPEECH * 30
    assert same(framed(data, [size]), framed(data, [8192]))


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=5000), st.lists(st.integers(1, 999), min_size=1, max_size=5))
def test_a_stream_that_needs_no_resampling_keeps_every_sample(
    data: bytes, sizes: list[int]
) -> None:
    samples = np.concatenate([*framed(data, sizes, rate=STT_RATE), np.zeros(0)])
    whole = from_pcm16(data[: len(data) // 2 * 2])
    assert np.array_equal(samples[: len(whole)], whole)
    assert not samples[len(whole) :].any()
    assert len(samples) - len(whole) < FRAME_SAMPLES


def test_frames_are_512_float_samples_of_16_khz() -> None:
    frames = framed(SPEECH, [8192])
    assert {(frame.shape, frame.dtype) for frame in frames} == {((512,), np.dtype("float32"))}
    assert len(frames) == -(-STT_RATE // FRAME_SAMPLES)


def test_a_tone_keeps_its_pitch_and_its_level() -> None:
    t = np.arange(PAGE_RATE) / PAGE_RATE
    tone = (0.5 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    heard = np.concatenate(framed(to_pcm16(tone), [8191]))[:STT_RATE]
    spectrum = np.abs(np.fft.rfft(heard))
    assert abs(int(spectrum.argmax()) - 440) <= 1
    assert np.abs(heard[2000:-2000]).max() == pytest.approx(0.5, abs=0.01)


def test_half_a_sample_at_the_end_of_a_stream_does_not_shift_the_next_one() -> None:
    framer = Framer(STT_RATE)
    framer.feed(b"\x01")
    framer.flush()
    frames = framer.feed(to_pcm16(np.full(FRAME_SAMPLES, 0.25, dtype=np.float32)))
    assert frames[0] == pytest.approx(0.25)


def test_an_empty_chunk_is_nothing() -> None:
    assert Framer().feed(b"") == []
    assert Framer().flush() == []


@given(st.lists(st.integers(-32768, 32767), max_size=50))
def test_bytes_become_samples_and_back_without_loss(values: list[int]) -> None:
    data = np.array(values, dtype="<i2").tobytes()
    assert to_pcm16(from_pcm16(data)) == data


def test_what_is_too_loud_is_clipped_and_what_is_no_number_is_silence() -> None:
    odd = np.array([2.0, -2.0, np.nan, np.inf, -np.inf], dtype=np.float32)
    assert np.frombuffer(to_pcm16(odd), "<i2").tolist() == [32767, -32768, 0, 32767, -32768]
