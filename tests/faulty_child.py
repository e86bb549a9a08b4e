"""An engine's process with faults of the engines' libraries that a test switches on and off.

``python faulty_child.py FAULTS_FILE FD PARENT MODULE:CLASS``: ``engines.child``, and the faults
that the file names; see ``faulty_server.py``.
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

_FAILED, _OUT_OF_MEMORY = -3, -2
_SIGNALS = {"killed": signal.SIGKILL, "stopped": signal.SIGSTOP}
POISON = "arsenic"
""""embedder": "poison": a text with this word ends the process."""


def active(part: str) -> str:
    """Return the fault of ``part`` after it has hung as long as it is to hang; mostly empty."""
    while True:
        try:
            told = json.loads(Path(os.environ["FAULTS_FILE"]).read_text())
            kind = str(told.get(part, ""))
        except (OSError, ValueError):
            kind = ""
        if kind != "hang":
            return kind
        time.sleep(0.05)


def fail(part: str) -> None:
    kind = active(part)
    if kind in _SIGNALS:
        suffer(kind)
    elif kind:
        raise RuntimeError(f"injected: {part}")


def suffer(kind: str) -> None:
    """Let this process be killed, or stopped."""
    os.kill(os.getpid(), _SIGNALS[kind])


def infect_llm() -> None:
    import llama_cpp

    decode, new_context = llama_cpp.llama_decode, llama_cpp.llama_init_from_model

    def faulty_decode(*arguments: Any) -> Any:
        kind = active("llm")
        if kind in _SIGNALS:
            if arguments[1].n_tokens == 1:  # it writes: amid an answer
                suffer(kind)
        elif kind:
            return _OUT_OF_MEMORY if kind == "memory" else _FAILED
        return decode(*arguments)

    def faulty_context(*arguments: Any) -> Any:
        return None if active("llm") == "memory" else new_context(*arguments)

    llama_cpp.llama_decode = faulty_decode
    llama_cpp.llama_init_from_model = faulty_context


def infect_embedder() -> None:
    """Its files are gone, or a text ends it; the real absence has a test of its own."""
    from core.errors import ModelMissingError
    from ingest.encoder import EncoderService, SentenceEncoder

    loaded = EncoderService._loaded

    encode = SentenceEncoder.encode

    def deadly(self: SentenceEncoder, texts: Any, *arguments: Any) -> Any:
        if active("embedder") == "poison" and any(POISON in text for text in texts):
            os.kill(os.getpid(), signal.SIGSEGV)
        return encode(self, texts, *arguments)

    SentenceEncoder.encode = deadly  # type: ignore[method-assign]

    def faulty(self: EncoderService) -> SentenceEncoder:
        if active("embedder") not in ("", "poison"):
            raise ModelMissingError(
                "The embedder is missing; 'xoe models pull embedder' fetches it."
            )
        return loaded(self)

    EncoderService._loaded = faulty  # type: ignore[method-assign]


def infect_ears() -> None:
    from voice.stt.decoder import WhisperDecoder

    transcribe = WhisperDecoder.transcribe

    def faulty(self: WhisperDecoder, *arguments: Any) -> Any:
        fail("stt" if self._name == "base" else "stt-light")
        return transcribe(self, *arguments)

    WhisperDecoder.transcribe = faulty  # type: ignore[method-assign]


def infect_voice(part: str, service: Any) -> None:
    speech = service.speech

    def faulty(self: Any, *arguments: Any) -> Iterator[Any]:
        if active(part) not in _SIGNALS:
            fail(part)
        for samples in speech(self, *arguments):
            yield samples
            fail(part)  # amid the text

    service.speech = faulty


def infect_piper() -> None:
    from voice.tts.piper import PiperService

    infect_voice("tts", PiperService)


def infect_espeak() -> None:
    from voice.tts.espeak import EspeakService

    infect_voice("tts-spare", EspeakService)


INFECTIONS = {
    "chains.llm.service:LlmService": infect_llm,
    "ingest.encoder:EncoderService": infect_embedder,
    "voice.stt.service:WhisperService": infect_ears,
    "voice.tts.piper:PiperService": infect_piper,
    "voice.tts.espeak:EspeakService": infect_espeak,
}


if __name__ == "__main__":
    from engines.child import main

    os.environ["FAULTS_FILE"] = sys.argv[1]
    INFECTIONS.get(sys.argv[4], lambda: None)()
    main(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
