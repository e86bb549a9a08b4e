"""What the embedder gives, and how it is told apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
"""Unit vectors, shape ``(n, DIMENSION)``."""

Rows = np.ndarray[tuple[int, int], np.dtype[np.int64]]
"""A chunk's id and its vector's hash, shape ``(n, 2)``."""

DIMENSION = 384
"""Of all-MiniLM-L6-v2."""
