"""A voice's sound as the page plays it: 24 kHz, 16 bit, mono, in whole blocks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

from voice.tts.synthesizer import AudioChunk

PAGE_RATE = 24_000
"""Samples a second; Chainlit's page plays nothing else, whatever its configuration says."""

BLOCK_SAMPLES = 128
"""The page plays whole blocks of an AudioWorklet: what is left over would wait for ever."""

BYTES_PER_SAMPLE = 2


class PageAudio:
    """Resamples the chunks of one reply, with state kept from one to the next."""

    def __init__(self, rate: int = PAGE_RATE) -> None:
        """``rate``: samples a second of what comes out."""
        self._rate = rate
        self._from = 0
        self._stream: soxr.ResampleStream | None = None
        self._samples = 0

    @property
    def samples(self) -> int:
        """Samples given out so far."""
        return self._samples

    def feed(self, chunk: AudioChunk) -> bytes:
        """Return the next bytes (s16le); a little of the chunk may stay for the next call."""
        before = b""
        if chunk.sample_rate != self._from:  # another voice has taken over
            before = self._rest()
            self._from = chunk.sample_rate
            if chunk.sample_rate != self._rate:
                self._stream = soxr.ResampleStream(
                    chunk.sample_rate, self._rate, 1, dtype="float32"
                )
        if self._stream is None:
            return before + self._out(chunk.samples)
        return before + self._out(self._stream.resample_chunk(chunk.samples))

    def finish(self) -> bytes:
        """Return what is left, filled up with silence to a whole block; begins anew."""
        rest = self._rest()
        missing = -self._samples % BLOCK_SAMPLES
        self._samples, self._from = 0, 0
        return rest + bytes(missing * BYTES_PER_SAMPLE)

    def _rest(self) -> bytes:
        if self._stream is None:
            return b""
        rest = self._stream.resample_chunk(np.empty(0, np.float32), last=True)
        self._stream = None
        return self._out(rest)

    def _out(self, samples: npt.NDArray[np.float32]) -> bytes:
        self._samples += len(samples)
        return to_pcm(samples)


def to_pcm(samples: npt.NDArray[np.float32]) -> bytes:
    """Return float samples in -1 … 1 as 16-bit little-endian ones; what is louder is clipped."""
    scaled = np.rint(np.clip(samples, -1.0, 1.0) * 32767.0)
    pcm: bytes = scaled.astype("<i2").tobytes()
    return pcm
