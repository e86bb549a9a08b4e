"""Transcribes with the light engine when the usual one fails."""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import structlog

from core.errors import (
    CircuitOpenError,
    EngineNotReadyError,
    ModelError,
    TranscriptionBusyError,
    TranscriptionError,
)
from voice.audio import STT_RATE
from voice.pair import Pair
from voice.stt.transcriber import Transcriber
from voice.stt.transcript import DecodeRequest, Transcript

log = structlog.get_logger(__name__)

_FAULTS = (TranscriptionError, EngineNotReadyError, ModelError)


class FallbackTranscriber(Pair[Transcriber], Transcriber):
    """The usual engine behind its circuit breaker, and a light one."""

    missing_event = "stt.usual_missing"

    async def decode(self, request: DecodeRequest) -> Transcript:
        """Transcribe; raises ``TranscriptionError`` or ``ModelError`` when neither engine can."""
        if self._saves_memory():
            await self.usual.aclose()
        elif self._clock() >= self._not_before:
            try:
                return await self._decode_usual(request)
            except TranscriptionBusyError:
                raise
            except (*_FAULTS, CircuitOpenError) as exc:
                log.warning("stt.fallback", engine=self.usual.name, error=str(exc))
        self._on_fallback()
        try:
            transcript = await self._decode(self.spare, request)
        except TranscriptionBusyError:
            raise
        except _FAULTS:
            self._serving = "none"
            raise
        self._serving = "spare"
        return transcript

    async def try_usual(self) -> None:
        """Let the usual engine listen to a second of silence, if it failed last."""
        if not self._may_try_usual():
            return
        quiet = np.zeros(STT_RATE, np.float32)
        with contextlib.suppress(*_FAULTS, CircuitOpenError):
            await self._decode_usual(DecodeRequest(quiet, language="en"))

    async def _decode_usual(self, request: DecodeRequest) -> Transcript:
        async with self._breakers.guard("stt", transient=_FAULTS) as call:
            try:
                transcript = await self._decode(self.usual, request)
                call.waited(transcript.wait_ms / 1000)  # it is not slow because many speak
            except TimeoutError as exc:
                self._leave_alone()
                raise TranscriptionError("Speech recognition does not respond.") from exc
        self._serving = "usual"
        return transcript

    async def _decode(self, engine: Transcriber, request: DecodeRequest) -> Transcript:
        async with asyncio.timeout(self._timeout_s):
            await engine.start()
        return await engine.decode(request)
