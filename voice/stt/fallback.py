"""Transcribes with the light engine when the usual one fails."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import numpy as np
import structlog

from core.errors import (
    CircuitOpenError,
    EngineNotReadyError,
    ModelError,
    TranscriptionBusyError,
    TranscriptionError,
)
from engines.worker import EngineReport
from state.breakers import Breakers
from state.ladder import Engine
from voice.audio import STT_RATE
from voice.stt.transcriber import Transcriber
from voice.stt.transcript import DecodeRequest, Transcript

log = structlog.get_logger(__name__)

PAUSE_S = 10.0
"""An engine that hung is not asked again for so long."""

_FAULTS = (TranscriptionError, EngineNotReadyError, ModelError)


class FallbackTranscriber(Transcriber):
    """The usual engine behind its circuit breaker, and a light one, loaded when it is needed."""

    def __init__(
        self,
        usual: Transcriber,
        light: Transcriber,
        *,
        breakers: Breakers,
        timeout_s: float,
        on_fallback: Callable[[], None],
        saves_memory: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``timeout_s``: the longest wait for an engine to start.

        One that raises ``TimeoutError`` is left alone for a while.
        ``on_fallback`` is called each time when the light engine takes over; ``saves_memory``
        tells that only the light one may be used now.
        """
        self.name = usual.name
        self._usual = usual
        self._light = light
        self._breakers = breakers
        self._timeout_s = timeout_s
        self._on_fallback = on_fallback
        self._saves_memory = saves_memory
        self._clock = clock
        self._not_before = 0.0
        self._serving: Engine = "usual"

    @property
    def serving(self) -> Engine:
        """Which engine understood what was said last; ``none`` when neither did."""
        return self._serving

    @property
    def waiting(self) -> int:
        """How many pieces of speech wait for either engine."""
        return self._usual.waiting + self._light.waiting

    async def start(self) -> None:
        """Load the usual engine, else the light one. Raises ``ModelError`` when neither can be."""
        try:
            await self._usual.start()
        except ModelError as exc:
            log.warning("stt.usual_missing", error=str(exc))
            await self._light.start()
            self._serving = "spare"

    async def decode(self, request: DecodeRequest) -> Transcript:
        """Transcribe; raises ``TranscriptionError`` or ``ModelError`` when neither engine can."""
        if self._saves_memory():
            await self._usual.aclose()
        elif self._clock() >= self._not_before:
            try:
                return await self._decode_usual(request)
            except TranscriptionBusyError:
                raise
            except (*_FAULTS, CircuitOpenError) as exc:
                log.warning("stt.fallback", engine=self._usual.name, error=str(exc))
        self._on_fallback()
        try:
            transcript = await self._decode(self._light, request)
        except TranscriptionBusyError:
            raise
        except _FAULTS:
            self._serving = "none"
            raise
        self._serving = "spare"
        return transcript

    async def try_usual(self) -> None:
        """Let the usual engine listen to a second of silence, if it failed last."""
        if self._serving == "usual" or self._saves_memory() or self._clock() < self._not_before:
            return
        quiet = np.zeros(STT_RATE, np.float32)
        with contextlib.suppress(*_FAULTS, CircuitOpenError):
            await self._decode_usual(DecodeRequest(quiet, language="en"))

    def reports(self) -> tuple[EngineReport, ...]:
        """Return how the processes of both engines are."""
        return (*self._usual.reports(), *self._light.reports())

    async def aclose(self) -> None:
        """End both engines."""
        await self._usual.aclose()
        await self._light.aclose()

    async def _decode_usual(self, request: DecodeRequest) -> Transcript:
        async with self._breakers.guard("stt", transient=_FAULTS) as call:
            try:
                transcript = await self._decode(self._usual, request)
                call.waited(transcript.wait_ms / 1000)  # it is not slow because many speak
            except TimeoutError as exc:
                self._not_before = self._clock() + PAUSE_S
                raise TranscriptionError("Speech recognition does not respond.") from exc
        self._serving = "usual"
        return transcript

    async def _decode(self, engine: Transcriber, request: DecodeRequest) -> Transcript:
        async with asyncio.timeout(self._timeout_s):
            await engine.start()
        return await engine.decode(request)
