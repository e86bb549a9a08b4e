"""Speech and silence for the tests' microphones: made by the voice when a test runs."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from core.settings import load_settings
from voice.audio import PAGE_RATE, from_pcm16, to_pcm16
from voice.tts.factory import create_synthesizer
from voice.tts.page_audio import PageAudio

NOISE = 0.0006
"""A faint noise floor: a microphone is never quite silent."""

Sound = npt.NDArray[np.float32]


def spoken(*texts: str) -> list[Sound]:
    """Return each text spoken by the voice: float32, 24 kHz."""
    with ThreadPoolExecutor(1) as thread:  # a browser test has a running loop of its own
        return thread.submit(lambda: asyncio.run(_spoken(texts))).result()


async def _spoken(texts: Sequence[str]) -> list[Sound]:
    voice = create_synthesizer(load_settings())
    await voice.start()
    try:
        sounds = []
        for text in texts:
            page = PageAudio()
            pcm = b"".join([page.feed(chunk) async for chunk in voice.stream(text)])
            sounds.append(from_pcm16(pcm + page.finish()))
        return sounds
    finally:
        await voice.aclose()


def silence(seconds: float) -> Sound:
    """Return a stretch in which nobody speaks."""
    return np.zeros(int(seconds * PAGE_RATE), dtype=np.float32)


def write_wav(path: Path, *sounds: Sound) -> Path:
    """Write the sounds one after the other, over the noise floor, as the page's microphone."""
    whole = np.concatenate(sounds)
    noise = np.random.default_rng(1).normal(0, NOISE, whole.size)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(PAGE_RATE)
        file.writeframes(to_pcm16((whole + noise).astype(np.float32)))
    return path
