"""Sentence embeddings: all-MiniLM-L6-v2, int8, on ONNX Runtime, behind LangChain's interface.

Source: Reimers and Gurevych 2019 (Sentence-BERT); mean pooling over the tokens and L2
normalisation are the model's own recipe.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from langchain_core.embeddings import Embeddings
from tokenizers import Encoding, Tokenizer

from models.manifest import load_manifest
from models.provision import ensure_present
from xoe.errors import ModelError, ModelLoadError

Vectors = npt.NDArray[np.float32]

DIMENSION = 384
MAX_TOKENS = 256
"""The model was trained on 256 tokens; what is longer is cut."""

BATCH_TOKENS = 2048
"""Padded tokens in one batch: larger ones fall out of the second-level cache."""

KEPT_TOKENS = 64
"""The memory for a batch of this size, a question, is kept; that for documents, which is 170 MB
for each worker, is given back."""


RETRY_S = 5.0
"""Files that were missing or damaged are looked at again after so long."""


@dataclass(frozen=True)
class _Network:
    tokenizer: Tokenizer
    session: ort.InferenceSession
    inputs: frozenset[str]


class Embedder(Embeddings):
    """Turns texts into unit vectors of ``DIMENSION`` float32 values.

    Cheap to make: the model is loaded by ``load`` or with the first text, and where that fails
    every method raises ``ModelError`` until its files are there. Thread-safe. Each worker runs
    batches of its own on one thread: for a model this small that uses two cores better than one
    batch split over both.
    """

    def __init__(
        self,
        models_dir: Path,
        *,
        workers: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the model from ``models_dir``; nothing is loaded. ``clock`` gives seconds."""
        self.workers = workers or min(4, os.cpu_count() or 1)
        self.fingerprint = _fingerprint()
        self._models_dir = models_dir
        self._clock = clock
        self._loading = threading.Lock()  # guards what follows
        self._network: _Network | None = None
        self._failure: ModelError | None = None
        self._failed_at = 0.0
        self._pool = ThreadPoolExecutor(self.workers, thread_name_prefix="embed")

    def load(self) -> None:
        """Load the model, unless it is loaded. Raises ``ModelError``."""
        self._loaded()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return one unit vector for each text, in the given order."""
        vectors: list[list[float]] = self.encode(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Return the unit vector of a question."""
        vector: list[float] = self.encode([text])[0].tolist()
        return vector

    def encode(
        self,
        texts: Sequence[str],
    ) -> Vectors:
        """Return an array of shape ``(len(texts), DIMENSION)``, rows in the given order.

        Texts of like length share a batch, so little is padded.
        """
        vectors = np.empty((len(texts), DIMENSION), dtype=np.float32)
        if not texts:
            return vectors
        encodings = self._loaded().tokenizer.encode_batch(list(texts))
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
                pass
        if lengths.sum() > KEPT_TOKENS:
            # A run's result lies in the memory that it took, so only a later run can give it back.
            self._run([encodings[order[0]]], give_back=True)
            _trim_heap()
        return vectors

    def encode_padded(self, texts: Sequence[str]) -> Vectors:
        """Return the same as ``encode`` from one batch padded to the longest text.

        This is how the model is usually called; the bench compares with it.
        """
        return self._run(self._loaded().tokenizer.encode_batch(list(texts)))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return each text's length in this model's tokens, without the two special ones."""
        return [
            len(encoding.ids)
            for encoding in self._loaded().tokenizer.encode_batch(
                list(texts), add_special_tokens=False
            )
        ]

    def close(self) -> None:
        """Stop the worker threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _loaded(self) -> _Network:
        network = self._network
        if network is not None:
            return network
        with self._loading:
            if self._network is None:
                if self._failure is not None and self._clock() - self._failed_at < RETRY_S:
                    raise self._failure
                try:
                    self._network = _load(self._models_dir)
                except ModelError as exc:
                    self._failure, self._failed_at = exc, self._clock()
                    raise
            return self._network

    def _run(self, encodings: Sequence[Encoding], *, give_back: bool = False) -> Vectors:
        network = self._loaded()
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


def _trim_heap() -> None:
    """Let the C library return what was freed to the system, where it can (glibc)."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


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


def _fingerprint() -> str:
    """Return what names the model's files, whether or not they are there."""
    files = {file.path: file.sha256 for file in load_manifest().entry("embedder").files}
    digest = hashlib.sha256()
    for name in ("model.onnx", "tokenizer.json"):
        digest.update(bytes.fromhex(files[name]))
    return digest.hexdigest()
