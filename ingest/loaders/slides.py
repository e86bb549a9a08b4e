"""What the presentations of all programs have in common: the order of reading, and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from core.errors import DocumentTooLargeError
from ingest.loaders.document import ParseLimits

Shape = TypeVar("Shape")

_ROW_CM = 0.5
"""Shapes whose upper edges differ by less stand side by side."""
_NAMED = 10


@dataclass(frozen=True)
class Placed(Generic[Shape]):
    """A shape on a slide and where its upper left corner is."""

    shape: Shape
    top_cm: float
    left_cm: float
    is_placeholder: bool = False
    """Whether the slide's layout has a place for it, and so an order."""


def check_count(slides: int, limits: ParseLimits) -> None:
    """Refuse a presentation of too many slides with ``DocumentTooLargeError``."""
    if slides > limits.max_pages:
        raise DocumentTooLargeError(
            f"It has {slides:,} slides and at most {limits.max_pages:,} are read; split it and try "
            "again."
        )


def reading_order(shapes: Sequence[Placed[Shape]]) -> list[Shape]:
    """Return the shapes as they are read: placeholders in their order, others by their places.

    What stands above all placeholders comes before them, the rest behind.
    """
    places = [placed for placed in shapes if placed.is_placeholder]
    free = sorted(
        (placed for placed in shapes if not placed.is_placeholder),
        key=lambda placed: (placed.top_cm, placed.left_cm),
    )
    top_cm = min((placed.top_cm for placed in places), default=0.0)
    above = [placed for placed in free if places and placed.top_cm < top_cm]
    below = [placed for placed in free if not places or placed.top_cm >= top_cm]
    return [placed.shape for placed in (*_in_rows(above), *places, *_in_rows(below))]


def _in_rows(shapes: Sequence[Placed[Shape]]) -> list[Placed[Shape]]:
    """Bring shapes, sorted by their upper edges, into the order of lines of text."""
    ordered: list[Placed[Shape]] = []
    row: list[Placed[Shape]] = []
    for placed in shapes:
        if row and placed.top_cm - row[0].top_cm >= _ROW_CM:
            ordered += sorted(row, key=lambda one: one.left_cm)
            row = []
        row.append(placed)
    return ordered + sorted(row, key=lambda one: one.left_cm)


def only_pictures(numbers: Sequence[int]) -> tuple[str, ...]:
    """Return the sentence on slides that hold pictures and no text, if there are any."""
    if not numbers:
        return ()
    if len(numbers) == 1:
        return (f"Slide {numbers[0]} holds only pictures, which were not read.",)
    more = len(numbers) - _NAMED
    named = ", ".join(map(str, numbers[:_NAMED])) + (f" and {more} more" if more > 0 else "")
    return (f"Slides {named} hold only pictures, which were not read.",)
