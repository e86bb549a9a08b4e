"""Waiting for the next change of something, for any number of tasks."""

from __future__ import annotations

import asyncio


class Signal:
    """Told at each change. Take ``next`` before looking at what may change, then wait for it."""

    def __init__(self) -> None:
        """Nothing has changed yet."""
        self._next = asyncio.Event()

    @property
    def next(self) -> asyncio.Event:
        """What is set at the next change."""
        return self._next

    def tell(self) -> None:
        """Let those go on who wait for a change."""
        changed, self._next = self._next, asyncio.Event()
        changed.set()
