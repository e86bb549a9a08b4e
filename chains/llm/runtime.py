"""One model with its weights and one context, over llama.cpp's C interface.

Not thread-safe except for ``interrupt``: one thread owns it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt

from chains.llm.native import check_backend, load_model
from core.errors import ModelLoadError

BATCH_TOKENS = 256
"""Larger batches are hardly faster, and it shows less often that the model goes on."""
_SEQUENCE = 0
_ABORTED = 2


class Interrupted(Exception):  # noqa: N818 - not an error: somebody asked for it
    """``interrupt`` was called while the model was reading or writing."""


class RuntimeFault(Exception):  # noqa: N818
    """llama.cpp reported a failure; the context is not to be trusted any more."""


@dataclass(frozen=True)
class RuntimeOptions:
    """How a model is run."""

    context_tokens: int
    threads: int


class LlamaRuntime:
    """Reads tokens, remembers them, and samples the next one."""

    def __init__(self, path: Path, options: RuntimeOptions) -> None:
        """Load the model; blocks for a second or so. Raises ``ModelLoadError``."""
        check_backend()
        self._stop_flag = ctypes.create_string_buffer(2)
        self._model = load_model(path)
        self.vocab = llama_cpp.llama_model_get_vocab(self._model)
        self.context_tokens = min(
            options.context_tokens, int(llama_cpp.llama_model_n_ctx_train(self._model))
        )
        self.context = self._new_context(options)
        if not self.context:
            llama_cpp.llama_model_free(self._model)
            raise ModelLoadError(
                f"There is not enough memory for the model {path.name} with a context of "
                f"{self.context_tokens} tokens; choose a smaller model or llm_context_tokens."
            )
        self._memory = llama_cpp.llama_get_memory(self.context)
        self.position = 0
        """How many tokens the model remembers."""

    def _new_context(self, options: RuntimeOptions) -> Any:
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = self.context_tokens
        params.n_batch = BATCH_TOKENS
        params.n_ubatch = BATCH_TOKENS
        params.n_threads = options.threads
        params.n_threads_batch = options.threads
        params.no_perf = True
        # llama.cpp asks this before every node of the graph, from its own threads. A Python
        # function would wait for the interpreter's lock each time; strlen of a buffer that is
        # "" or "\1" gives the same 0 or 1 without it.
        params.abort_callback = ctypes.cast(ctypes.CDLL(None).strlen, llama_cpp.ggml_abort_callback)
        params.abort_callback_data = ctypes.cast(self._stop_flag, ctypes.c_void_p)
        return llama_cpp.llama_init_from_model(self._model, params)

    def interrupt(self) -> None:
        """Make the running ``read`` raise ``Interrupted`` within milliseconds; any thread may."""
        self._stop_flag[0] = b"\1"

    def resume(self) -> None:
        """Take ``interrupt`` back."""
        self._stop_flag[0] = b"\0"

    def read(self, tokens: Sequence[int], on_progress: Callable[[], None] = lambda: None) -> None:
        """Read ``tokens`` behind what is remembered, and call ``on_progress`` after each batch.

        Raises ``Interrupted`` or ``RuntimeFault``; ``position`` is right in both cases.
        """
        if self.position + len(tokens) > self.context_tokens:
            raise RuntimeFault("more tokens than the context holds")
        for start in range(0, len(tokens), BATCH_TOKENS):
            batch = tokens[start : start + BATCH_TOKENS]
            array = (ctypes.c_int32 * len(batch))(*batch)
            status = llama_cpp.llama_decode(
                self.context, llama_cpp.llama_batch_get_one(array, len(batch))
            )
            last = llama_cpp.llama_memory_seq_pos_max(self._memory, _SEQUENCE)
            self.position = int(last) + 1
            if status == _ABORTED:
                raise Interrupted
            if status != 0:
                raise RuntimeFault(f"llama_decode returned {status}")
            on_progress()

    def logits(self, tokens: Sequence[int]) -> tuple[float, ...]:
        """Return how likely each of ``tokens`` comes next; something must have been read before."""
        row = llama_cpp.llama_get_logits_ith(self.context, -1)
        return tuple(float(row[token]) for token in tokens)

    def forget_from(self, position: int) -> None:
        """Remember only the first ``position`` tokens."""
        if position < self.position:
            if not llama_cpp.llama_memory_seq_rm(self._memory, _SEQUENCE, position, -1):
                # This kind of model cannot forget a part: it begins again.
                llama_cpp.llama_memory_clear(self._memory, False)
                position = 0
            self.position = position

    def state_size(self) -> int:
        """Return how many bytes ``state`` would give."""
        return int(llama_cpp.llama_state_seq_get_size(self.context, _SEQUENCE))

    def state(self) -> npt.NDArray[np.uint8]:
        """Return a copy of what is remembered."""
        data = np.empty(self.state_size(), dtype=np.uint8)
        llama_cpp.llama_state_seq_get_data(self.context, _bytes_of(data), len(data), _SEQUENCE)
        return data

    def restore(self, data: npt.NDArray[np.uint8]) -> None:
        """Remember what ``state`` gave, and nothing else."""
        self.forget_from(0)
        read = llama_cpp.llama_state_seq_set_data(
            self.context, _bytes_of(data), len(data), _SEQUENCE
        )
        if not read:
            raise RuntimeFault("a saved state could not be restored")
        self.position = int(llama_cpp.llama_memory_seq_pos_max(self._memory, _SEQUENCE)) + 1

    def ends_answer(self, token: int) -> bool:
        """Tell whether the model ends its answer with ``token``."""
        return bool(llama_cpp.llama_vocab_is_eog(self.vocab, token))

    def close(self) -> None:
        """Free the memory."""
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_model_free(self._model)


def _bytes_of(data: npt.NDArray[np.uint8]) -> Any:
    return data.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))
