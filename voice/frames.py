"""From the page's bytes to the frames of the speech detector."""

from __future__ import annotations

import numpy as np
import soxr

from voice.audio import BYTES_A_SAMPLE, FRAME_SAMPLES, PAGE_RATE, STT_RATE, Samples, from_pcm16

_LARGEST_PIECE = 1 << 16
"""Bytes converted at once, so that one huge chunk does not need many times its size."""


class Framer:
    """Turns a stream of PCM bytes into frames of 512 samples at 16 kHz.

    However the same bytes are cut into chunks, the same frames come out: half a sample, the
    resampler's state and the samples short of a frame are all kept for the next chunk. One
    framer serves one stream; it is not thread-safe.
    """

    def __init__(self, rate: int = PAGE_RATE) -> None:
        """``rate``: samples a second of what is fed."""
        self._rate = rate
        self._start()

    def feed(self, data: bytes) -> list[Samples]:
        """Return the frames that ``data`` completes, each an array of 512 float32 samples."""
        frames: list[Samples] = []
        for start in range(0, len(data), _LARGEST_PIECE):
            frames += self._feed(data[start : start + _LARGEST_PIECE])
        return frames

    def flush(self) -> list[Samples]:
        """Return what is left at the end of the stream, the last frame filled up with silence.

        The framer is as new afterwards. Half a sample at the end is dropped.
        """
        rest = self._resample(np.zeros(0, dtype=np.float32), last=True)
        samples = np.concatenate([self._samples, rest])
        short = -len(samples) % FRAME_SAMPLES
        self._start()
        return self._cut(np.pad(samples, (0, short)))

    def _start(self) -> None:
        self._half = b""
        self._samples: Samples = np.zeros(0, dtype=np.float32)
        self._resampler = (
            None if self._rate == STT_RATE else soxr.ResampleStream(self._rate, STT_RATE, 1)
        )

    def _feed(self, data: bytes) -> list[Samples]:
        data = self._half + data
        whole = len(data) - len(data) % BYTES_A_SAMPLE
        self._half = data[whole:]
        fresh = self._resample(from_pcm16(data[:whole]), last=False)
        return self._cut(np.concatenate([self._samples, fresh]))

    def _resample(self, samples: Samples, *, last: bool) -> Samples:
        if self._resampler is None:
            return samples
        resampled: Samples = self._resampler.resample_chunk(samples, last=last)
        return resampled

    def _cut(self, samples: Samples) -> list[Samples]:
        whole = len(samples) - len(samples) % FRAME_SAMPLES
        self._samples = samples[whole:]
        return [samples[i : i + FRAME_SAMPLES] for i in range(0, whole, FRAME_SAMPLES)]
