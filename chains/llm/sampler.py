"""Choosing the next token."""

from __future__ import annotations

from typing import Any

import llama_cpp

from chains.llm.runtime import LlamaRuntime

# "Don't repeat yourself" (github.com/oobabooga/text-generation-webui/pull/5677): only a run of
# tokens that the answer holds already is made less likely, the longer the run the more. Twelve
# tokens free leave names, figures and list items alone; the loops of small models are longer.
_REPEAT_FREE_TOKENS = 12
_REPEAT_WINDOW_TOKENS = 1024
_REPEAT_PENALTY = 0.8
_REPEAT_GROWTH = 1.75

_TOP_K = 40
_TOP_P = 0.95


class Sampler:
    """Greedy at temperature 0, with a guard against loops. One for each answer."""

    def __init__(self, runtime: LlamaRuntime, temperature: float) -> None:
        """``runtime`` is read from as it stands at each ``next``."""
        self._context = runtime.context
        self._chain = llama_cpp.llama_sampler_chain_init(
            llama_cpp.llama_sampler_chain_default_params()
        )
        self._add(
            llama_cpp.llama_sampler_init_dry(
                runtime.vocab,
                _REPEAT_PENALTY,
                _REPEAT_GROWTH,
                _REPEAT_FREE_TOKENS,
                _REPEAT_WINDOW_TOKENS,
                None,
                0,
            )
        )
        if temperature <= 0:
            self._add(llama_cpp.llama_sampler_init_greedy())
        else:
            self._add(llama_cpp.llama_sampler_init_top_k(_TOP_K))
            self._add(llama_cpp.llama_sampler_init_top_p(_TOP_P, 1))
            self._add(llama_cpp.llama_sampler_init_temp(temperature))
            self._add(llama_cpp.llama_sampler_init_dist(llama_cpp.LLAMA_DEFAULT_SEED))

    def next(self) -> int:
        """Return the next token; something must have been read just before."""
        return int(llama_cpp.llama_sampler_sample(self._chain, self._context, -1))

    def __enter__(self) -> Sampler:
        return self

    def __exit__(self, *_: object) -> None:
        llama_cpp.llama_sampler_free(self._chain)

    def _add(self, sampler: Any) -> None:
        llama_cpp.llama_sampler_chain_add(self._chain, sampler)
