"""One loudness for all that a voice says.

Piper scales each sentence to its own peak, which needs the whole sentence and makes short ones
louder than long ones. Here the voice is measured once and a soft limiter takes care of peaks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from voice.tts.synthesizer import Samples

TARGET_RMS = 0.1
"""-20 dB below full scale, pauses included: speech at a usual loudness."""

MAX_GAIN = 4.0
KNEE = 0.8
"""Below it nothing is changed; above it the curve bends so that 1 is never reached."""


@dataclass(frozen=True)
class VoiceLevel:
    """What the voice's samples are multiplied by."""

    gain: float

    @classmethod
    def measured(cls, speech: Samples) -> VoiceLevel:
        """Return the gain that brings ``speech`` to the usual loudness."""
        rms = math.sqrt(float(np.mean(speech.astype(np.float64) ** 2))) if speech.size else 0.0
        return cls(min(MAX_GAIN, TARGET_RMS / rms) if rms > 0 else 1.0)

    def apply(self, samples: Samples) -> Samples:
        """Return ``samples`` at the usual loudness, within -1 … 1."""
        return limited(samples * np.float32(self.gain))


def limited(samples: Samples) -> Samples:
    """Bend what is louder than ``KNEE`` smoothly below 1."""
    over = np.abs(samples) > KNEE
    if not over.any():
        return samples
    bent = samples.copy()
    room = 1.0 - KNEE
    bent[over] = np.sign(samples[over]) * (
        KNEE + room * np.tanh((np.abs(samples[over]) - KNEE) / room)
    )
    return bent
