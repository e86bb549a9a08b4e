"""Threads of its own for one engine: where it is stuck, it takes its own queue and no other."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from core.fairness import FairSlots

T = TypeVar("T")


class Bulkhead:
    """Runs blocking work in a few threads; what finds none free waits in a fair queue.

    Belongs to one event loop.
    """

    def __init__(self, name: str, *, threads: int, waiting: int) -> None:
        """Let ``waiting`` pieces of work wait beside what runs."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._slots = FairSlots(threads, waiting)
        self._running = 0

    @property
    def inside(self) -> int:
        """How much runs or waits, what was given up but still runs included."""
        return self._running + self._slots.waiting

    async def run(self, work: Callable[[], T], *, timeout_s: float) -> T:
        """Return what ``work`` does. Raises ``BusyError``, or ``TimeoutError``.

        The time counts from when it begins; what waits is given up when no thread has become free
        for so long. A thread cannot be stopped from outside: work that has begun keeps its place
        until it returns.
        """
        await self._slots.acquire(stuck_s=timeout_s)
        self._running += 1
        loop = asyncio.get_running_loop()

        def left(_: Future[T]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._left)

        context = contextvars.copy_context()
        done = self._pool.submit(context.run, work)
        done.add_done_callback(left)
        async with asyncio.timeout(timeout_s):
            return await asyncio.wrap_future(done)

    def close(self) -> None:
        """Refuse what waits; what runs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _left(self) -> None:
        self._running -= 1
        self._slots.release()
