"""Memory tiers: entered at their thresholds, left well below them."""

from __future__ import annotations

import pytest

from state.ladder import MemoryTier, budget_of
from state.memory import MemoryWatch, tier_of, used_bytes


@pytest.mark.parametrize(
    ("share", "before", "tier"),
    [
        (0.5, 0, 0),
        (0.849, 0, 0),
        (0.85, 0, 1),
        (0.92, 0, 2),
        (0.97, 0, 3),
        (1.3, 1, 3),
        (0.93, 3, 3),
        (0.91, 3, 2),
        (0.88, 2, 2),
        (0.86, 2, 1),
        (0.81, 1, 1),
        (0.79, 1, 0),
        (0.79, 3, 0),
    ],
)
def test_a_tier_is_left_well_below_where_it_was_entered(
    share: float, before: MemoryTier, tier: MemoryTier
) -> None:
    assert tier_of(share, before) == tier


async def test_the_watch_tells_each_change_once_and_goes_back() -> None:
    used, told = [50], []
    watch = MemoryWatch(100, used=lambda: used[0], on_change=told.append)
    for now in (50, 86, 87, 98, 98, 60, 60):
        used[0] = now
        await watch.look()
    assert told == [1, 3, 0]


def test_each_tier_takes_less() -> None:
    budgets = [budget_of(tier, "tiny") for tier in (0, 1, 2, 3)]
    assert [b.tokens(256) for b in budgets] == [256, 128, 128, 128]
    assert [b.passages(3) for b in budgets] == [3, 1, 1, 1]
    assert [b.profile for b in budgets] == [None, None, "tiny", None]
    assert [b.model for b in budgets] == [True, True, True, False]


def test_this_process_and_its_children_are_counted() -> None:
    assert 10 * 2**20 < used_bytes() < 64 * 2**30
