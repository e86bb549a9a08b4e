"""Transcribes with the light engine when the usual one fails."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from voice.stt.transcriber import Transcriber
from voice.stt.transcript import DecodeRequest, Transcript
from xoe.errors import EngineNotReadyError, TranscriptionBusyError, TranscriptionError

log = structlog.get_logger(__name__)


class FallbackTranscriber(Transcriber):
    """The usual engine, and behind it a light one, loaded when it is needed first."""

    def __init__(
        self, usual: Transcriber, light: Transcriber, *, on_fallback: Callable[[], None]
    ) -> None:
        """``on_fallback`` is called each time when the light engine takes over."""
        self.name = usual.name
        self._usual = usual
        self._light = light
        self._on_fallback = on_fallback

    async def start(self) -> None:
        """Load the usual engine; raises ``ModelError``."""
        await self._usual.start()

    async def decode(self, request: DecodeRequest) -> Transcript:
        """Transcribe; raises ``TranscriptionError`` or ``ModelError`` when neither engine can."""
        try:
            return await self._usual.decode(request)
        except TranscriptionBusyError:
            raise
        except (TranscriptionError, EngineNotReadyError) as exc:
            log.warning("stt.fallback", engine=self._usual.name, error=str(exc))
        self._on_fallback()
        await self._light.start()
        return await self._light.decode(request)

    async def aclose(self) -> None:
        """End both engines."""
        await self._usual.aclose()
        await self._light.aclose()
