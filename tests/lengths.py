"""How long the long tests run: shorter in the suite, whole with ``make long``."""

from __future__ import annotations

import os

LONG = os.environ.get("LONG_TESTS") == "1"


def length(short: int, whole: int) -> int:
    """Return how often to do something that is to be done ``whole`` times."""
    return whole if LONG else short
