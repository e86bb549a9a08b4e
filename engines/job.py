"""A request on its way to an engine's process, and its events on the way back."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Generic, TypeVar

from engines.wire import Head

E = TypeVar("E")


class Job(Generic[E]):
    """Events go in from any thread and come out in the loop that made the job.

    What waits for the reader is bounded by what the engine gives for one request; a subclass may
    join events where that is much.
    """

    def __init__(self, method: str, arguments: Head, payload: bytes = b"") -> None:
        """Must be called in the event loop that reads the events."""
        self.method = method
        self.arguments = arguments
        self.payload = payload
        self.submitted = time.perf_counter()
        self.begun = 0.0
        """When the engine took it up, by ``time.perf_counter``."""
        self.cancelled = False
        """Nobody reads the events any more."""
        self.loop = asyncio.get_running_loop()
        self._events: deque[E] = deque()
        self._ended = False
        self._failure: Exception | None = None
        self._changed = asyncio.Event()

    @abstractmethod
    def receive(self, head: Head, payload: bytes) -> None:
        """Take an event of the engine; in the worker's thread."""

    @abstractmethod
    def finish(self, head: Head, payload: bytes) -> None:
        """Take the result, and ``end``; in the worker's thread."""

    def send(self, event: E) -> None:
        """Hand on an event; any thread may."""
        self._post(lambda: self.put(event))

    def hand_on(self, event: E) -> None:
        """Hand on an event, in the job's own loop."""
        self.put(event)
        self._changed.set()

    def end(self, failure: Exception | None = None) -> None:
        """End the stream, after what was sent before; any thread may."""

        def act() -> None:
            self._ended, self._failure = True, failure

        self._post(act)

    def put(self, event: E) -> None:
        """Let an event wait for the reader."""
        self._events.append(event)

    def begin(self) -> None:
        """Note that the engine has taken it up; in the worker's thread."""
        self.begun = time.perf_counter()
        self._post(lambda: None)  # from now on its time counts

    async def events(self, timeout_s: float | None = None) -> AsyncGenerator[E, None]:
        """Yield the events; raise what the request failed with.

        ``TimeoutError``: for ``timeout_s`` there was none. The time in which it waits for its turn
        does not count.
        """
        while True:
            while self._events:
                yield self._events.popleft()
            if self._ended:
                if self._failure is not None:
                    raise self._failure
                return
            self._changed.clear()
            async with asyncio.timeout(timeout_s if self.begun else None):
                await self._changed.wait()

    def _post(self, action: Callable[[], None]) -> None:
        def act() -> None:
            action()
            self._changed.set()

        try:
            self.loop.call_soon_threadsafe(act)
        except RuntimeError:  # the loop was closed with the request under way
            self.cancelled = True
