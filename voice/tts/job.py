"""One text on its way to the speech engine's thread, and its sound on the way back."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable

from voice.tts.synthesizer import AudioChunk, VoiceStyle
from xoe.errors import XoeError


class Cancelled(Exception):  # noqa: N818 - it is no error
    """Nobody listens any more; ends the work in the engine's thread."""


class SpeechJob:
    """A text to speak. Chunks go in from the engine's thread and come out in the maker's loop.

    What waits for the reader is bounded by the length of the text, which the engine bounds.
    """

    def __init__(self, text: str, style: VoiceStyle) -> None:
        """Must be called in the event loop that reads the chunks."""
        self.text = text
        self.style = style
        self._loop = asyncio.get_running_loop()
        self._chunks: deque[AudioChunk] = deque()
        self._changed = asyncio.Event()
        self._ended = False
        self._failure: XoeError | None = None
        self._lock = threading.Lock()
        self._cancelled = False
        self._interrupt: Callable[[], None] | None = None

    @property
    def cancelled(self) -> bool:
        """Whether nobody listens any more."""
        return self._cancelled

    def cancel(self) -> None:
        """Stop the work; any thread may, at any time."""
        with self._lock:
            self._cancelled = True
            interrupt = self._interrupt
        if interrupt is not None:
            interrupt()

    def on_cancel(self, interrupt: Callable[[], None]) -> None:
        """Let ``cancel`` call ``interrupt``; raises ``Cancelled`` when it is too late."""
        with self._lock:
            if self._cancelled:
                raise Cancelled
            self._interrupt = interrupt

    def check(self) -> None:
        """Raise ``Cancelled`` once the job is."""
        if self._cancelled:
            raise Cancelled

    def send(self, chunk: AudioChunk) -> None:
        """Hand on a chunk; any thread may."""
        self._post(lambda: self._chunks.append(chunk))

    def end(self, failure: XoeError | None = None) -> None:
        """End the stream, after what was sent before; any thread may."""

        def act() -> None:
            self._ended, self._failure = True, failure

        self._post(act)

    async def chunks(self) -> AsyncIterator[AudioChunk]:
        """Yield the chunks; raise what the job failed with."""
        while True:
            while self._chunks:
                yield self._chunks.popleft()
            if self._ended:
                if self._failure is not None:
                    raise self._failure
                return
            self._changed.clear()
            await self._changed.wait()

    def _post(self, action: Callable[[], None]) -> None:
        def act() -> None:
            action()
            self._changed.set()

        try:
            self._loop.call_soon_threadsafe(act)
        except RuntimeError:  # the loop was closed with the job under way
            self._cancelled = True
