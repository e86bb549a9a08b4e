"""Runs a property over random inputs: some hundreds in the suite, as long as wished by hand.

``XOE_FUZZ_S=600 pytest tests/faults/test_fuzz.py`` (or ``make fuzz``) gives each property ten
minutes, in rounds with fresh seeds, and prints how many inputs it saw.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

BUDGET_S = float(os.environ.get("XOE_FUZZ_S") or 0)
_ROUND = 2000


def fuzz(check: Callable[..., None], *inputs: SearchStrategy[Any], examples: int) -> None:
    """Check ``examples`` inputs, or as many as fit into the seconds of ``XOE_FUZZ_S``."""
    seen = 0

    def counted(values: tuple[Any, ...]) -> None:
        nonlocal seen
        seen += 1
        check(*values)

    def round_of(count: int, number: int) -> None:
        bounded = settings(
            max_examples=count,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        seed(time.time_ns() + number)(bounded(given(st.tuples(*inputs))(counted)))()

    if not BUDGET_S:
        round_of(examples, 0)
        return
    until = time.monotonic() + BUDGET_S
    rounds = 0
    while time.monotonic() < until:
        round_of(_ROUND, rounds)
        rounds += 1
    print(f"\nfuzz: {seen:,} inputs in {BUDGET_S:g} s")
