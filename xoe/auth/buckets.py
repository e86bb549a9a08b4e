"""Token buckets: so many at once, and so many a minute in the long run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """So many a minute in the long run, and so many at once."""

    a_minute: float
    at_once: int

    @property
    def interval_s(self) -> float:
        """Seconds in which there is room for one more."""
        return 60 / self.a_minute


class Buckets:
    """One bucket for each key. Never waits; for one thread."""

    def __init__(self, tracked: int) -> None:
        """``tracked``: buckets that are kept; the one that was quiet longest goes first."""
        self._tracked = tracked
        # When each will be full again; one that is full already is as good as forgotten.
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()

    def wait_s(self, key: Hashable, rate: Rate, now: float) -> float:
        """Return the seconds until there is room for one more."""
        ahead_s = self._full_at.get(key, now) - now
        return max(0.0, ahead_s - (rate.at_once - 1) * rate.interval_s)

    def take(self, key: Hashable, rate: Rate, now: float) -> None:
        """Count one more."""
        self._full_at[key] = max(now, self._full_at.get(key, now)) + rate.interval_s
        self._full_at.move_to_end(key)
        while len(self._full_at) > self._tracked:
            self._full_at.popitem(last=False)

    def give_back(self, key: Hashable, rate: Rate) -> None:
        """Count one less."""
        if key in self._full_at:
            self._full_at[key] -= rate.interval_s

    def __len__(self) -> int:
        return len(self._full_at)
