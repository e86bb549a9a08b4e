"""Loading llama.cpp's kernels, which lie in libraries of their own, into a process."""

from __future__ import annotations

import ctypes
import os
from typing import Final

from core.errors import LlamaBuildError

BACKEND_ENV: Final = "GGML_BACKEND_PATH"
"""llama.cpp's own variable: the library with the kernels to load."""


def load_kernels(library: str | None) -> None:
    """Load them from ``library``, once; ``None``: they are compiled into the rest.

    Before llama.cpp is made ready, which would look for them in the working folder. Raises
    ``LlamaBuildError``.
    """
    from llama_cpp.llama_cpp import _lib  # and what it depends on; _ggml has a copy of its own

    _lib.ggml_backend_reg_count.restype = ctypes.c_size_t
    if library is None or _lib.ggml_backend_reg_count():
        return
    _lib.ggml_backend_load.restype = ctypes.c_void_p
    _lib.ggml_backend_load.argtypes = (ctypes.c_char_p,)
    if not _lib.ggml_backend_load(os.fsencode(library)):
        raise LlamaBuildError(f"llama.cpp's kernels {library} cannot be loaded.")
