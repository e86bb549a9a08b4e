"""Sentence embeddings in their process: all-MiniLM-L6-v2, int8, on ONNX Runtime.

Source: Reimers and Gurevych 2019 (Sentence-BERT); mean pooling over the tokens and L2
normalisation are the model's own recipe.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from tokenizers import Encoding, Tokenizer

from core.errors import ModelLoadError
from engines.memory import give_back
from engines.service import Call, Service
from engines.wire import Head
from ingest.vectors import DIMENSION, Vectors
from models.provision import ensure_present

MAX_TOKENS = 256
"""The model was trained on 256 tokens; what is longer is cut."""

BATCH_TOKENS = 2048
"""Padded tokens in one batch: larger ones fall out of the second-level cache."""

KEPT_TOKENS = 64
"""The memory for a batch of this size, a question, is kept; that for documents, which is 170 MB
for each worker, is given back."""

NICENESS = 10
"""Questions come before documents."""

QUESTIONS = "questions"
DOCUMENTS = "documents"


class EncoderService(Service):
    """Questions and documents each have a thread, so that one does not wait for the other."""

    LANES: ClassVar = {
        "load": QUESTIONS,
        "question": QUESTIONS,
        "documents": DOCUMENTS,
        "count": DOCUMENTS,
    }

    def __init__(self, *, models_dir: str, workers: int | None) -> None:
        """Load nothing."""
        self._models_dir = Path(models_dir)
        self._workers = workers
        self._encoder: SentenceEncoder | None = None

    def enter(self, lane: str) -> None:
        """Let documents stand behind questions."""
        if lane == DOCUMENTS:
            stand_behind()

    def load(self, _: Call) -> None:
        """Load the model; raises ``ModelError``."""
        if self._encoder is None:
            self._encoder = SentenceEncoder(self._models_dir, workers=self._workers)
            give_back()

    def question(self, call: Call) -> tuple[Head, bytes]:
        """Return the vectors of ``texts`` as float32, at once."""
        return {}, self._loaded().encode(call.arguments["texts"]).tobytes()

    def documents(self, call: Call) -> tuple[Head, bytes]:
        """Return the vectors of ``texts`` as float32, behind questions."""
        return {}, self._loaded().encode(call.arguments["texts"], call.progress).tobytes()

    def count(self, call: Call) -> Head:
        """Return ``tokens``: the length of each of ``texts``."""
        return {"tokens": self._loaded().count_tokens(call.arguments["texts"])}

    def _loaded(self) -> SentenceEncoder:
        if self._encoder is None:
            raise ModelLoadError("The embedder is not loaded.")
        return self._encoder


class SentenceEncoder:
    """Turns texts into unit vectors of ``DIMENSION`` float32 values. Blocking and thread-safe.

    Each worker runs batches of its own on one thread: for a model this small that uses two cores
    better than one batch split over both.
    """

    def __init__(self, models_dir: Path, *, workers: int | None = None) -> None:
        """Load the model from ``models_dir``; raises ``ModelError``."""
        self.workers = workers or default_workers()
        self._network = _load(models_dir)
        self._pool = ThreadPoolExecutor(
            self.workers, thread_name_prefix="embed", initializer=stand_behind
        )

    def encode(
        self, texts: Sequence[str], on_progress: Callable[[], None] = lambda: None
    ) -> Vectors:
        """Return an array of shape ``(len(texts), DIMENSION)``, rows in the given order.

        Texts of like length share a batch, so little is padded. ``on_progress`` is called after
        each batch.
        """
        vectors = np.empty((len(texts), DIMENSION), dtype=np.float32)
        if not texts:
            return vectors
        encodings = self._network.tokenizer.encode_batch(list(texts))
        lengths = np.array([len(encoding.ids) for encoding in encodings])
        order = np.argsort(lengths, kind="stable")

        def run(rows: npt.NDArray[np.intp]) -> None:
            vectors[rows] = self._run([encodings[row] for row in rows])

        batches = list(_batches(order, lengths))
        if len(batches) == 1:
            run(batches[0])
        else:
            # The longest batches first, so that the workers finish together.
            for _ in self._pool.map(run, reversed(batches)):
                on_progress()
        if lengths.sum() > KEPT_TOKENS:
            # A run's result lies in the memory that it took, so only a later run can give it back.
            self._run([encodings[order[0]]], give_back=True)
            give_back()
        return vectors

    def encode_padded(self, texts: Sequence[str]) -> Vectors:
        """Return the same as ``encode`` from one batch padded to the longest text.

        This is how the model is usually called; the bench compares with it.
        """
        return self._run(self._network.tokenizer.encode_batch(list(texts)))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return each text's length in this model's tokens, without the two special ones."""
        return [
            len(encoding.ids)
            for encoding in self._network.tokenizer.encode_batch(
                list(texts), add_special_tokens=False
            )
        ]

    def close(self) -> None:
        """Stop the worker threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, encodings: Sequence[Encoding], *, give_back: bool = False) -> Vectors:
        network = self._network
        width = max(len(encoding.ids) for encoding in encodings)
        ids = np.zeros((len(encodings), width), dtype=np.int64)
        mask = np.zeros((len(encodings), width), dtype=np.int64)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        known = {name: value for name, value in feed.items() if name in network.inputs}
        options = ort.RunOptions()
        if give_back:  # what other calls use at the moment stays
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        hidden = network.session.run(None, known, options)[0]
        weights = mask[:, :, None].astype(np.float32)
        pooled = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        unit: Vectors = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return unit.astype(np.float32, copy=False)


def default_workers() -> int:
    """Return how many batches run at once."""
    return min(4, os.cpu_count() or 1)


def stand_behind() -> None:
    """Let everything else on this computer go before this thread."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


@dataclass(frozen=True)
class _Network:
    tokenizer: Tokenizer
    session: ort.InferenceSession
    inputs: frozenset[str]


def _session_options() -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    # Spinning threads would take a core from the language model.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _batches(
    order: npt.NDArray[np.intp], lengths: npt.NDArray[np.intp]
) -> Iterator[npt.NDArray[np.intp]]:
    start = 0
    widest = 0
    for position, row in enumerate(order):
        widest = max(widest, int(lengths[row]))
        if position > start and widest * (position - start + 1) > BATCH_TOKENS:
            yield order[start:position]
            start, widest = position, int(lengths[row])
    yield order[start:]


def _load(models_dir: Path) -> _Network:
    model = ensure_present("embedder", models_dir)
    try:
        tokenizer = Tokenizer.from_file(str(model.parent / "tokenizer.json"))
        session = ort.InferenceSession(
            str(model), _session_options(), providers=["CPUExecutionProvider"]
        )
    except Exception as exc:  # both libraries raise bare Exception subclasses of their own
        raise ModelLoadError(f"The embedder's file {model} cannot be loaded: {exc}") from exc
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return _Network(tokenizer, session, frozenset(node.name for node in session.get_inputs()))
