"""Tells the loudspeaker's sound in the microphone from a person's.

A browser removes most of what it plays itself; what is left, or all of it where there is no such
filter, is a delayed and quieter copy of what was sent. A stretch of the microphone's sound that
correlates with some stretch of the sound sent is that copy. A person's voice, also one over the
loudspeaker's, does not: over a quarter of a second two voices mostly stay below 0.35.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt
import soxr

from voice.audio import BYTES_A_SAMPLE, FRAME_SAMPLES, PAGE_RATE, STT_RATE, Samples, from_pcm16

COMPARED_FRAMES = 8
"""256 ms of the microphone's sound."""
KEPT_S = 3.0
"""Sound sent that is remembered: the lead that the page is given, and what a room delays."""
ALIKE = 0.55
"""Normalised correlation from which on it is the same sound."""
STILL_ALIKE = 0.4
"""The same while it has just been: noise and a room take some of it."""

_KEPT_SAMPLES = int(KEPT_S * STT_RATE)
_COMPARED_SAMPLES = COMPARED_FRAMES * FRAME_SAMPLES
_SILENT = 1e-7


class EchoGuard:
    """Knows what was sent to one page. Not thread-safe; a comparison takes about 2 ms."""

    def __init__(self) -> None:
        """Nothing was sent yet."""
        self._sent: Samples = np.zeros(_KEPT_SAMPLES, dtype=np.float32)
        self._heard: deque[Samples] = deque(maxlen=COMPARED_FRAMES)
        self._resampler = soxr.ResampleStream(PAGE_RATE, STT_RATE, 1, dtype="float32")
        self._reference: _Reference | None = None
        self._ends_at = 0.0
        self._was_echo = False

    def sent(self, pcm: bytes, now: float) -> None:
        """Remember sound (s16le, 24 kHz) that was handed to the page at ``now`` (seconds).

        Where the page had played all it had, there is a silence in between.
        """
        gap_s = min(KEPT_S, max(0.0, now - self._ends_at))
        self._ends_at = max(self._ends_at, now) + len(pcm) / BYTES_A_SAMPLE / PAGE_RATE
        silence = np.zeros(round(gap_s * PAGE_RATE), dtype=np.float32)
        sound = np.concatenate((silence, from_pcm16(pcm)))
        samples = self._resampler.resample_chunk(sound)[-_KEPT_SAMPLES:]
        self._sent = np.concatenate((self._sent[samples.size :], samples))
        self._reference = None

    def silenced(self, now: float) -> None:
        """Take into account that the page plays no more of what it was sent."""
        self._ends_at = min(self._ends_at, now)

    def hear(self, frame: Samples) -> None:
        """Take the microphone's next frame (512 samples, 16 kHz)."""
        self._heard.append(frame)

    def is_echo(self) -> bool:
        """Tell whether the last quarter of a second is what was sent."""
        if len(self._heard) < COMPARED_FRAMES:
            return False
        if self._reference is None:
            self._reference = _Reference(self._sent)
        likeness = self._reference.likeness(np.concatenate(self._heard))
        self._was_echo = likeness >= (STILL_ALIKE if self._was_echo else ALIKE)
        return self._was_echo


class _Reference:
    """The sound sent, with what a comparison needs of it worked out once."""

    def __init__(self, sent: Samples) -> None:
        # Behind the end there is silence: the microphone has it together with the last words.
        sent = np.concatenate((sent, np.zeros(_COMPARED_SAMPLES, dtype=np.float32)))
        self._offsets = sent.size - _COMPARED_SAMPLES + 1
        self._size = 1 << (sent.size + _COMPARED_SAMPLES - 1).bit_length()
        self._spectrum = np.fft.rfft(sent, self._size)
        squares = np.concatenate(([0.0], np.cumsum(sent.astype(np.float64) ** 2)))
        energy = squares[_COMPARED_SAMPLES:] - squares[:-_COMPARED_SAMPLES]
        self._audible = energy > _SILENT * _COMPARED_SAMPLES
        self._norms = np.sqrt(energy[self._audible])

    def likeness(self, heard: npt.NDArray[np.float32]) -> float:
        """Return the greatest normalised correlation of ``heard`` with a stretch of the sound."""
        energy = float(np.dot(heard, heard))
        if energy < _SILENT * heard.size or not self._norms.size:
            return 0.0
        spectrum = self._spectrum * np.conj(np.fft.rfft(heard, self._size))
        correlation = np.fft.irfft(spectrum, self._size)[: self._offsets][self._audible]
        return float(np.max(np.abs(correlation) / self._norms) / np.sqrt(energy))
