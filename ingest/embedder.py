"""Sentence embeddings; the model runs in a process of its own.

A process rather than threads: a crash in ONNX Runtime costs the file that was read, and documents
stand behind questions there, so that a long ingest does not slow a chat's search.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog

from core.errors import DocumentError, ModelError, ModelLoadError
from engines.life import Recipe
from engines.process import EngineFault, EngineLost
from engines.wire import Frame, Head
from engines.worker import EngineReport, Worker
from ingest.late_interaction import Span
from ingest.vectors import DIMENSION, Encoded, EncodedQuestion, Vectors
from models.manifest import load_manifest

log = structlog.get_logger(__name__)

RETRY_S = 5.0
"""Files that were missing or damaged are looked at again after so long."""

STALL_S: Final = 30.0
"""A batch takes a second on a slow computer that is busy with questions."""

RANKING_S: Final = 1.0
"""A ranking takes hundredths of a second; after so long what was found is better unranked."""

PORTION_CHARS: Final = 250_000
"""Sent to the process at once: writing it as JSON takes a millisecond, in which nothing else of
ours runs."""


RECIPE: Final = b"mean of tokens; signs 2"
"""How vectors are made with the model: when it changes, those in the store are out of date."""


class Embedder:
    """Turns texts into unit vectors of ``DIMENSION`` float32 values.

    Cheap to make: the model is loaded by ``load`` or with the first text, and where that fails
    every method raises ``ModelError`` until its files are there. Thread-safe; every method blocks.
    What was under way when the process was lost is done once more; ``DocumentError`` says that the
    process was lost again with the same texts.
    """

    def __init__(
        self,
        models_dir: Path,
        *,
        workers: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the model from ``models_dir``; nothing is loaded. ``clock`` gives seconds."""
        self.fingerprint = _fingerprint()
        self._clock = clock
        self._loading = threading.Lock()  # guards what follows
        self._failure: ModelError | None = None
        self._failed_at = 0.0
        self._worker: Worker[Any] = Worker(
            Recipe(
                name="embedder",
                title="The embedder",
                service="ingest.encoder:EncoderService",
                options={"models_dir": str(models_dir), "workers": workers},
                lost=lambda reason: ModelLoadError(f"The embedder failed: {reason}."),
                closed=lambda: ModelLoadError("The embedder has been shut down."),
            ),
        )

    def begin(self) -> None:
        """Load the model behind the caller.

        Without it words are still found, and it is looked for again when it is needed.
        """
        self._worker.start().add_done_callback(_tell_missing)

    def load(self) -> None:
        """Load the model, unless it is loaded. Raises ``ModelError``."""
        with self._loading:
            if self._failure is not None and self._clock() - self._failed_at < RETRY_S:
                raise self._failure
            try:
                self._worker.start().result()
            except ModelError as exc:
                self._failure, self._failed_at = exc, self._clock()
                raise
            self._failure = None

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Read texts of documents; the vectors' shape is ``(len(texts), DIMENSION)``.

        Questions go before them.
        """
        vectors = [np.empty((0, DIMENSION), dtype=np.float32)]
        tokens: list[bytes] = []
        for part in _portions(texts):
            frame = self._read("documents", part)
            end = len(part) * DIMENSION * 4
            vectors.append(_vectors(frame.payload[:end]))
            for size in frame.head["sizes"]:
                tokens.append(frame.payload[end : end + size])
                end += size
        return Encoded(np.concatenate(vectors), tokens)

    def encode_question(self, text: str) -> EncodedQuestion:
        """Read a question: no document delays it."""
        vectors = _vectors(self._call("question", {"text": text}).payload)
        return EncodedQuestion(vectors[0], vectors[1:])

    def rank(
        self, question: EncodedQuestion, tokens: Sequence[bytes], spans: Sequence[Sequence[Span]]
    ) -> list[list[float]]:
        """Return the score of each span of each text, by late interaction.

        ``tokens``: of each text, as ``encode`` gave them. ``spans``: offsets in the text. Raises
        ``ModelError`` also where that takes longer than ``RANKING_S``.
        """
        arguments = {
            "question": len(question.tokens),
            "sizes": [len(packed) for packed in tokens],
            "spans": spans,
        }
        payload = b"".join((question.tokens.tobytes(), *tokens))
        self.load()
        ranking = self._worker.call("rank", arguments, payload, stall_s=STALL_S)
        try:
            scores: list[list[float]] = ranking.result(RANKING_S).head["scores"]
        except TimeoutError as exc:
            ranking.cancel()
            raise ModelLoadError("The embedder is too slow to rank what was found.") from exc
        return scores

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return each text's length in this model's tokens, without the two special ones."""
        counts: list[int] = []
        for part in _portions(texts):
            counts += self._read("count", part).head["tokens"]
        return counts

    def report(self) -> EngineReport:
        """Return how its process is."""
        return self._worker.report()

    def close(self) -> None:
        """End the process."""
        self._worker.stop()

    def _read(self, method: str, texts: list[str]) -> Frame:
        """Call a method with texts of documents, one of which may be what ends the process."""
        try:
            return self._call(method, {"texts": texts})
        except ModelLoadError as exc:
            if not isinstance(exc.__cause__, EngineLost | EngineFault):
                raise
            raise DocumentError(
                "The embedder failed on it twice, so it was left out. Everything else can be "
                "searched; saved in another format it may be read."
            ) from exc

    def _call(self, method: str, arguments: Head) -> Frame:
        self.load()
        try:
            return self._worker.call(method, arguments, stall_s=STALL_S).result()
        except ModelLoadError:  # it was lost; what it was lost for may have been another's text
            self.load()
            return self._worker.call(method, arguments, stall_s=STALL_S).result()


def _tell_missing(loading: Future[None]) -> None:
    if (failure := loading.exception()) is not None:
        log.error("embedder.missing", error=str(failure))


def _portions(texts: Sequence[str]) -> Iterator[list[str]]:
    """Yield ``texts`` in order, in lists of ``PORTION_CHARS`` at most, or of one text."""
    portion: list[str] = []
    chars = 0
    for text in texts:
        if portion and chars + len(text) > PORTION_CHARS:
            yield portion
            portion, chars = [], 0
        portion.append(text)
        chars += len(text)
    if portion:
        yield portion


def _vectors(payload: bytes) -> Vectors:
    # A copy: what comes from a frame cannot be written to.
    return np.frombuffer(payload, dtype=np.float32).reshape(-1, DIMENSION).copy()


def _fingerprint() -> str:
    """Return what names the model's files, whether or not they are there."""
    files = {file.path: file.sha256 for file in load_manifest().entry("embedder").files}
    digest = hashlib.sha256(RECIPE)
    for name in ("model.onnx", "tokenizer.json"):
        digest.update(bytes.fromhex(files[name]))
    return digest.hexdigest()
