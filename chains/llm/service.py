"""The language model in its process: loads models, reads, writes, and counts tokens beside that."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Final

import structlog

from chains.llm.generator import Generator
from chains.llm.loader import ModelLoader
from chains.llm.native import stand_behind
from chains.llm.prompt import PromptEncoder
from chains.llm.request import ChatTurn, GenerationRequest, TextPiece
from chains.llm.runtime import Interrupted, RuntimeOptions
from core.errors import ModelLoadError, QuestionError
from engines.service import Call, Cancelled, Service
from engines.wire import Head

log = structlog.get_logger(__name__)

MODEL: Final = "model"
WORDS: Final = "words"
_LOADING_TOLD_S: Final = 1.0
_LOADING_MAX_S: Final = 120.0
"""A model that is not loaded after so long is taken for stuck."""


class LlmService(Service):
    """One model at a time; each profile's tokenizer stays.

    ``use``, ``warm``, ``generate``, ``score`` and ``unload`` follow each other; ``count`` and
    ``cost`` run beside them. An event ``{"loaded": profile}`` tells of each change of models.
    """

    LANES: ClassVar = {
        "use": MODEL,
        "warm": MODEL,
        "generate": MODEL,
        "score": MODEL,
        "unload": MODEL,
        "count": WORDS,
        "cost": WORDS,
    }

    def __init__(
        self, *, models_dir: str, context_tokens: int, threads: int, cache_bytes: int
    ) -> None:
        """Load nothing. ``cache_bytes``: for the saved states of each loaded model."""
        options = RuntimeOptions(context_tokens=context_tokens, threads=threads)
        self._loader = ModelLoader(Path(models_dir), options, cache_bytes=cache_bytes)
        self._generator: Generator | None = None
        self._loaded: str | None = None

    def enter(self, lane: str) -> None:
        """Let the model stand behind everything else on this computer."""
        if lane == MODEL:
            stand_behind()

    def use(self, call: Call) -> None:
        """Load ``profile``; raises ``ModelError``."""
        self._use(call)

    def warm(self, call: Call) -> Head:
        """Read the beginning ``messages`` with ``profile``; return ``tokens``."""
        generator = self._use(call)
        with _interruptible(generator, call):
            tokens = generator.warm(_turns(call.arguments["messages"]), call.progress)
        return {"tokens": tokens}

    def generate(self, call: Call) -> Head:
        """Answer; events ``{"text": …}``, the result is ``Finished`` as a dictionary.

        Raises ``QuestionError`` or ``ModelError``. After any other error the model is loaded
        afresh for the next request.
        """

        def emit(piece: TextPiece) -> None:
            call.emit({"text": piece.text})

        with self._serving(call) as (generator, request, queue_ms):
            finished = generator.generate(
                request,
                max_tokens=int(call.arguments["max_tokens"]),
                queue_ms=queue_ms,
                emit=emit,
                on_progress=call.progress,
            )
        return asdict(finished)

    def score(self, call: Call) -> Head:
        """Return ``Scored`` as a dictionary, for ``words``; raises as ``generate`` does."""
        with self._serving(call) as (generator, request, queue_ms):
            scored = generator.score(
                request,
                call.arguments["words"],
                queue_ms=queue_ms,
                on_progress=call.progress,
            )
        return asdict(scored)

    def unload(self, _: Call) -> None:
        """Free the model; the next request loads it again."""
        self._unload()

    def count(self, call: Call) -> Head:
        """Return ``tokens``: the number of each of ``texts``."""
        vocabulary = self._loader.vocabulary(str(call.arguments["profile"]))
        return {"tokens": vocabulary.count(call.arguments["texts"])}

    def cost(self, call: Call) -> Head:
        """Return what the profile's chat template adds: ``TemplateCost`` as a dictionary."""
        vocabulary = self._loader.vocabulary(str(call.arguments["profile"]))
        return asdict(PromptEncoder(vocabulary).cost())

    @contextlib.contextmanager
    def _serving(self, call: Call) -> Iterator[tuple[Generator, GenerationRequest, float]]:
        """Yield the model, the request, and the milliseconds that a change of models took."""
        asked: dict[str, Any] = call.arguments
        began = time.perf_counter()
        generator = self._use(call)
        request = GenerationRequest(
            messages=_turns(asked["messages"]),
            session_id=asked["session_id"],
            owner=asked["owner"],
            temperature=asked["temperature"],
            stop=tuple(asked["stop"]),
        )
        call.progress()
        try:
            with _interruptible(generator, call):
                yield generator, request, (time.perf_counter() - began) * 1e3
        except (Cancelled, QuestionError):
            raise
        except Exception:
            self._unload()
            raise

    def _use(self, call: Call) -> Generator:
        profile = str(call.arguments["profile"])
        if self._generator is not None and self._loaded == profile:
            return self._generator
        began = time.perf_counter()
        with _telling(call):
            try:
                self._loader.vocabulary(profile)  # a missing file does not cost the loaded model
                self._unload()
                self._generator = self._loader.load(profile)
            except OSError as exc:
                raise ModelLoadError(f"The model {profile} cannot be read: {exc}.") from exc
        self._loaded = profile
        call.emit({"loaded": profile})
        log.info("llm.loaded", profile=profile, ms=round((time.perf_counter() - began) * 1e3))
        return self._generator

    def _unload(self) -> None:
        generator, self._generator, self._loaded = self._generator, None, None
        if generator is not None:
            generator.close()


def _turns(messages: list[list[str]]) -> tuple[ChatTurn, ...]:
    return tuple(ChatTurn(role, text) for role, text in messages)  # type: ignore[arg-type]


@contextlib.contextmanager
def _interruptible(generator: Generator, call: Call) -> Iterator[None]:
    """Let the call's cancellation stop the model within a token."""
    generator.resume()
    call.on_cancel(generator.interrupt)
    try:
        yield
    except Interrupted as exc:
        raise Cancelled from exc


@contextlib.contextmanager
def _telling(call: Call) -> Iterator[None]:
    """Tell meanwhile that the work goes on: loading from a slow disk takes a while."""
    ended = threading.Event()

    def tell() -> None:
        until = time.monotonic() + _LOADING_MAX_S
        while not ended.wait(_LOADING_TOLD_S) and time.monotonic() < until:
            call.progress()

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
