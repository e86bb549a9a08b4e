"""What all calls share: the speech detector, the transcribers and the voices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from core.settings import Settings
from engines.worker import EngineReport
from state.breakers import Breakers
from telemetry.metrics import VoiceMetrics
from voice.stt.fallback import FallbackTranscriber
from voice.stt.transcriber import Transcriber
from voice.stt.whisper import WhisperTranscriber
from voice.tts.factory import create_synthesizer
from voice.tts.fallback import FallbackSynthesizer
from voice.tts.synthesizer import Synthesizer
from voice.vad import SileroVad


@dataclass(frozen=True)
class VoiceEngines:
    """The loaded engines; each serves any number of calls."""

    vad: SileroVad
    transcriber: Transcriber
    voice: Synthesizer
    metrics: VoiceMetrics

    @classmethod
    async def create(
        cls,
        settings: Settings,
        metrics: VoiceMetrics,
        breakers: Breakers,
        *,
        saves_memory: Callable[[], bool] = lambda: False,
    ) -> VoiceEngines:
        """Load the detector, a transcriber and a voice; spare ones where the usual ones are not.

        ``saves_memory`` tells that only the spare engines may be used. Raises
        ``ModelMissingError``, ``ModelDamagedError`` or ``ModelLoadError``.
        """
        engines = cls(
            vad=SileroVad(),
            transcriber=FallbackTranscriber(
                WhisperTranscriber.from_settings(settings),
                WhisperTranscriber.from_settings(settings, model="stt-light"),
                breakers=breakers,
                timeout_s=settings.stt_timeout_s,
                on_fallback=lambda: metrics.fallback("stt"),
                saves_memory=saves_memory,
            ),
            voice=_voice(settings, metrics, breakers, saves_memory),
            metrics=metrics,
        )
        try:
            await asyncio.gather(
                engines.vad.start(), engines.transcriber.start(), engines.voice.start()
            )
        except BaseException:
            await engines.aclose()
            raise
        return engines

    async def try_usual(self) -> None:
        """Where spare engines serve, see whether the usual ones work again."""
        await self.transcriber.try_usual()
        await self.voice.try_usual()

    def reports(self) -> tuple[EngineReport, ...]:
        """Return how the engines' processes are."""
        return (self.vad.report(), *self.transcriber.reports(), *self.voice.reports())

    async def aclose(self) -> None:
        """End all engines."""
        await self.transcriber.aclose()
        await self.voice.aclose()
        await self.vad.aclose()


def _voice(
    settings: Settings,
    metrics: VoiceMetrics,
    breakers: Breakers,
    saves_memory: Callable[[], bool],
) -> Synthesizer:
    usual = create_synthesizer(settings)
    if settings.tts_engine == "espeak":  # which is the spare one itself
        return usual
    return FallbackSynthesizer(
        usual,
        create_synthesizer(settings, "espeak"),
        breakers=breakers,
        timeout_s=settings.tts_timeout_s,
        on_fallback=lambda: metrics.fallback("tts"),
        saves_memory=saves_memory,
    )
