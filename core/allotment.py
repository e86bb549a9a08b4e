"""Who holds how much of one bounded thing: the more somebody has, the less more they get.

One may take as much as brings what they hold to what is still free, so there is always some left
for whoever comes next, and a single one still gets half of all. In networks this is the dynamic
threshold of a shared buffer (Choudhury and Hahne, "Dynamic Queue Length Thresholds for
Shared-Memory Packet Switches", IEEE/ACM Transactions on Networking 6(2), 1998).
"""

from __future__ import annotations

from collections import Counter


def may_take(amount: int, *, held: int, free: int) -> bool:
    """Whether who holds ``held`` may take ``amount`` more of the ``free``."""
    return amount <= free and (not held or held + amount <= free)


class Allotment:
    """Counts what each owner holds. Taking checks and counts in one step; for one thread."""

    def __init__(self, limit: int) -> None:
        """``limit``: how much there is for all."""
        self._limit = limit
        self._held: Counter[str] = Counter()

    @property
    def free(self) -> int:
        """How much nobody holds."""
        return self._limit - self._held.total()

    def held(self, owner: str) -> int:
        """How much ``owner`` holds."""
        return self._held[owner]

    def take(self, owner: str, amount: int = 1) -> bool:
        """Count ``amount`` as the owner's; or count nothing and return False."""
        if not may_take(amount, held=self._held[owner], free=self.free):
            return False
        self._held[owner] += amount
        return True

    def give_back(self, owner: str, amount: int = 1) -> None:
        """Count ``amount`` of the owner's as free again."""
        self._held[owner] -= amount
        if self._held[owner] <= 0:
            del self._held[owner]
