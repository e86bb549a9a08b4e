"""Cancellation that a library cannot swallow."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class AbandonedError(Exception):
    """The work was cancelled, by somebody else than who waits for it."""


async def cancellable(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work``; a cancellation of the caller always reaches the caller.

    redis-py calls ``asyncio.wait_for``, which in Python 3.11 returns normally when it is cancelled
    in the very moment in which its work is done: the task that asked would never learn of it and
    go on, and whoever cancelled it would wait for ever. So ``work`` runs in a task of its own,
    which is cancelled as well and has given its connection back when this returns.
    """
    return await uncancelled(asyncio.create_task(work))


async def uncancelled(task: asyncio.Task[T]) -> T:
    """Do the same for a task; raises ``AbandonedError`` when only the task was cancelled."""
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        raise
    if task.cancelled():
        raise AbandonedError
    return task.result()


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work``; a cancellation reaches the caller only when the work has ended.

    For work in a thread that takes hold of something: the thread goes on when its caller is
    cancelled, and who cleans up at once finds nothing to let go of yet.
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # nobody else will ask for it
        raise
    return task.result()
