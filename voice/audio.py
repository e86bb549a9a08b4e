"""Rates, frames and the two forms that sound has here: bytes of the page, samples of the engines.

The page sends and plays mono PCM, 16 bits, little-endian; the engines take float32 in −1 … 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
"""One channel of float32 samples, mostly within −1 … 1."""

PAGE_RATE = 24_000
"""Samples a second of what the page sends and plays, whatever Chainlit's ``sample_rate`` says."""
STT_RATE = 16_000
"""Samples a second that the speech detector and Whisper take."""
FRAME_SAMPLES = 512
"""A frame of the speech detector: the only length that Silero takes at 16 kHz."""
FRAME_MS = FRAME_SAMPLES * 1000 // STT_RATE
"""32 milliseconds."""

BYTES_A_SAMPLE = 2
_SCALE = 32768.0


def from_pcm16(data: bytes | bytearray | memoryview) -> Samples:
    """Return the samples of ``data``, whose number of bytes must be even."""
    return np.frombuffer(data, dtype="<i2").astype(np.float32) / np.float32(_SCALE)


def to_pcm16(samples: Samples) -> bytes:
    """Return ``samples`` as bytes; what is too loud is clipped, what is no number is silence."""
    finite = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0)
    scaled = np.clip(np.rint(finite * _SCALE), -_SCALE, _SCALE - 1)
    data: bytes = scaled.astype("<i2").tobytes()
    return data


def milliseconds(samples: int, rate: int = STT_RATE) -> float:
    """Return how long ``samples`` samples last."""
    return samples * 1000 / rate
