"""What a speech engine is to the rest of the system."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voice.pair import VoiceEngine

Samples = npt.NDArray[np.float32]
"""Mono sound, shape ``(n,)``, in -1 … 1."""


@dataclass(frozen=True)
class AudioChunk:
    """A piece of sound; pieces follow each other without a gap."""

    samples: Samples
    sample_rate: int
    wait_s: float = 0.0
    """How long its text has waited for its turn."""

    @property
    def seconds(self) -> float:
        """How long it sounds."""
        return len(self.samples) / self.sample_rate


@dataclass(frozen=True)
class VoiceStyle:
    """How a text is to be spoken."""

    speed: float = 1.0
    """1: as the voice was recorded; 2: twice as fast."""
    speaker: str | None = None
    """A name or a number of a voice with several speakers; ``None``: its default one."""


class Synthesizer(VoiceEngine):
    """Turns text that is fit to be read out into sound.

    One engine serves many callers: each ``stream`` waits for its turn. Engines run in processes
    of their own, so the event loop is never held up, and a crash costs only what was spoken.
    """

    @property
    @abstractmethod
    def sample_rate(self) -> int:
        """Samples a second of what it speaks; known once it has started."""

    @property
    @abstractmethod
    def language(self) -> str:
        """What it speaks, as espeak-ng names it, e.g. ``en-us``; known once it has started."""

    @property
    @abstractmethod
    def ready(self) -> bool:
        """True once it is loaded and warm."""

    @abstractmethod
    def stream(
        self, text: str, style: VoiceStyle | None = None
    ) -> AsyncGenerator[AudioChunk, None]:
        """Speak ``text``: chunks of sound as soon as each is there.

        Closing the generator, or cancelling its task, stops the engine within 50 ms. Starts the
        engine if need be. Raises ``SpeechBusyError`` when too many wait, ``SynthesisError`` when
        the engine fails, ``ModelError`` when it cannot be loaded.
        """
