"""Loading through llama.cpp's C interface: its log lines, its back end, its model files."""

from __future__ import annotations

import ctypes
import functools
import os
import threading
from pathlib import Path
from typing import Any

import llama_cpp
import structlog

from core.errors import ModelLoadError
from engines import llama_build

log = structlog.get_logger(__name__)

_GGML_WARNINGS = (3, 4)  # ggml_log_level: warn and error

NICE = 5
"""How far the model's threads stand behind everything else, in steps of Unix priority."""


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log_line(level: int, text: bytes, _: ctypes.c_void_p) -> None:
    if level in _GGML_WARNINGS:
        log.debug("llama_cpp.message", text=text.decode("utf-8", errors="replace").strip())


@functools.cache
def check_backend() -> None:
    """Make llama.cpp ready, once in a process, and send its messages to the log.

    They would otherwise be printed on stderr. Raises ``LlamaBuildError``.
    """
    llama_cpp.llama_log_set(_log_line, None)
    llama_build.load()
    llama_cpp.llama_backend_init()


def stand_behind() -> None:
    """Let the page, the browser on the same computer and the event loop go before this thread.

    The model keeps every core busy for seconds. The threads that llama.cpp starts from this one
    inherit it. A process that was started with less priority yet keeps that.
    """
    thread = threading.get_native_id()
    now = os.getpriority(os.PRIO_PROCESS, thread)
    os.setpriority(os.PRIO_PROCESS, thread, max(now, NICE))


def load_model(path: Path, *, vocab_only: bool = False) -> Any:
    """Return llama.cpp's handle of the GGUF file at ``path``; ``ModelLoadError`` if refused."""
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = vocab_only
    params.n_gpu_layers = 0
    model = llama_cpp.llama_model_load_from_file(os.fsencode(path), params)
    if not model:
        raise ModelLoadError(
            f"The model file {path.name} cannot be loaded: it is damaged or of a kind that this "
            f"version of llama.cpp does not know. 'xoe models verify' checks it."
        )
    return model
