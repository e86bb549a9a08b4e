"""What is understood of a turn while it is being spoken."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from core.errors import XoeError
from voice.endpoint import Endpointer
from voice.ports import Conversation
from voice.stt import Transcript
from voice.stt.session import TranscriptionSession

log = structlog.get_logger(__name__)

PARTIAL_EVERY_S: Final = 0.6


class Understanding:
    """Shows what has been said so far; at a pause it has the answer prepared.

    One for a call; belongs to its event loop.
    """

    def __init__(
        self,
        speech: TranscriptionSession,
        endpointer: Endpointer,
        conversation: Conversation,
        *,
        show: Callable[[str], Awaitable[None]],
        may_prepare: Callable[[], bool],
    ) -> None:
        """``show`` puts a partial transcript on the page."""
        self._speech = speech
        self._endpointer = endpointer
        self._conversation = conversation
        self._show = show
        self._may_prepare = may_prepare
        self._paused = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Follow a turn from its beginning."""
        self.stop()
        self._task = asyncio.create_task(self._understand())

    def stop(self) -> None:
        """Follow it no longer."""
        self._paused.clear()
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def pause(self) -> None:
        """Look at what has been said: the turn may be over."""
        self._paused.set()

    def resume(self) -> None:
        """Go on: it was not over."""
        self._paused.clear()

    async def _understand(self) -> None:
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PARTIAL_EVERY_S):
                        await self._paused.wait()
                is_pause = self._paused.is_set()
                self._paused.clear()
                if is_pause and self._speech.over_soft:
                    await self._speech.commit()
                partial = await self._partial()
                if partial is None or not partial.text:
                    continue
                await self._show(partial.text)
                if is_pause and self._endpointer.paused:  # and nobody has gone on meanwhile
                    self._endpointer.hear(partial.text)
                    if self._may_prepare():
                        self._conversation.prepare(partial.text)
        except XoeError as exc:  # the turn's final transcript tells the speaker
            log.info("call.partial_failed", error=str(exc))

    async def _partial(self) -> Transcript | None:
        """Return what has been said so far; ``None`` as soon as there is a pause to look at.

        The decode goes on then: the next one takes its result or its place.
        """
        decode = asyncio.create_task(self._speech.partial())
        decode.add_done_callback(lambda done: done.cancelled() or done.exception())
        pause = asyncio.create_task(self._paused.wait())
        try:
            await asyncio.wait({decode, pause}, return_when=asyncio.FIRST_COMPLETED)
            return decode.result() if decode.done() else None
        finally:
            pause.cancel()
