"""When a share is over, whatever happens to the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


def since_boot_s() -> float:
    """Return seconds on a clock that nobody sets and that goes on while the computer sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Deadline:
    """Over at a time of day, or so many seconds from now: whichever comes first.

    The time of day is what guests were told, and survives a restart. It alone could be put off by
    setting the clock back; the other clock cannot be set, but knows no dates.
    """

    ends_at: float
    """Unix seconds."""
    lasts_s: float
    wall: Callable[[], float] = field(default=time.time)
    steady: Callable[[], float] = field(default=since_boot_s)
    began: float = field(init=False)

    def __post_init__(self) -> None:
        """Begin to count."""
        object.__setattr__(self, "began", self.steady())

    def left_s(self) -> float:
        """Return the seconds that are left; 0 when it is over."""
        by_day = self.ends_at - self.wall()
        by_count = self.began + self.lasts_s - self.steady()
        return max(0.0, min(by_day, by_count))
