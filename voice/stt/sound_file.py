"""A sound file, read in pieces: any container and codec that FFmpeg's libraries know.

PyAV carries those libraries, so nothing else has to be installed. What a header claims is not
believed: lengths are counted, not read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import DocumentEmptyError, DocumentError, DocumentTypeError
from voice.audio import STT_RATE, Samples

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

LOWEST_RATE = 4_000
HIGHEST_RATE = 768_000
"""Rates outside of these are no recording's, and resampling them could fill the memory."""
MOST_CHANNELS = 64
MAX_BROKEN = 0.1
"""Share of samples that may be no numbers; they are taken for silence."""


class SoundFile:
    """One file with sound in it. Reading blocks: use it in a thread or a process of its own."""

    def __init__(self, path: Path, *, name: str = "") -> None:
        """Take the path, and the name that its user knows; nothing is opened before ``blocks``."""
        self.path = path
        self.name = name or path.name
        self.claimed_s: float | None = None
        """What the header says about the length; for a progress bar and nothing else."""

    def blocks(self, seconds: float) -> Iterator[Samples]:
        """Yield the sound, mono at 16 kHz, in blocks of ``seconds``; the last one is shorter.

        Raises ``DocumentTypeError`` when it is no sound, ``DocumentEmptyError`` when there is none
        in it, ``DocumentError`` when it cannot be read.
        """
        wanted = round(seconds * STT_RATE)
        kept: list[Samples] = []
        length = total = 0
        for piece in self._pieces():
            total += len(piece)
            while len(piece):
                part, piece = piece[: wanted - length], piece[wanted - length :]
                kept.append(part)
                length += len(part)
                if length == wanted:
                    yield self._checked(np.concatenate(kept))
                    kept, length = [], 0
        if kept:
            yield self._checked(np.concatenate(kept))
        if not total:
            raise DocumentEmptyError(f"{self.name} holds no sound.")

    def _checked(self, block: Samples) -> Samples:
        broken = ~np.isfinite(block)
        if broken.mean() > MAX_BROKEN:
            raise DocumentTypeError(f"{self.name} is damaged: many of its samples are no numbers.")
        checked: Samples = np.clip(np.where(broken, np.float32(0), block), -1, 1)
        return checked

    def _pieces(self) -> Iterator[Samples]:
        import av

        if not self.path.exists():
            raise DocumentError(f"There is no file {self.path}.")
        if not self.path.is_file():
            raise DocumentTypeError(f"{self.path} is no file.")
        if not self.path.stat().st_size:
            raise DocumentEmptyError(f"{self.name} is empty.")
        # FFmpeg stops where the header says; when that is not where the sound ends, read on.
        options = {} if _wav_is_consistent(self.path) else {"ignore_length": "1"}
        with (
            self._reported(),
            av.open(str(self.path), metadata_errors="ignore", options=options) as container,
        ):
            stream = self._stream(container)
            resampler = av.AudioResampler(format="flt", layout="mono", rate=STT_RATE)
            for packet in container.demux(stream):
                try:
                    frames = packet.decode()
                except av.InvalidDataError:
                    continue  # a damaged piece is left out; what follows can still be read
                for frame in frames:
                    frame.pts = None  # gaps in the clock are none in the sound
                    for resampled in resampler.resample(frame):
                        yield resampled.to_ndarray().reshape(-1).astype(np.float32, copy=False)
            for resampled in resampler.resample(None):
                yield resampled.to_ndarray().reshape(-1).astype(np.float32, copy=False)

    def _stream(self, container: InputContainer) -> AudioStream:
        import av

        if not container.streams.audio:
            raise DocumentTypeError(f"{self.name} holds no sound.")
        stream = container.streams.audio[0]
        codec = stream.codec_context
        if codec is None:  # the stubs do not say that this is so for an unknown codec
            raise DocumentTypeError(f"{self.name} holds sound of a kind that cannot be read.")
        rate, channels = codec.sample_rate, codec.channels
        if not rate or not channels:
            raise DocumentTypeError(f"{self.name} is no sound file that can be read.")
        if not LOWEST_RATE <= rate <= HIGHEST_RATE or channels > MOST_CHANNELS:
            raise DocumentTypeError(
                f"{self.name} is no recording: its header claims {rate} samples a second "
                f"in {channels} channels."
            )
        if container.duration is not None and container.duration > 0:
            self.claimed_s = container.duration / av.time_base
        return stream

    @contextmanager
    def _reported(self) -> Iterator[None]:
        import av

        try:
            yield
        except PermissionError as exc:
            raise DocumentError(f"{self.name} may not be read.") from exc
        except (av.FFmpegError, ValueError, ArithmeticError) as exc:
            raise DocumentTypeError(
                f"{self.name} is no sound file that can be read, or it is damaged."
            ) from exc


def _wav_is_consistent(path: Path) -> bool:
    """Return False for a WAV file in which something else than a chunk follows a chunk."""
    try:
        with path.open("rb") as file:
            riff = file.read(12)
            if riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
                return True
            while len(head := file.read(8)) == 8:
                if not all(0x20 <= byte < 0x7F for byte in head[:4]):
                    return False
                size = int.from_bytes(head[4:], "little")
                file.seek(size + size % 2, os.SEEK_CUR)
    except OSError:
        return True  # opening it again tells what is wrong
    return True
