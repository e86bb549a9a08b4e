"""Which parts have failed, and looking after them until they work again.

A failed part is told by whoever met the fault. From then on it is tried now and then, without a
user having to ask, through its own circuit breaker: while that is open nothing is tried.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from core.errors import CircuitOpenError, XoeError

log = structlog.get_logger(__name__)

_EVERY_S: Final = 3.0

Check = Callable[[], Awaitable[None]]
"""Uses a part once; raises ``XoeError`` when it does not work."""


class Recovery:
    """Belongs to one event loop."""

    def __init__(self, checks: Mapping[str, Check], *, on_change: Callable[[], object]) -> None:
        """Take ``checks`` by part; ``on_change`` is called when a part has failed or is back."""
        self._checks = checks
        self._on_change = on_change
        self._failed: set[str] = set()
        self._soon = asyncio.Event()

    def works(self, part: str) -> bool:
        """Tell whether ``part`` worked when it was used last."""
        return part not in self._failed

    def report(self, part: str, works: bool) -> None:
        """Take how the last use of ``part`` ended."""
        if works == self.works(part):
            return
        (self._failed.discard if works else self._failed.add)(part)
        log.info("part.back" if works else "part.failed", part=part)
        self._on_change()

    def look(self) -> None:
        """Try the failed parts now: something has changed."""
        self._soon.set()

    async def run(self) -> None:
        """Look after the failed parts until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_EVERY_S):
                    await self._soon.wait()
            self._soon.clear()
            for part in sorted(self._failed):
                await self._try(part)

    async def _try(self, part: str) -> None:
        try:
            await self._checks[part]()
        except CircuitOpenError:
            return
        except XoeError as exc:
            log.info("part.still_failed", part=part, error=type(exc).__name__)
            return
        self.report(part, works=True)
