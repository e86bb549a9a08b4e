"""A model's tokenizer and chat template, loaded without its weights.

It is a load of its own (14 MB for the tiny model, 46 MB for the others, less than a second) so
that counting needs no loaded model, never waits for the worker and outlives a change of models.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import llama_cpp

from chains.llm.native import check_backend, load_model
from core.errors import EngineNotReadyError, ModelLoadError


class Vocabulary:
    """Text to tokens and back. Every method may be called from any thread."""

    def __init__(self, path: Path) -> None:
        """Read the vocabulary of the GGUF file at ``path``; ``ModelLoadError`` when it is none."""
        check_backend()
        self._lock = threading.Lock()
        self._model = load_model(path, vocab_only=True)
        self._vocab = llama_cpp.llama_model_get_vocab(self._model)
        template = llama_cpp.llama_model_chat_template(self._model, None)
        if not template:
            self.close()
            raise ModelLoadError(
                f"The model file {path.name} carries no chat template, so it cannot hold a chat: "
                "use an instruction-tuned model."
            )
        self.template = template.decode("utf-8")
        self.bos_text = self._text(llama_cpp.llama_vocab_bos(self._vocab))
        self.eos_text = self._text(llama_cpp.llama_vocab_eos(self._vocab))
        self.leading = (
            (int(llama_cpp.llama_vocab_bos(self._vocab)),)
            if llama_cpp.llama_vocab_get_add_bos(self._vocab)
            else ()
        )

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Return the tokens of ``text``.

        Only with ``special`` do texts such as ``<|im_end|>`` become control tokens: nothing that
        a person or a document wrote may end a message.
        """
        data = text.encode("utf-8", errors="replace")
        capacity = len(data) + 2
        tokens = (ctypes.c_int32 * capacity)()
        with self._lock:
            if self._model is None:
                raise EngineNotReadyError("The model has been shut down.")
            count = llama_cpp.llama_tokenize(
                self._vocab, data, len(data), tokens, capacity, False, special
            )
        return list(tokens[:count])

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text."""
        return [len(self.encode(text)) for text in texts]

    def piece(self, token: int) -> bytes:
        """Return the bytes that ``token`` adds to an answer; a control token adds none."""
        size = 64
        buffer = ctypes.create_string_buffer(size)
        with self._lock:
            if self._model is None:
                raise EngineNotReadyError("The model has been shut down.")
            length = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, size, 0, False)
            if length < 0:
                size = -length
                buffer = ctypes.create_string_buffer(size)
                length = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, size, 0, False)
        return buffer.raw[:length]

    def close(self) -> None:
        """Free the memory; whoever counts afterwards gets ``EngineNotReadyError``."""
        with self._lock:
            if self._model is not None:
                llama_cpp.llama_model_free(self._model)
                self._model = None

    def _text(self, token: int) -> str:
        if token < 0:
            return ""
        return str(llama_cpp.llama_vocab_get_text(self._vocab, token).decode("utf-8"))


class Vocabularies:
    """The vocabularies in use, each loaded once, when it is first asked for."""

    def __init__(self, locate: Callable[[str], Path]) -> None:
        """``locate`` returns a profile's model file or raises ``ModelError``."""
        self._locate = locate
        self._lock = threading.Lock()
        self._loaded: dict[str, Vocabulary] = {}

    def get(self, profile: str) -> Vocabulary:
        """Return the profile's vocabulary; blocks while it is loaded. Raises ``ModelError``."""
        with self._lock:
            if profile not in self._loaded:
                self._loaded[profile] = Vocabulary(self._locate(profile))
            return self._loaded[profile]

    def close(self) -> None:
        """Free all of them."""
        with self._lock:
            for vocabulary in self._loaded.values():
                vocabulary.close()
            self._loaded.clear()
