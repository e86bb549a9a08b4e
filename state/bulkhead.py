"""Threads of its own for one engine: where it is stuck, it takes its own queue and no other."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class BulkheadFullError(Exception):
    """As much waits as may wait."""


class Bulkhead:
    """Runs blocking work in a few threads, with a bounded queue. Belongs to one event loop."""

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        """Let ``waiting`` pieces of work wait beside what runs."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._limit = threads + waiting
        self._inside = 0

    @property
    def inside(self) -> int:
        """How much runs or waits, what was given up but still runs included."""
        return self._inside

    async def run(self, work: Callable[[], T], *, timeout_s: float) -> T:
        """Return what ``work`` does. Raises ``BulkheadFullError`` at once, or ``TimeoutError``.

        What has timed out leaves the queue. A thread cannot be stopped from outside: work that has
        begun keeps its place until it returns, so it is counted, and others are refused.
        """
        if self._inside >= self._limit:
            raise BulkheadFullError
        context = contextvars.copy_context()
        done = self._pool.submit(context.run, work)
        self._inside += 1
        loop = asyncio.get_running_loop()
        done.add_done_callback(lambda _: _tell(loop, self._left))
        # Cancelling the awaited future takes the work out of the queue if it has not begun.
        async with asyncio.timeout(timeout_s):
            return await asyncio.wrap_future(done)

    def close(self) -> None:
        """Refuse what waits; what runs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _left(self) -> None:
        self._inside -= 1


def _tell(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(act)
