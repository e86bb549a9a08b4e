"""A recorded apology, for a spoken turn when no voice works.

``apology.wav`` was made with ``xoe say`` and the voice en_US-joe-medium; its text is ``TEXT``.
"""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np

from voice.speakable.clauses import SpokenClause
from voice.tts.synthesizer import AudioChunk

TEXT = "I am sorry, I have no voice just now. The answer is written on the page."

_FILE = Path(__file__).with_name("apology.wav")
_FULL_SCALE = 32768


async def clauses() -> AsyncGenerator[SpokenClause, None]:
    """Yield the apology's text as one clause."""
    yield SpokenClause(TEXT, TEXT, 0, len(TEXT))


async def stream(_text: str) -> AsyncGenerator[AudioChunk, None]:
    """Yield the apology, whatever was to be said; has the shape of ``Synthesizer.stream``."""
    yield await asyncio.to_thread(_read)


def _read() -> AudioChunk:
    with wave.open(str(_FILE), "rb") as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        samples = (pcm / _FULL_SCALE).astype(np.float32)
        return AudioChunk(samples, file.getframerate())
