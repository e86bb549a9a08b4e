"""The reply coming back from the loudspeaker is told from a person's voice."""

from __future__ import annotations

import numpy as np
import pytest
from noises import Samples

from voice.audio import FRAME_SAMPLES, PAGE_RATE, STT_RATE, to_pcm16
from voice.echo import COMPARED_FRAMES, EchoGuard


def babble(seconds: float, *, seed: int, rate: int = PAGE_RATE) -> Samples:
    """Return tones that change 12 times a second, in loudness too: as unlike as two voices."""
    generator = np.random.default_rng(seed)
    t = np.arange(rate // 12) / rate
    parts = []
    for _ in range(round(seconds * 12)):
        pitch = generator.uniform(90, 250)
        tones = [
            generator.uniform(0, 1) * np.sin(2 * np.pi * pitch * k * t + generator.uniform(0, 6))
            for k in range(1, 12)
        ]
        parts.append(np.sum(tones, axis=0) * generator.uniform(0.2, 1))
    sound = np.concatenate(parts)
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


def at_stt_rate(sound: Samples) -> Samples:
    place = np.arange(0, sound.size, PAGE_RATE / STT_RATE)
    return np.interp(place, np.arange(sound.size), sound).astype(np.float32)


def verdicts(guard: EchoGuard, microphone: Samples) -> list[bool]:
    found = []
    for start in range(0, microphone.size - FRAME_SAMPLES + 1, FRAME_SAMPLES):
        guard.hear(microphone[start : start + FRAME_SAMPLES])
        found.append(guard.is_echo())
    return found[COMPARED_FRAMES:]


def guard_that_sent(sound: Samples) -> EchoGuard:
    guard = EchoGuard()
    guard.sent(to_pcm16(sound), 0.0)
    return guard


@pytest.mark.parametrize("gain", [1.0, 0.1, 0.03])
@pytest.mark.parametrize("delay_s", [0.05, 0.15, 0.3])
def test_a_late_and_quiet_copy_is_an_echo(gain: float, delay_s: float) -> None:
    sound = babble(2.5, seed=1)
    late = np.concatenate([np.zeros(round(delay_s * STT_RATE)), gain * at_stt_rate(sound)])
    noise = 0.001 * np.random.default_rng(0).standard_normal(late.size)
    heard = (late + noise).astype(np.float32)[round(delay_s * STT_RATE) :]
    assert all(verdicts(guard_that_sent(sound), heard))


def test_another_voice_is_none() -> None:
    found = verdicts(guard_that_sent(babble(2.5, seed=1)), at_stt_rate(babble(2.0, seed=2)))
    assert sum(found) <= 0.05 * len(found)


def test_a_voice_over_the_echo_is_none() -> None:
    sound = babble(2.5, seed=1)
    person = at_stt_rate(babble(2.0, seed=2))
    mixed = person + 0.1 * at_stt_rate(sound)[: person.size]
    found = verdicts(guard_that_sent(sound), mixed)
    assert sum(found) <= 0.05 * len(found)


def test_silence_and_what_was_never_sent_are_none() -> None:
    assert not any(verdicts(EchoGuard(), at_stt_rate(babble(1.0, seed=1))))
    silent = np.zeros(STT_RATE, dtype=np.float32)
    assert not any(verdicts(guard_that_sent(babble(2.0, seed=1)), silent))
    assert not any(verdicts(guard_that_sent(silent), at_stt_rate(babble(1.0, seed=1))))


def test_what_was_sent_long_ago_is_forgotten() -> None:
    sound = babble(1.0, seed=1)
    guard = guard_that_sent(sound)
    guard.sent(to_pcm16(babble(4.0, seed=3)), 1.0)
    found = verdicts(guard, at_stt_rate(sound))
    assert sum(found) <= 0.05 * len(found)


@pytest.mark.parametrize("gap_s", [0.0, 0.1, 0.2, 0.5])
def test_a_gap_in_what_the_page_had_to_play_is_known(gap_s: float) -> None:
    """The voice was late with the rest."""
    one, other = babble(1.0, seed=1), babble(1.0, seed=4)
    guard = guard_that_sent(one)
    guard.sent(to_pcm16(other), 1.0 + gap_s)
    silent = np.zeros(round(gap_s * PAGE_RATE), dtype=np.float32)
    heard = 0.1 * at_stt_rate(np.concatenate([one, silent, other]))
    found = verdicts(guard, heard)
    quiet = round(gap_s * STT_RATE / FRAME_SAMPLES)
    assert sum(found) >= len(found) - quiet


def test_what_an_interruption_cut_off_leaves_no_gap() -> None:
    one, other = babble(1.0, seed=1), babble(1.0, seed=4)
    guard = guard_that_sent(one)
    guard.silenced(0.5)
    guard.sent(to_pcm16(other), 2.0)
    silent = np.zeros(STT_RATE // 2, dtype=np.float32)
    heard = 0.1 * at_stt_rate(other)
    assert all(
        verdicts(guard, np.concatenate([silent, heard])[: 1 + silent.size + heard.size])[10:]
    )
