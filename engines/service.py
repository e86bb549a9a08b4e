"""What an engine's process hosts, and a call of it as the engine sees it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import ClassVar

from engines.wire import Head

Emit = Callable[[Head, bytes], None]


class Cancelled(Exception):  # noqa: N818 - no error, but how a call is left
    """Nobody waits for this call any more."""


class Service:
    """An engine. Its methods run in the lanes' threads, one call of a lane after the other.

    A method takes a ``Call`` and returns the head of the result, or the head and raw bytes.
    ``XoeError``s that it raises reach the caller as they are.
    """

    LANES: ClassVar[Mapping[str, str]] = {}
    """The lane of each method; what is not named here cannot be called."""

    def enter(self, lane: str) -> None:
        """Set up a lane's thread: its priority, say."""


class Call:
    """One call on its way through the engine."""

    def __init__(self, arguments: Head, payload: bytes = b"", emit: Emit = lambda *_: None) -> None:
        """``emit`` takes an event's head and raw bytes to the caller."""
        self.arguments = arguments
        self.payload = payload
        self._emit = emit
        self._lock = threading.Lock()
        self._cancelled = False
        self._interrupt: Callable[[], None] | None = None

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits any more."""
        return self._cancelled

    def emit(self, head: Head, payload: bytes = b"") -> None:
        """Send an event; raises ``Cancelled`` when nobody waits for it."""
        self.check()
        self._emit(head, payload)

    def progress(self) -> None:
        """Tell that the work goes on; a call that does not tell for long is taken for stuck."""
        self._emit({}, b"")

    def check(self) -> None:
        """Raise ``Cancelled`` once the call is."""
        if self._cancelled:
            raise Cancelled

    def cancel(self) -> None:
        """Ask the call to end at its next step; any thread may."""
        with self._lock:
            self._cancelled = True
            if self._interrupt is not None:  # not after ``end``: it would hit another's call
                self._interrupt()

    def on_cancel(self, interrupt: Callable[[], None]) -> None:
        """Let ``cancel`` call ``interrupt``, which must be quick and must not call back.

        Raises ``Cancelled`` when it is too late.
        """
        with self._lock:
            if self._cancelled:
                raise Cancelled
            self._interrupt = interrupt

    def end(self) -> None:
        """Let ``cancel`` do nothing any more: the next call of the lane is another's."""
        with self._lock:
            self._interrupt = None
