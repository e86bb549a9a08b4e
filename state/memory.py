"""How much of its memory the system uses, and what it does without when that gets too much.

Tiers: 1 from 85 % of the limit, 2 from 92 %, 3 from 97 %. A tier is left again only well below
where it was entered, so that what it saved does not bring it back at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil
import structlog

from state.ladder import MemoryTier

log = structlog.get_logger(__name__)

TIERS: Final[tuple[tuple[MemoryTier, float], ...]] = ((3, 0.97), (2, 0.92), (1, 0.85))
LEAVE: Final = 0.05
"""Share of the limit below a tier's threshold at which it is left."""
_EVERY_S: Final = 2.0
_CGROUP: Final = Path("/sys/fs/cgroup/memory.max")


def tier_of(share: float, before: MemoryTier) -> MemoryTier:
    """Return the tier for ``share`` of the limit, when it was ``before``."""
    for tier, threshold in TIERS:
        if share >= threshold - (LEAVE if tier <= before else 0.0):
            return tier
    return 0


def limit_bytes(configured_mb: int) -> int:
    """Return the limit of the settings, or of the process's control group where that is less."""
    configured = configured_mb * 2**20
    try:
        text = _CGROUP.read_text().strip()
    except OSError:
        return configured
    return min(configured, int(text)) if text.isdecimal() else configured


def used_bytes() -> int:
    """Return the resident memory of this process and those it started. Takes milliseconds.

    What several of them share, such as libraries and a model's file, counts once.
    """
    process = psutil.Process()
    return sum(share_bytes(each) for each in (process, *process.children(recursive=True)))


def share_bytes(process: psutil.Process) -> int:
    """Return the resident memory of a process, of what others have too its share; 0: it ended."""
    try:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):  # it has just ended, or the kernel tells no more than the whole
        pass
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


class MemoryWatch:
    """Measures now and then. Belongs to one event loop."""

    def __init__(
        self,
        limit: int,
        *,
        used: Callable[[], int] = used_bytes,
        on_change: Callable[[MemoryTier], None] = lambda _: None,
    ) -> None:
        """``limit`` and what ``used`` returns are bytes; ``on_change`` hears of each new tier."""
        self.limit = limit
        self.used = 0
        self.tier: MemoryTier = 0
        self._measure = used
        self._on_change = on_change

    def room_bytes(self) -> int:
        """Return how much more may be used: by the limit, and by what the machine has free."""
        return max(0, min(self.limit - self.used, int(psutil.virtual_memory().available)))

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_EVERY_S)

    async def look(self) -> None:
        """Measure once."""
        self.used = await asyncio.to_thread(self._measure)
        tier = tier_of(self.used / self.limit, self.tier)
        if tier != self.tier:
            before, self.tier = self.tier, tier
            log.warning("memory.tier", before=before, now=tier, used_mb=self.used >> 20)
            self._on_change(tier)
