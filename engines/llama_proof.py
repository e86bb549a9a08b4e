"""The proof of a build of llama.cpp: a child process reads some hundred tokens and writes some.

``python -m engines.llama_proof PARENT MODEL`` is that child.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from core.contained import contained_environment
from core.errors import LlamaBuildError, ModelLoadError
from engines.llama_kernels import BACKEND_ENV, load_kernels

PROOF_S: Final = 180.0
"""For what takes a second to six on two cores; this much for a slow disk and a busy machine."""
_READ_TOKENS: Final = 256
"""As many as the model's process reads at once: the kernels for matrices need more than one."""
_WRITTEN_TOKENS: Final = 8
_THREADS: Final = 4
_NICE: Final = 5

_UNLOADABLE: Final = 10
_NONSENSE: Final = 11
_REFUSED: Final = 12
_FAILURES: Final = {_UNLOADABLE: "cannot be loaded", _NONSENSE: "computes nonsense"}
_DEATHS: Final = {
    signal.SIGILL: "dies of an illegal instruction",
    signal.SIGSEGV: "dies of a fault in its memory",
    signal.SIGBUS: "dies of a fault in its memory",
    signal.SIGFPE: "dies of an arithmetic fault",
    signal.SIGABRT: "dies of a check of its own",
}
_PR_SET_PDEATHSIG: Final = 1


def prove(model: Path, environment: Mapping[str, str], limit_s: float) -> str:
    """Run the proof with a GGUF file and a build's environment; return how the build failed.

    Empty: it works. Raises ``ModelLoadError`` when the model is refused, ``LlamaBuildError`` when
    the proof itself could not be made, which tells nothing about the build.
    """
    command = (sys.executable, "-P", "-m", "engines.llama_proof", str(os.getpid()), str(model))
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**contained_environment(), **environment},
            start_new_session=True,  # Ctrl-C is for us, and kills what we wait for
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "hangs"
    except OSError as exc:
        raise LlamaBuildError(f"llama.cpp could not be tried: {exc.strerror}.") from exc
    if done.returncode == _REFUSED:
        raise ModelLoadError(
            f"The model file {model.name} cannot be loaded: it is damaged, of a kind that this "
            "version of llama.cpp does not know, or too large for the free memory. "
            "'xoe models verify' checks it."
        )
    how = judge(done.returncode)
    if how is None:
        said = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
        raise LlamaBuildError(_untold(done.returncode, said[-1] if said else ""))
    return how


def judge(code: int) -> str | None:
    """Return how a build failed by its process's return code, as ``subprocess`` gives it.

    Empty: it did not. ``None``: the end tells nothing about the build.
    """
    if code == 0:
        return ""
    return _DEATHS.get(signal.Signals(-code)) if code < 0 else _FAILURES.get(code)


def _untold(code: int, said: str) -> str:
    if code < 0:
        end = f"was ended from outside ({signal.Signals(-code).name}), perhaps for want of memory"
    else:
        end = f"ended with code {code}" + (f" ({said})" if said else "")
    return f"llama.cpp could not be tried on this processor: the process that does it {end}."


def _main(parent: int, model: str) -> int:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return 1
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(_NICE)
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as in chains/llm, and for the same reason

    import llama_cpp

    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, None)
    try:
        load_kernels(os.environ.get(BACKEND_ENV))
    except LlamaBuildError:
        return _UNLOADABLE
    llama_cpp.llama_backend_init()
    return _try(llama_cpp, model)


def _try(llama_cpp: Any, path: str) -> int:
    model_params = llama_cpp.llama_model_default_params()
    model_params.n_gpu_layers = 0
    model = llama_cpp.llama_model_load_from_file(os.fsencode(path), model_params)
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = 2 * _READ_TOKENS
    params.n_batch = params.n_ubatch = _READ_TOKENS
    params.n_threads = params.n_threads_batch = min(_THREADS, len(os.sched_getaffinity(0)))
    context = llama_cpp.llama_init_from_model(model, params) if model else None
    if not context:
        return _REFUSED
    words = int(llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model)))
    # Any tokens do: what matters is that numbers come out, and the same ones twice.
    prompt = [7919 * number % words for number in range(1, _READ_TOKENS + 1)]
    texts = []
    for _ in range(2):
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        texts.append(_write(llama_cpp, context, prompt, words))
    return 0 if texts[0] is not None and texts[0] == texts[1] else _NONSENSE


def _write(llama_cpp: Any, context: Any, prompt: Sequence[int], words: int) -> list[int] | None:
    """Read ``prompt`` and return the likeliest tokens after it; ``None``: no numbers came out."""
    import numpy as np  # only in the child: the server's commands start without it

    written: list[int] = []
    tokens = prompt
    while len(written) < _WRITTEN_TOKENS:
        batch = (ctypes.c_int32 * len(tokens))(*tokens)
        if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(batch, len(tokens))):
            return None
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, -1), (words,))
        if not np.isfinite(logits).all():
            return None
        tokens = [int(logits.argmax())]
        written += tokens
    return written


if __name__ == "__main__":
    sys.exit(_main(int(sys.argv[1]), sys.argv[2]))
