"""``xoe``, with faults of its engines that a test switches on and off while it runs.

The faults are those that cannot be had from outside. Each is put where our code ends and an
engine's library begins; everything above it is the real thing. The file named by
``FAULTS_FILE`` holds ``{"llm": "error"}`` and the like.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FILE = Path(os.environ["FAULTS_FILE"])
_FAILED, _OUT_OF_MEMORY = -3, -2


def active(part: str) -> str:
    """Return the fault of ``part`` after it has hung as long as it is to hang; mostly empty."""
    while True:
        try:
            kind = str(json.loads(_FILE.read_text()).get(part, ""))
        except (OSError, ValueError):
            kind = ""
        if kind != "hang":
            return kind
        time.sleep(0.05)


def fail(part: str) -> None:
    if active(part):
        raise RuntimeError(f"injected: {part}")


def infect_llm() -> None:
    import llama_cpp

    decode, new_context = llama_cpp.llama_decode, llama_cpp.llama_init_from_model

    def faulty_decode(*arguments: Any) -> Any:
        kind = active("llm")
        if kind:
            return _OUT_OF_MEMORY if kind == "memory" else _FAILED
        return decode(*arguments)

    def faulty_context(*arguments: Any) -> Any:
        return None if active("llm") == "memory" else new_context(*arguments)

    llama_cpp.llama_decode = faulty_decode
    llama_cpp.llama_init_from_model = faulty_context


def infect_retrieval() -> None:
    from chains.retriever import HybridSearch

    search = HybridSearch.search

    def faulty(self: HybridSearch, *arguments: Any, **options: Any) -> Any:
        fail("retrieval")
        return search(self, *arguments, **options)

    HybridSearch.search = faulty  # type: ignore[method-assign]


def infect_embedder() -> None:
    """Its files are gone; the real absence, from the start on, has a test of its own."""
    from ingest.embedder import Embedder
    from xoe.errors import ModelMissingError

    loaded = Embedder._loaded

    def faulty(self: Embedder) -> Any:
        if active("embedder"):
            raise ModelMissingError(
                "The embedder is missing; 'xoe models pull embedder' fetches it."
            )
        return loaded(self)

    Embedder._loaded = faulty  # type: ignore[method-assign]


def infect_ears() -> None:
    from voice.stt.decoder import WhisperDecoder

    transcribe = WhisperDecoder.transcribe

    def faulty(self: WhisperDecoder, *arguments: Any) -> Any:
        fail("stt" if self._name == "base" else "stt-light")
        return transcribe(self, *arguments)

    WhisperDecoder.transcribe = faulty  # type: ignore[method-assign]


def infect_voices() -> None:
    from voice.tts.espeak import EspeakSynthesizer
    from voice.tts.piper import PiperSynthesizer

    for part, engine in (("tts", PiperSynthesizer), ("tts-spare", EspeakSynthesizer)):
        infect_voice(part, engine)


def infect_voice(part: str, engine: Any) -> None:
    speak = engine._speak

    def faulty(self: Any, job: Any) -> Iterator[Any]:
        fail(part)
        yield from speak(self, job)

    engine._speak = faulty


def infect_deletion() -> None:
    """The process ends when it comes to a deleted chat's document."""
    from xoe.catalog import Catalog

    delete_named = Catalog.delete_named

    async def faulty(self: Catalog, *arguments: Any) -> None:
        if active("deletion"):
            os.kill(os.getpid(), signal.SIGKILL)
        await delete_named(self, *arguments)

    Catalog.delete_named = faulty  # type: ignore[method-assign]


if __name__ == "__main__":
    infect_llm()
    infect_deletion()
    infect_retrieval()
    infect_embedder()
    infect_ears()
    infect_voices()
    from xoe.cli import main

    sys.exit(main())
