"""Bounds the time of a library whose work on some files has no bound of its own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class OutOfTimeError(Exception):
    """It took longer than it may; what can be done without it goes on."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise ``OutOfTimeError`` once the block has taken ``seconds`` of the processor's time.

    A regular expression is interrupted too. In the main thread only, which is where a parser's
    process reads files; in others the block has no limit here.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGVTALRM, _out_of_time)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _out_of_time(_number: int, _frame: FrameType | None) -> None:
    raise OutOfTimeError
