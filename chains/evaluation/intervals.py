"""Intervals: how far a figure may be off because other questions might have been asked."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

Values = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

LEVEL = 0.95
"""Of the interval of a figure."""
DIFFERENCE_LEVEL = 0.99
"""Of the interval of a difference. A dozen are looked at together: at 95 %, one of them would show
a change that is none in every third comparison."""
RESAMPLES = 2_000
SEED = 20_261_130
_BLOCK = 100
"""Resamples drawn at once: what is in memory is so many times the questions."""


@dataclass(frozen=True)
class Interval:
    """The ends of a confidence interval."""

    low: float
    high: float


def wilson(hits: float, count: float, level: float = LEVEL) -> Interval:
    """Return the score interval of a share, ``hits`` of ``count`` (Wilson 1927); ``count`` > 0."""
    z = _z(level)
    share = hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + (z / count / 2) ** 2)
    # At the ends it is 0 or 1 itself, but for what floating point adds.
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    return Interval(low, 1.0 if hits == count else min(1.0, middle + half))


def paired_shares(before: Values, after: Values, level: float = DIFFERENCE_LEVEL) -> Interval:
    """Return the interval of how much a share of the same questions has grown.

    ``before`` and ``after``: 0 or 1 for each question. Bonett and Price 2012: Wald's with one
    discordant pair added on each side, which a few pairs do not make too narrow.
    """
    count = len(before) + 2
    won = (np.count_nonzero(after > before) + 1) / count
    lost = (np.count_nonzero(after < before) + 1) / count
    half = _z(level) * math.sqrt((won + lost - (won - lost) ** 2) / count)
    return Interval(max(-1.0, won - lost - half), min(1.0, won - lost + half))


def bootstrap(
    statistic: Callable[[Values], Values], count: int, level: float, seed: int = SEED
) -> Interval:
    """Return the percentile interval of a statistic of ``count`` questions (Efron 1979).

    ``statistic`` is given how often each question was drawn, shape ``(resamples, count)``, and
    returns a figure for each resample; NaN where it has none.
    """
    random = np.random.default_rng(seed)
    even = np.full(count, 1 / count)
    found: list[Values] = []
    for _ in range(RESAMPLES // _BLOCK):
        drawn: Any = random.multinomial(count, even, size=_BLOCK)
        found.append(statistic(drawn.astype(np.float64)))
    edges = [(1 - level) / 2, (1 + level) / 2]
    figures = np.concatenate(found)
    figures = figures[~np.isnan(figures)]
    low, high = np.quantile(figures, edges) if len(figures) else (math.nan, math.nan)
    return Interval(float(low), float(high))


def _z(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)
