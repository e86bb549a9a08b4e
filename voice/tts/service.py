"""What a voice's process offers, whichever engine speaks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from engines.service import Call, Service
from engines.wire import Head
from voice.tts.synthesizer import Samples, VoiceStyle


class SpeechService(Service):
    """A voice. ``load`` comes first; both methods run in one thread."""

    LANES: ClassVar = {"load": "voice", "speak": "voice"}

    @abstractmethod
    def load(self, call: Call) -> Head:
        """Load and warm; return ``sample_rate`` and ``language``. Raises ``ModelError``."""

    @abstractmethod
    def speech(self, call: Call, text: str, style: VoiceStyle) -> Iterator[Samples]:
        """Yield the sound of ``text`` as soon as each piece is there.

        Raises ``Cancelled`` soon after the call was cancelled, or ``SynthesisError``.
        """

    def speak(self, call: Call) -> None:
        """Speak ``text`` with ``speed`` by ``speaker``; events carry float32 samples."""
        asked = call.arguments
        style = VoiceStyle(asked["speed"], asked["speaker"])
        for samples in self.speech(call, asked["text"], style):
            send_sound(call, samples)


def send_sound(call: Call, samples: Samples) -> None:
    """Send a piece of sound; raises ``Cancelled`` when nobody listens any more."""
    call.emit({"samples": len(samples)}, np.ascontiguousarray(samples, np.float32).tobytes())
