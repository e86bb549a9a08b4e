"""When a lost engine is started again: at once, after a pause, proven first, or not for a while."""

from __future__ import annotations

from typing import Final

PROVE_AFTER: Final = 2
"""Deaths in a row before it was ready, after which it is proven that it can run here at all."""
GIVE_UP_AFTER: Final = 4
BARREN_GIVE_UP_AFTER: Final = 8
"""Deaths in a row at the first job of a life: the half of them before it is proven again."""
LONG_LIFE_S: Final = 10.0
"""An engine that lived so long, or did something, is started again at once, whatever was before."""
MAX_PAUSE_S: Final = 2.0


class Losses:
    """An engine's losses in a row, and what they say about the next start. No I/O."""

    def __init__(self) -> None:
        """Nothing was lost yet."""
        self._unready = 0
        self._barren = 0
        self._quick = 0

    @property
    def in_a_row(self) -> int:
        """How often it was lost without having been of any use."""
        return self._unready or self._barren

    @property
    def must_prove(self) -> bool:
        """Whether to prove that the engine can run here before it is started again."""
        return self._unready == PROVE_AFTER or self._barren == BARREN_GIVE_UP_AFTER // 2

    @property
    def is_hopeless(self) -> bool:
        """Whether to leave it alone for now."""
        return self._unready >= GIVE_UP_AFTER or self._barren >= BARREN_GIVE_UP_AFTER

    def unready(self) -> float:
        """Count a life that ended before it was ready; return the pause in seconds."""
        self._unready += 1
        return pause_s(self._unready)

    def ready(self) -> None:
        """Note that a life has come so far that the engine could work."""
        self._unready = 0

    def ended(self, *, lived_s: float, finished: int, at_work: bool, is_lost: bool) -> float:
        """Count the end of a ready life; return the pause in seconds.

        ``lived_s``: since it was ready; ``finished``: what it has done; ``at_work``: it ended amid
        something; ``is_lost``: it was not told to end.
        """
        if finished:
            self._barren = 0
        if not is_lost:
            return 0.0
        self._barren += at_work and not finished
        self._quick = 1 if finished or lived_s > LONG_LIFE_S else self._quick + 1
        return pause_s(self._quick - 1)


def pause_s(losses: int) -> float:
    """Return how long to wait before an engine is started that was lost so often in a row."""
    return 0.0 if losses <= 0 else min(0.25 * 2 ** (losses - 1), MAX_PAUSE_S)
