"""When something was said, where silence was cut out before it was heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from voice.audio import STT_RATE, Samples

MIN_OVERLAP_S = 0.25
"""A segment that reaches so little into the next stretch of speech has just not ended in time."""


@dataclass(frozen=True)
class Stretch:
    """A stretch of speech in samples."""

    start: int
    end: int


class Timeline:
    """The stretches of speech in a sound, and the same sound without what is between them.

    Whisper's times are those of the shorter sound, and are not exact to the frame: a segment that
    ends a moment late would seem to last until the end of the pause behind it. So a segment only
    counts where it covers enough of a stretch.
    """

    def __init__(self, stretches: Sequence[Stretch]) -> None:
        """Take at least one stretch, in order."""
        self._stretches = stretches
        lengths = [stretch.end - stretch.start for stretch in stretches]
        self._places = [0, *accumulate(lengths)]

    def speech(self, sound: Samples) -> Samples:
        """Return ``sound`` without what is between the stretches."""
        return np.concatenate([sound[part.start : part.end] for part in self._stretches])

    def original(self, start_s: float, end_s: float) -> tuple[float, float]:
        """Return when in the whole sound that was which is so placed in the shorter one."""
        start, end = start_s * STT_RATE, end_s * STT_RATE
        overlaps = [
            min(end, behind) - max(start, place)
            for place, behind in zip(self._places, self._places[1:], strict=False)
        ]
        enough = min(max(overlaps), MIN_OVERLAP_S * STT_RATE)
        covered = [number for number, overlap in enumerate(overlaps) if overlap >= enough]
        first, last = covered[0], covered[-1]
        begin = self._stretches[first].start + max(0.0, start - self._places[first])
        begin = min(begin, self._stretches[first].end)
        finish = self._stretches[last].start + end - self._places[last]
        finish = min(finish, self._stretches[last].end)
        return begin / STT_RATE, max(begin, finish) / STT_RATE
