"""What the microphone hears: frames of sound, and how likely each is speech of a person."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable
from typing import Final

import numpy as np

from voice.audio import Samples
from voice.echo import EchoGuard
from voice.frames import Framer
from voice.playback import Clock
from voice.vad import VadSession

ECHO_TAIL_S: Final = 1.0
"""The loudspeaker and the network may be this much behind what was sent."""
QUIET_DB: Final = -60.0


class Hearing:
    """The ear of one call. Belongs to its event loop."""

    def __init__(
        self,
        vad: VadSession,
        *,
        voice_threshold: float,
        is_playing: Callable[[], bool],
        on_echo: Callable[[], object],
        clock: Clock,
    ) -> None:
        """``voice_threshold``: from which probability on it may be a voice.

        ``is_playing``: the page plays a reply; ``on_echo``: it is being heard.
        """
        self._vad = vad
        self._voice_threshold = voice_threshold
        self._is_playing = is_playing
        self._on_echo = on_echo
        self._clock = clock
        self._framer = Framer()
        self._echo = EchoGuard()
        self._played_at = -math.inf
        self._was_echo = False
        self.level = 0.0
        """Of what was heard last: 0 (-60 dB or less) … 1 (full scale)."""

    def sent(self, pcm: bytes) -> None:
        """Remember sound (s16le, 24 kHz) that was handed to the page."""
        self._echo.sent(pcm, self._clock())

    def silenced(self) -> None:
        """Take into account that the page plays no more of it."""
        self._echo.silenced(self._clock())

    async def hear(
        self, data: bytes, *, is_last: bool = False
    ) -> AsyncGenerator[tuple[Samples, float], None]:
        """Yield the frames that are complete, each with its probability; an echo has 0.

        ``is_last``: what is left of a frame is one, too.
        """
        frames = self._framer.feed(data) + (self._framer.flush() if is_last else [])
        self.level = 0.0
        for frame, probability in zip(frames, await self._vad.probabilities(frames), strict=True):
            self.level = max(self.level, _level(frame))
            self._echo.hear(frame)
            yield frame, 0.0 if self._is_echo(probability) else probability
            await asyncio.sleep(0)  # a comparison with the echo takes some milliseconds

    def _is_echo(self, probability: float) -> bool:
        """Tell whether what sounds like speech is the reply, coming back from the loudspeaker."""
        now = self._clock()
        if self._is_playing():
            self._played_at = now
        is_near = now - self._played_at < ECHO_TAIL_S
        is_voice = probability >= self._voice_threshold
        is_echo = is_near and is_voice and self._echo.is_echo()
        if is_echo and not self._was_echo:
            self._on_echo()
        self._was_echo = is_echo
        return is_echo


def _level(frame: Samples) -> float:
    rms = float(np.sqrt(np.mean(frame**2)))
    decibels = 20 * math.log10(max(rms, 1e-9))
    return min(1.0, max(0.0, 1 - decibels / QUIET_DB))
