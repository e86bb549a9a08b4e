"""How long to wait before a lost connection is tried again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Backoff:
    """Doubles from ``first_s`` to ``max_s``, less up to a half by chance.

    The chance keeps many that were lost at the same moment from coming back at the same moment.
    """

    first_s: float = 0.5
    max_s: float = 60.0
    chance: Callable[[], float] = field(default=random.random)
    """Returns 0 to 1."""

    def delay_s(self, attempt: int) -> float:
        """Return the seconds to wait before attempt number ``attempt``, from 0."""
        # 2.0 ** 1024 overflows, and 30 doublings of anything are over every limit.
        whole = min(self.max_s, self.first_s * 2.0 ** min(attempt, 30))
        return whole * (1 - self.chance() / 2)
