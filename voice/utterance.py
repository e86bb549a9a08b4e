"""What has been said in this turn: bounded, and without the silence at both ends."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from voice.audio import FRAME_MS, Samples

HARD_LIMIT_S = 30.0
"""Whisper's own window: no more can be heard at once."""


@dataclass(frozen=True)
class Utterance:
    """A piece of speech, ready to be transcribed."""

    audio: Samples
    """Mono, 16 kHz, trimmed; empty where nobody spoke."""
    speech_ms: int
    """How much of it the speech detector took for speech."""
    end: int
    """The number of the last frame with speech in it: the same number, the same speech."""


@dataclass(frozen=True)
class _Frame:
    samples: Samples
    speech: bool
    number: int


class UtteranceBuffer:
    """The frames of one turn.

    Before the first speech only a short lead-in is kept, so it may be fed without a pause. Past
    the hard limit the oldest whole frames go and are counted; it never raises. Not thread-safe.
    """

    def __init__(
        self,
        *,
        soft_s: float = 10.0,
        hard_s: float = HARD_LIMIT_S,
        threshold: float = 0.35,
        lead_in_ms: int = 256,
        lead_out_ms: int = 160,
    ) -> None:
        """Set the bounds.

        ``soft_s``: past it ``over_soft`` says so; a good time to transcribe what there is.
        ``threshold``: speech probability from which a frame counts as speech.
        ``lead_in_ms``, ``lead_out_ms``: silence kept before and after speech; soft consonants
        are in it. The latter must not be longer than the pause at which a transcript is
        prepared, or the final audio would differ from the prepared one.
        """
        self._soft_frames = _frames(soft_s * 1000)
        self._hard_frames = int(min(hard_s, HARD_LIMIT_S) * 1000) // FRAME_MS
        self._threshold = threshold
        self._lead_in = _frames(lead_in_ms)
        self._lead_out = _frames(lead_out_ms)
        self._frames: deque[_Frame] = deque()
        self._speech = 0
        self._number = 0
        self._dropped = 0
        self._last_speech = 0
        self._noticed = False

    @property
    def speech_ms(self) -> int:
        """Speech that is in the buffer."""
        return self._speech * FRAME_MS

    @property
    def duration_ms(self) -> int:
        """Sound that is in the buffer, silence included."""
        return len(self._frames) * FRAME_MS

    @property
    def dropped_frames(self) -> int:
        """Frames of this turn that were lost at the hard limit."""
        return self._dropped

    @property
    def over_soft(self) -> bool:
        """True when there is more than the soft window holds."""
        return len(self._frames) > self._soft_frames

    @property
    def end(self) -> int:
        """The number of the last frame with speech in it, 0 when there is none."""
        return self._last_speech

    def append(self, frame: Samples, probability: float) -> None:
        """Add a frame with its speech probability."""
        self._number += 1
        speech = probability >= self._threshold
        self._frames.append(_Frame(frame, speech, self._number))
        if speech:
            self._speech += 1
            self._last_speech = self._number
        elif not self._speech:
            while len(self._frames) > self._lead_in:
                self._frames.popleft()
        while len(self._frames) > self._hard_frames:
            self._speech -= self._frames.popleft().speech
            self._dropped += 1

    def take_notice(self) -> bool:
        """Return True once a turn, when frames have been dropped: the speaker should know."""
        if self._noticed or not self._dropped:
            return False
        self._noticed = True
        return True

    def utterance(self) -> Utterance:
        """Return what has been said so far, trimmed."""
        speaking = [i for i, frame in enumerate(self._frames) if frame.speech]
        if not speaking:
            return Utterance(np.zeros(0, dtype=np.float32), 0, 0)
        first = max(0, speaking[0] - self._lead_in)
        kept = list(self._frames)[first : speaking[-1] + 1 + self._lead_out]
        audio = np.concatenate([frame.samples for frame in kept])
        return Utterance(audio, len(speaking) * FRAME_MS, self._last_speech)

    def forget(self, end: int) -> None:
        """Drop what an utterance that ended at frame ``end`` covers; what came later stays."""
        while self._frames and self._frames[0].number <= end:
            self._speech -= self._frames.popleft().speech
        if not self._speech:
            self._last_speech = 0

    def clear(self) -> None:
        """Begin a new turn: nothing is kept, nothing counted."""
        self._frames.clear()
        self._speech = self._dropped = self._last_speech = 0
        self._noticed = False


def _frames(ms: float) -> int:
    return max(1, round(ms / FRAME_MS))
