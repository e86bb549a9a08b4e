"""What loaders know of text recognition: pixels go in, lines and their places come out.

The loaders are given a ``Recognizer`` with their source; none means that its model is not
installed. That of the parser's usual process reads nothing, and raises ``RecognitionNeeded``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # the server, which reads no pictures, has no use for NumPy here
    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[np.uint8]
    """Shape ``(height, width, 3)``: blue, green, red."""

MAX_SIDE = 4000
"""Pixels of a picture's longer side; a larger one is scaled down."""
MEMORY_MB = 1_024
"""Of addresses, that recognition takes above what else reading a document may take."""
NOT_INSTALLED = "the OCR model is not installed (xoe models pull ocr)"


@dataclass(frozen=True, slots=True)
class RecognizedLine:
    """A line of text in a picture that was turned upright, or a part of one between wide gaps.

    Lengths in pixels from the picture's upper left corner, as if its lines ran straight.
    """

    text: str
    left: float
    right: float
    top: float
    bottom: float
    size: float | None
    """Of the font, as it seems; ``None`` where that cannot be told."""
    upright: bool = True
    """Runs from left to right, as the picture's other lines do."""
    corners: tuple[tuple[float, float], ...] = ((0.0, 0.0),) * 4
    """Where it stands in the picture as it was given, in pixels: where its first letter begins
    above, where its last one ends above and below, and where the first begins below."""


@dataclass(frozen=True, slots=True)
class Recognized:
    """What a picture says, in no particular order."""

    lines: tuple[RecognizedLine, ...]
    height: float
    """Of the upright picture, in pixels."""
    is_whole: bool = True
    """Whether all of it was read; false where it had more lines than any page has."""


class RecognitionError(Exception):
    """Text recognition failed at this picture."""


class RecognitionNeeded(BaseException):
    """The file holds pictures to be read, which is another process's work.

    No ``Exception``: a loader that goes on where a part of a file fails must not go on here.
    """


class Recognizer(Protocol):
    """Finds and reads the text in pictures."""

    def prepare(self) -> None:
        """Load what it needs, before a picture is decoded for it."""

    def read(self, picture: Pixels, alive: Callable[[], None]) -> Recognized:
        """Read a picture, telling ``alive`` every second or so that the work goes on.

        Raises ``RecognitionError``.
        """
