"""What the embedder gives, and how a vector is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
"""Unit vectors, shape ``(n, DIMENSION)``."""

Rows = np.ndarray[tuple[int, int], np.dtype[np.int64]]
"""A chunk's id and its vector's hash, shape ``(n, 2)``."""

Ids = np.ndarray[tuple[int], np.dtype[np.int64]]
"""Ids of chunks, shape ``(n,)``."""

DIMENSION = 384
"""Of answerai-colbert-small-v1."""

_STEPS: Final = 127
"""Of a stored value, to either side of 0."""
_SCALE = np.dtype("<f4")


@dataclass(frozen=True)
class Encoded:
    """What was made of some texts, in their order."""

    vectors: Vectors
    """Unit vectors, one a text."""
    tokens: list[bytes]
    """What late interaction keeps of each."""


@dataclass(frozen=True)
class EncodedQuestion:
    """What was made of a question."""

    vector: npt.NDArray[np.float32]
    """A unit vector, shape ``(DIMENSION,)``."""
    tokens: Vectors
    """A unit vector for each token."""


def pack_vector(vector: npt.NDArray[np.float32]) -> bytes:
    """Return what is stored of a vector: the length of a step, float32, and int8 values.

    The largest value takes all steps; a cosine changes by some .001.
    """
    scale = np.array(np.abs(vector).max(initial=0) / _STEPS, dtype=_SCALE)
    steps = np.rint(vector / scale) if scale else np.zeros_like(vector)
    return scale.tobytes() + steps.astype(np.int8).tobytes()


def unpack_vectors(packed: Sequence[bytes], dimension: int) -> Vectors:
    """Return the vectors that ``pack_vector`` was given, shape ``(len(packed), dimension)``.

    Raises ``ValueError`` where one has another dimension.
    """
    row = np.dtype([("scale", _SCALE), ("steps", np.int8, (dimension,))])
    rows = np.frombuffer(b"".join(packed), dtype=row)
    if len(rows) != len(packed):
        raise ValueError(f"{len(packed)} vectors, but values of {len(rows)}")
    vectors: Vectors = rows["steps"] * rows["scale"][:, None]
    return vectors
