"""Tasks that go on behind whoever began them: none is lost, and none fails unheard."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import structlog

log = structlog.get_logger(__name__)

T = TypeVar("T")


def _tell(failure: BaseException) -> None:
    log.error("task.failed", error=type(failure).__name__, exc_info=failure)


class Tasks:
    """The tasks of one owner, in one event loop; each is forgotten when it has ended."""

    def __init__(self, *, on_failure: Callable[[BaseException], object] = _tell) -> None:
        """``on_failure`` hears of what was spawned and failed."""
        self._tasks: set[asyncio.Task[Any]] = set()
        self._on_failure = on_failure

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[asyncio.Task[Any]]:
        return iter(tuple(self._tasks))

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin ``work``, which nobody needs to await."""
        task = self.keep(asyncio.create_task(work))
        task.add_done_callback(self._ended)
        return task

    def keep(self, task: asyncio.Task[T]) -> asyncio.Task[T]:
        """Count a task, whose failure somebody else hears of, among these until it has ended."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self, *, but: asyncio.Task[Any] | None = None) -> None:
        """Cancel all, except the current one and ``but``."""
        for task in self._others() - {but}:
            task.cancel()

    async def wait(self, timeout_s: float | None = None) -> None:
        """Wait until all but the current one have ended, those begun meanwhile too; or so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while others := self._others():
                    await asyncio.wait(others)

    async def aclose(self) -> None:
        """Cancel all, and wait until they have ended."""
        self.cancel()
        await self.wait()

    def _others(self) -> set[asyncio.Task[Any]]:
        return self._tasks - {asyncio.current_task()}

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (failure := task.exception()) is not None:
            self._on_failure(failure)


async def next_of(queue: asyncio.Queue[T], producer: asyncio.Task[None]) -> T:
    """Take the next thing that ``producer`` puts into ``queue``, or raise what ended it."""
    getter = asyncio.create_task(queue.get())
    await asyncio.wait({getter, producer}, return_when=asyncio.FIRST_COMPLETED)
    if not getter.done() and producer.done() and producer.exception() is not None:
        getter.cancel()
        producer.result()
    return await getter
