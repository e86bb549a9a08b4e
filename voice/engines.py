"""What all calls share: the speech detector, the two transcribers and the two voices."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from telemetry.metrics import VoiceMetrics
from voice.stt.fallback import FallbackTranscriber
from voice.stt.transcriber import Transcriber
from voice.stt.whisper import WhisperTranscriber
from voice.tts.factory import create_synthesizer
from voice.tts.synthesizer import Synthesizer
from voice.vad import SileroVad
from xoe.settings import Settings


@dataclass(frozen=True)
class VoiceEngines:
    """The loaded engines; each serves any number of calls."""

    vad: SileroVad
    transcriber: Transcriber
    voice: Synthesizer
    spare_voice: Synthesizer
    metrics: VoiceMetrics

    @classmethod
    async def create(cls, settings: Settings, metrics: VoiceMetrics) -> VoiceEngines:
        """Load the detector, the transcriber and the voice.

        Raises ``ModelMissingError``, ``ModelDamagedError`` or ``ModelLoadError``.
        """
        vad = await asyncio.to_thread(SileroVad.load)
        usual = WhisperTranscriber.from_settings(settings)
        light = WhisperTranscriber.from_settings(settings, model="stt-light")
        engines = cls(
            vad=vad,
            transcriber=FallbackTranscriber(
                usual, light, on_fallback=lambda: metrics.fallback("stt")
            ),
            voice=create_synthesizer(settings),
            spare_voice=create_synthesizer(settings, "espeak"),
            metrics=metrics,
        )
        try:
            await engines.transcriber.start()
            await engines.voice.start()
        except BaseException:
            await engines.aclose()
            raise
        return engines

    async def aclose(self) -> None:
        """End all engines."""
        await self.transcriber.aclose()
        await self.voice.aclose()
        await self.spare_voice.aclose()
