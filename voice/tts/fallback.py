"""Speaks with the second engine when the usual one fails."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from core.errors import CircuitOpenError, ModelError, SpeechBusyError, SynthesisError
from voice.pair import Pair
from voice.tts.synthesizer import AudioChunk, Synthesizer, VoiceStyle

log = structlog.get_logger(__name__)

_FAULTS = (SynthesisError, ModelError)


class FallbackSynthesizer(Pair[Synthesizer], Synthesizer):
    """The usual voice behind its circuit breaker, and a spare one."""

    missing_event = "tts.usual_missing"

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
        if not self._may_try_usual():
            return
        with contextlib.suppress(*_FAULTS, CircuitOpenError):
            async with aclosing(self._stream_usual("Yes.", None)) as chunks:
                async for _ in chunks:
                    pass
            self._serving = "usual"

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
            self._leave_alone()
            raise SynthesisError("The voice does not respond.") from exc

    def _known(self) -> Synthesizer:
        return self.spare if self.spare.ready and not self.usual.ready else self.usual
