"""Where on the ladder the house stands, and since when."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from state.ladder import Level, Parts, level_of, reason_of

__all__ = ["Ladder", "Level", "LevelStatus"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class LevelStatus:
    """The level, and why it is not a better one."""

    level: Level
    since: float
    """Seconds since 1970."""
    reason: str
    """A sentence or two for a person; empty at the full level."""


class Ladder:
    """Follows the parts: down at once when one fails, up again when it is back."""

    def __init__(
        self,
        parts: Callable[[], Parts],
        *,
        on_change: Callable[[Level], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``parts`` tells what works; ``on_change`` hears of each new level."""
        self._parts = parts
        self._on_change = on_change
        self._clock = clock
        self._status = LevelStatus(Level.FULL, clock(), "")

    def status(self) -> LevelStatus:
        """Look at the parts and return the level."""
        parts = self._parts()
        level, reason = level_of(parts), reason_of(parts)
        before = self._status
        if level is not before.level:
            log.info("ladder.changed", before=before.level, now=level, reason=reason)
            self._status = LevelStatus(level, self._clock(), reason)
            self._on_change(level)
        elif reason != before.reason:
            self._status = LevelStatus(level, before.since, reason)
        return self._status
