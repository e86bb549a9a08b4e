"""How late the event loop is: whatever blocks it, everybody waits for."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from telemetry.metrics import Metrics

_EVERY_S: Final = 0.5


async def watch_loop(metrics: Metrics) -> None:
    """Record twice a second how much later than asked for this task is woken, until cancelled."""
    while True:
        due = time.monotonic() + _EVERY_S
        await asyncio.sleep(_EVERY_S)
        metrics.loop_lag(time.monotonic() - due)
