"""Speaks with the second engine when the usual one fails."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import structlog

from core.errors import CircuitOpenError, ModelError, SpeechBusyError, SynthesisError
from engines.worker import EngineReport
from state.breakers import Breakers
from state.ladder import Engine
from voice.tts.synthesizer import AudioChunk, Synthesizer, VoiceStyle

log = structlog.get_logger(__name__)

PAUSE_S = 10.0
"""An engine that hung is not asked again for so long."""

_FAULTS = (SynthesisError, ModelError)


class FallbackSynthesizer(Synthesizer):
    """The usual voice behind its circuit breaker, and a spare one."""

    def __init__(
        self,
        usual: Synthesizer,
        spare: Synthesizer,
        *,
        breakers: Breakers,
        timeout_s: float,
        on_fallback: Callable[[], None] = lambda: None,
        saves_memory: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``timeout_s``: the longest wait for an engine to start.

        One that raises ``TimeoutError`` amid a text is left alone for a while.
        ``on_fallback`` is called each time when the spare engine takes over a text;
        ``saves_memory`` tells that only the spare one may be used now.
        """
        self.name = usual.name
        self.usual = usual
        self.spare = spare
        self._breakers = breakers
        self._timeout_s = timeout_s
        self._on_fallback = on_fallback
        self._saves_memory = saves_memory
        self._clock = clock
        self._not_before = 0.0
        self._serving: Engine = "usual"

    @property
    def serving(self) -> Engine:
        """Which engine spoke last; ``none`` when neither could."""
        return self._serving

    @property
    def sample_rate(self) -> int:
        """Samples a second of the usual voice; each chunk tells its own."""
        return self._known().sample_rate

    @property
    def language(self) -> str:
        """The language of whichever voice is there."""
        return self._known().language

    @property
    def ready(self) -> bool:
        """True once one of the two is loaded."""
        return self.usual.ready or self.spare.ready

    @property
    def waiting(self) -> int:
        """How many texts wait for either engine."""
        return self.usual.waiting + self.spare.waiting

    async def start(self) -> None:
        """Load the usual voice, else the spare one. Raises ``ModelError`` when neither can be."""
        try:
            await self.usual.start()
        except ModelError as exc:
            log.warning("tts.usual_missing", error=str(exc))
            await self.spare.start()
            self._serving = "spare"

    async def stream(
        self, text: str, style: VoiceStyle | None = None
    ) -> AsyncGenerator[AudioChunk, None]:
        """Speak ``text`` with the first engine that can; see ``Synthesizer.stream``.

        A text amid which an engine is lost is spoken from its beginning by the other: it is a
        clause or a sentence, and half of it tells nobody anything.
        """
        if self._saves_memory():
            await self.usual.aclose()
        elif self._clock() >= self._not_before:
            try:
                async with aclosing(self._stream_usual(text, style)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                self._serving = "usual"
                return
            except SpeechBusyError:
                raise
            except (*_FAULTS, CircuitOpenError) as exc:
                log.warning("tts.fallback", engine=self.usual.name, error=str(exc))
        self._on_fallback()
        try:
            async with aclosing(self._timed(self.spare, text, style)) as chunks:
                async for chunk in chunks:
                    self._serving = "spare"
                    yield chunk
        except _FAULTS:
            self._serving = "none"
            raise

    async def try_usual(self) -> None:
        """Let the usual engine say a word that nobody hears, if it failed last."""
        if self._serving == "usual" or self._saves_memory() or self._clock() < self._not_before:
            return
        with contextlib.suppress(*_FAULTS, CircuitOpenError):
            async with aclosing(self._stream_usual("Yes.", None)) as chunks:
                async for _ in chunks:
                    pass
            self._serving = "usual"

    def reports(self) -> tuple[EngineReport, ...]:
        """Return how the processes of both engines are."""
        return (*self.usual.reports(), *self.spare.reports())

    async def aclose(self) -> None:
        """End both engines."""
        await self.usual.aclose()
        await self.spare.aclose()

    async def _stream_usual(
        self, text: str, style: VoiceStyle | None
    ) -> AsyncGenerator[AudioChunk, None]:
        async with (
            self._breakers.guard("tts", transient=_FAULTS) as call,
            aclosing(self._timed(self.usual, text, style)) as chunks,
        ):
            async for chunk in chunks:
                call.waited(chunk.wait_s)  # nor is one because others came first
                call.done()  # a text is not slow because it is long
                yield chunk

    async def _timed(
        self, engine: Synthesizer, text: str, style: VoiceStyle | None
    ) -> AsyncGenerator[AudioChunk, None]:
        """Have ``engine`` speak, and give it up when it hangs."""
        try:
            if not engine.ready:
                async with asyncio.timeout(self._timeout_s):
                    await engine.start()
            async with aclosing(engine.stream(text, style)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except TimeoutError as exc:
            self._not_before = self._clock() + PAUSE_S
            raise SynthesisError("The voice does not respond.") from exc

    def _known(self) -> Synthesizer:
        return self.spare if self.spare.ready and not self.usual.ready else self.usual
