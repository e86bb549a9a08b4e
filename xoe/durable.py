"""Files that a crash leaves whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def publish(temporary: Path, final: Path) -> None:
    """Make ``temporary`` durable, then give it its final name, in the same folder."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(final)
    folder = os.open(final.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
