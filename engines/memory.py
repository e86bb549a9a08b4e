"""The memory of an engine's process."""

from __future__ import annotations

import contextlib
import ctypes


def give_back() -> None:
    """Let the C library return what was freed to the system, where it can (glibc).

    Loading a model takes much that is freed at once, and would stay with the process otherwise.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
