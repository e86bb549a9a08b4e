"""Brings what is said to the database, in order, and keeps it in memory while that is away.

Nobody waits long: a change that the database has not taken within ``ACK_WAIT_S`` waits in a
bounded queue, and is tried again with growing pauses. What is in the queue when the program ends
is in the chat's history in Redis, from where it is written down later.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final

import structlog

from core.errors import StoreError, ThreadLimitError
from core.signal import Signal
from xoe.chats.changes import Change
from xoe.chats.store import Threads

log = structlog.get_logger(__name__)

ACK_WAIT_S: Final = 0.5
"""How long whoever brings a change waits for the database; it goes on without."""
FIRST_PAUSE_S: Final = 0.1
LAST_PAUSE_S: Final = 5.0
CHANGES_MAX: Final = 1_000
CHARS_MAX: Final = 16_000_000

UNSAVED: Final = "This chat cannot be saved just now; it is kept in memory and written down later."
"""What to tell the user while ``Recorder.is_behind``."""


@dataclass(eq=False)
class _Waiting:
    change: Change
    size: int
    done: asyncio.Future[bool] = field(default_factory=lambda: _future())


def _future() -> asyncio.Future[bool]:
    return asyncio.get_running_loop().create_future()


class Recorder:
    """A queue of changes before the database. Use inside one event loop."""

    def __init__(self, threads: Threads) -> None:
        """Write to ``threads``."""
        self._threads = threads
        self._queue: deque[_Waiting] = deque()
        self._size = 0
        self._task: asyncio.Task[None] | None = None
        self._failed = False
        self.taken = Signal()
        """Told when the database has taken a change."""
        self.lost = 0
        """Changes that were given up, for want of room."""

    @property
    def is_behind(self) -> bool:
        """Whether the database did not take what was brought last; ``UNSAVED`` says so."""
        return self._failed

    @property
    def pending(self) -> int:
        """How many changes wait."""
        return len(self._queue)

    def is_pending(self, owner: str, thread_id: str) -> bool:
        """Whether a change of this chat waits."""
        return any(
            waiting.change.owner == owner and waiting.change.thread_id == thread_id
            for waiting in self._queue
        )

    async def bring(self, change: Change) -> bool:
        """Have a change carried out; return whether there was anything to carry it out on.

        While it waits for the database nobody knows, so that counts as yes. Raises
        ``ThreadLimitError``.
        """
        waiting = _Waiting(change, change.size)
        self._queue.append(waiting)
        self._size += waiting.size
        self._bound()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work(), name="threads-recorder")
        if self._failed:
            return True
        await asyncio.wait({waiting.done}, timeout=ACK_WAIT_S)
        if not waiting.done.done():
            self._fell_behind("late")
            return True
        return waiting.done.result()

    def forget(self, owner: str, thread_id: str) -> None:
        """Drop what waits for a chat that was deleted."""
        for waiting in tuple(self._queue):
            if (waiting.change.owner, waiting.change.thread_id) == (owner, thread_id):
                self._take_out(waiting, taken=False)

    async def aclose(self, wait_s: float = 2.0) -> None:
        """Write what waits, ``wait_s`` at most, and stop."""
        if self._task is None:
            return
        await asyncio.wait({self._task}, timeout=wait_s)
        if self._queue:
            log.warning("threads.not_written", changes=len(self._queue))
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        pause_s = FIRST_PAUSE_S
        while self._queue:
            waiting = self._queue[0]
            try:
                taken = await self._threads.apply(waiting.change)
            except ThreadLimitError as exc:
                self._give_up(waiting, exc)
            except StoreError as exc:
                self._fell_behind(type(exc).__name__)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LAST_PAUSE_S)
                continue
            except Exception as exc:  # tried again it would fail again, and hold up all others
                log.exception("threads.change_failed", change=type(waiting.change).__name__)
                self._give_up(waiting, exc)
            else:
                self._take_out(waiting, taken=taken)
                self.taken.tell()
            pause_s = FIRST_PAUSE_S
        if self._failed:
            self._failed = False
            log.info("threads.caught_up")

    def _give_up(self, waiting: _Waiting, exc: Exception) -> None:
        if isinstance(exc, StoreError) and not waiting.done.done():
            waiting.done.set_exception(exc)
            waiting.done.exception()  # somebody may have stopped waiting
        self._take_out(waiting, taken=False)

    def _fell_behind(self, why: str) -> None:
        if not self._failed:
            self._failed = True
            log.warning("threads.behind", why=why, changes=len(self._queue))

    def _take_out(self, waiting: _Waiting, *, taken: bool) -> None:
        if waiting in self._queue:
            self._queue.remove(waiting)
            self._size -= waiting.size
        if not waiting.done.done():
            waiting.done.set_result(taken)

    def _bound(self) -> None:
        while len(self._queue) > CHANGES_MAX or (self._size > CHARS_MAX and len(self._queue) > 1):
            # Not the first: it may be on its way just now.
            oldest = self._queue[1] if len(self._queue) > 1 else self._queue[0]
            if not self.lost:
                log.warning("threads.no_room", changes=len(self._queue))
            self.lost += 1
            self._take_out(oldest, taken=True)
