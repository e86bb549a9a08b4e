"""Which frames are decoded together, and the sum that tells whether it made a difference."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from voice.tts.synthesizer import Samples

FIRST_FRAMES = 16
"""0.19 s of sound: enough to decode the next window while it plays."""

GROWTH = 1.5
LARGEST_FRAMES = 64
"""Past this the share of the context is small, and a cancelled window costs little."""

FLOW_LARGEST_FRAMES = 256


def decoder_windows(
    frames: int, *, first: int = FIRST_FRAMES, largest: int = LARGEST_FRAMES
) -> Iterator[tuple[int, int]]:
    """Yield ``(start, stop)`` of windows that cover ``frames`` frames, small ones first.

    What would be left over for a last window of less than ``first`` frames joins the one before.
    """
    start, size = 0, float(first)
    while start < frames:
        stop = start + int(size)
        if frames - stop < first:
            stop = frames
        yield start, stop
        start, size = stop, min(size * GROWTH, largest)


def next_flow_stop(done: int, needed: int, frames: int) -> int:
    """Return up to which frame the flow runs next: just enough at first, then twice as much."""
    return min(frames, max(needed, done + min(2 * done, FLOW_LARGEST_FRAMES)))


MOST_DB = 200.0
"""Said of equal sounds: past what float32 can tell apart."""


def snr_db(reference: Samples, other: Samples) -> float:
    """Return how near ``other`` is to ``reference``, in dB; ``-inf`` for another length."""
    if reference.shape != other.shape or not reference.size:
        return -math.inf
    wanted = reference.astype(np.float64)
    noise = float(np.sum((wanted - other) ** 2))
    signal = float(np.sum(wanted**2))
    if signal == 0.0:
        return -math.inf
    return MOST_DB if noise == 0.0 else min(MOST_DB, 10 * math.log10(signal / noise))
