"""What the embedder gives, and how it is told apart."""

from __future__ import annotations

from dataclasses import dataclass

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
