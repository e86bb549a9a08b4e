"""Which engine speaks."""

from __future__ import annotations

from typing import Literal

from core.settings import Settings
from voice.tts.engines import EspeakSynthesizer, PiperSynthesizer
from voice.tts.synthesizer import Synthesizer, VoiceStyle

TtsEngine = Literal["piper", "espeak"]


def create_synthesizer(settings: Settings, engine: TtsEngine | None = None) -> Synthesizer:
    """Return the engine that the settings name, or the one asked for; nothing is loaded yet."""
    style = VoiceStyle(settings.tts_speed, settings.tts_speaker)
    if (engine or settings.tts_engine) == "espeak":
        return EspeakSynthesizer(
            voice=settings.tts_espeak_voice, style=style, timeout_s=settings.tts_timeout_s
        )
    return PiperSynthesizer(
        settings.tts_voice,
        settings.models_dir,
        style=style,
        threads=settings.tts_threads,
        timeout_s=settings.tts_timeout_s,
    )
