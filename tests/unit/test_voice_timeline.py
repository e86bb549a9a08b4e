"""What was heard without the pauses is placed where it was said."""

from __future__ import annotations

import numpy as np
import pytest

from voice.audio import STT_RATE
from voice.stt.timeline import Stretch, Timeline


def seconds(*edges: tuple[float, float]) -> Timeline:
    return Timeline([Stretch(round(a * STT_RATE), round(b * STT_RATE)) for a, b in edges])


@pytest.mark.parametrize(
    ("heard", "said"),
    [
        ((0.0, 3.0), (0.0, 3.0)),
        ((0.0, 3.1), (0.0, 3.0)),  # a moment late, which is not the end of the pause
        ((2.9, 5.8), (22.0, 24.8)),  # a moment early
        ((3.0, 5.0), (22.0, 24.0)),
        ((1.0, 5.0), (1.0, 24.0)),  # it does go on behind the pause
        ((6.1, 9.9), (45.1, 48.0)),
        ((0.5, 0.6), (0.5, 0.6)),
    ],
)
def test_a_segment_is_placed_in_the_whole_sound(
    heard: tuple[float, float], said: tuple[float, float]
) -> None:
    timeline = seconds((0, 3), (22, 25), (45, 48))
    assert timeline.original(*heard) == pytest.approx(said)


def test_a_segment_beyond_the_end_stays_in_the_sound() -> None:
    start, end = seconds((1, 2)).original(5.0, 6.0)
    assert (start, end) == (2, 2)


def test_the_shorter_sound_is_the_speech_alone() -> None:
    sound = np.arange(10 * STT_RATE, dtype=np.float32)
    speech = seconds((1, 2), (5, 7)).speech(sound)
    assert len(speech) == 3 * STT_RATE
    assert (speech[0], speech[STT_RATE]) == (STT_RATE, 5 * STT_RATE)
