"""One request on its way between an event loop and the worker thread."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

from chains.llm.request import Finished, GenerationRequest, Queued, StreamEvent, TextPiece

_PIECES_APART = 64
"""Pieces that wait for a slow reader one by one; later ones are joined."""


class Job:
    """Events go in from any thread and come out in the loop that made the job.

    What waits for the reader is bounded by the length of the answer: a new place replaces an
    unread one, and pieces of text are joined when the reader falls behind.
    """

    def __init__(self, request: GenerationRequest, *, max_tokens: int, profile: str) -> None:
        """Must be called in the event loop that reads the events."""
        self.request = request
        self.max_tokens = max_tokens
        self.profile = profile
        self.submitted = time.perf_counter()
        self.place: int | None = None
        """The last place told; the worker's, under its lock."""
        self.cancelled = False
        """Nobody reads the events any more."""
        self.loop = asyncio.get_running_loop()
        self._events: deque[StreamEvent] = deque()
        self._failure: Exception | None = None
        self._changed = asyncio.Event()

    def send(self, event: StreamEvent) -> None:
        """Hand on an event; any thread may."""
        self._post(lambda: self.put(event))

    def fail(self, error: Exception) -> None:
        """End the stream with ``error``, after what was sent before; any thread may."""
        self._post(lambda: self._fail(error))

    def put(self, event: StreamEvent) -> None:
        """Hand on an event, in the job's own loop."""
        last = self._events[-1] if self._events else None
        if isinstance(event, Queued) and isinstance(last, Queued):
            self._events[-1] = event
        elif (
            isinstance(event, TextPiece)
            and isinstance(last, TextPiece)
            and len(self._events) >= _PIECES_APART
        ):
            self._events[-1] = TextPiece(last.text + event.text)
        else:
            self._events.append(event)
        self._changed.set()

    async def events(self) -> AsyncIterator[StreamEvent]:
        """Yield the events up to ``Finished``; raise what the request failed with."""
        while True:
            while self._events:
                event = self._events.popleft()
                yield event
                if isinstance(event, Finished):
                    return
            if self._failure is not None:
                raise self._failure
            self._changed.clear()
            await self._changed.wait()

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._changed.set()

    def _post(self, action: Callable[[], None]) -> None:
        try:
            self.loop.call_soon_threadsafe(action)
        except RuntimeError:  # the loop was closed with the request under way
            self.cancelled = True


def send_places(jobs: list[tuple[Job, int]]) -> None:
    """Tell waiting jobs their places, with one call into each loop."""
    loops: dict[asyncio.AbstractEventLoop, list[tuple[Job, int]]] = {}
    for job, place in jobs:
        loops.setdefault(job.loop, []).append((job, place))
    for loop, told in loops.items():
        with contextlib.suppress(RuntimeError):  # the loop was closed
            loop.call_soon_threadsafe(_put_places, told)


def _put_places(told: list[tuple[Job, int]]) -> None:
    for job, place in told:
        job.put(Queued(place))
