"""Speaks with the first engine that can."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import structlog

from voice.tts.synthesizer import AudioChunk, Synthesizer
from xoe.errors import SpeechBusyError, XoeError

log = structlog.get_logger(__name__)


class Speaker:
    """The voice of one call: the engine of choice, and behind it the spare one."""

    def __init__(
        self, engine: Synthesizer, spare: Synthesizer, *, on_fallback: Callable[[], None]
    ) -> None:
        """``on_fallback`` is called each time when the spare engine takes over a clause."""
        self._engine = engine
        self._spare = spare
        self._on_fallback = on_fallback

    async def stream(self, text: str) -> AsyncGenerator[AudioChunk, None]:
        """Yield the sound of ``text``. Raises ``XoeError`` when neither engine can speak.

        A clause that has begun to sound is not begun again by the other engine.
        """
        begun = False
        try:
            async with aclosing(self._engine.stream(text)) as chunks:
                async for chunk in chunks:
                    begun = True
                    yield chunk
            return
        except SpeechBusyError:
            raise
        except XoeError as exc:
            if begun:
                raise
            log.warning("tts.fallback", engine=self._engine.name, error=str(exc))
        self._on_fallback()
        async with aclosing(self._spare.stream(text)) as chunks:
            async for chunk in chunks:
                yield chunk
