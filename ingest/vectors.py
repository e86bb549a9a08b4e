"""What the embedder gives."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
"""Unit vectors, shape ``(n, DIMENSION)``."""

DIMENSION = 384
"""Of all-MiniLM-L6-v2."""
