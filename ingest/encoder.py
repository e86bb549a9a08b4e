"""Texts read in their process: answerai-colbert-small-v1, int8, on ONNX Runtime.

One reading of a text gives a vector for each of its tokens, which rank what was found
(``ingest.late_interaction``), and their mean, by which it is found. The recipe is the model's own
(Clavié 2024; Khattab and Zaharia 2020): a mark after ``[CLS]`` tells questions from documents, a
question is filled up with ``[MASK]``, punctuation of documents is left out, each vector has length
one. The file is the model without its last linear layer, so a vector has 384 values, not 96.
"""

from __future__ import annotations

import os
import string
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
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
from ingest.late_interaction import max_similarities, pack_tokens
from ingest.vectors import DIMENSION, Encoded, Vectors
from models.provision import ensure_present

MAX_TOKENS = 300
"""Of a document, as in training; what is longer is cut."""

QUESTION_MARK = "[unused0]"
DOCUMENT_MARK = "[unused1]"

BATCH_TOKENS = 2048
"""Padded tokens in one batch: larger ones fall out of the second-level cache."""

KEPT_TOKENS = 64
"""The memory for a batch of this size, a question, is kept; that for documents, which is 170 MB
for each worker, is given back."""

NICENESS = 19
"""All who ask come before documents: a thread of the model gets 68 times the share of this one."""

QUESTIONS = "questions"
DOCUMENTS = "documents"


class EncoderService(Service):
    """Questions and documents each have a thread, so that one does not wait for the other."""

    LANES: ClassVar = {
        "load": QUESTIONS,
        "question": QUESTIONS,
        "rank": QUESTIONS,
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
        """Return the vector of ``text`` and then those of its tokens as float32, at once."""
        return {}, self._loaded().encode_question(call.arguments["text"]).tobytes()

    def rank(self, call: Call) -> Head:
        """Return ``scores`` of the ``spans``: of packed texts whose ``sizes`` in bytes are given.

        The payload is the question's vectors, ``question`` of them, and the texts.
        """
        asked = call.arguments["question"] * DIMENSION * 4
        question = np.frombuffer(call.payload[:asked], dtype=np.float32).reshape(-1, DIMENSION)
        ends = np.cumsum([asked, *call.arguments["sizes"]]).tolist()
        packed = [call.payload[start:end] for start, end in pairwise(ends)]
        return {"scores": max_similarities(question, packed, call.arguments["spans"])}

    def documents(self, call: Call) -> tuple[Head, bytes]:
        """Return the vectors of ``texts`` as float32 and their packed tokens, behind questions.

        ``sizes``: the bytes of each text's tokens, which come after all vectors.
        """
        read = self._loaded().encode(call.arguments["texts"], call.progress)
        sizes = [len(packed) for packed in read.tokens]
        return {"sizes": sizes}, b"".join((read.vectors.tobytes(), *read.tokens))

    def count(self, call: Call) -> Head:
        """Return ``tokens``: the length of each of ``texts``."""
        return {"tokens": self._loaded().count_tokens(call.arguments["texts"])}

    def _loaded(self) -> SentenceEncoder:
        if self._encoder is None:
            raise ModelLoadError("The embedder is not loaded.")
        return self._encoder


class SentenceEncoder:
    """Turns texts into vectors of ``DIMENSION`` float32 values. Blocking and thread-safe.

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

    def encode_question(self, text: str) -> Vectors:
        """Return the vector of a question, and after it one for each token: ``(1 + n, …)``."""
        network = self._network
        ids = network.marked(network.tokenizer.encode(text), network.question_mark)
        tokens = _unit(self._run([ids])[0])
        return np.concatenate((_unit(tokens.mean(axis=0, keepdims=True)), tokens))

    def encode(
        self, texts: Sequence[str], on_progress: Callable[[], None] = lambda: None
    ) -> Encoded:
        """Read texts of documents; the vectors' shape is ``(len(texts), DIMENSION)``.

        Texts of like length share a batch, so little is padded. ``on_progress`` is called after
        each batch.
        """
        made = Encoded(np.empty((len(texts), DIMENSION), dtype=np.float32), [b""] * len(texts))
        if not texts:
            return made
        network = self._network
        encodings = network.tokenizer.encode_batch(list(texts))
        ids = [network.marked(encoding, network.document_mark) for encoding in encodings]
        lengths = np.array([len(row) for row in ids])
        order = np.argsort(lengths, kind="stable")

        def run(rows: npt.NDArray[np.intp]) -> None:
            for row, hidden in zip(rows, self._run([ids[row] for row in rows]), strict=True):
                tokens = _unit(hidden[: lengths[row]])
                made.vectors[row] = _unit(tokens.mean(axis=0, keepdims=True))[0]
                kept = network.telling(ids[row])
                starts = [0, 0, *(start for start, _ in encodings[row].offsets[1:])]
                made.tokens[row] = pack_tokens([starts[k] for k in kept], tokens[kept])

        batches = list(_batches(order, lengths))
        if len(batches) == 1:
            run(batches[0])
        else:
            # The longest batches first, so that the workers finish together.
            for _ in self._pool.map(run, reversed(batches)):
                on_progress()
        if lengths.sum() > KEPT_TOKENS:
            # A run's result lies in the memory that it took, so only a later run can give it back.
            self._run([ids[order[0]]], give_back=True)
            give_back()
        return made

    def encode_padded(self, texts: Sequence[str]) -> Vectors:
        """Return the vectors of ``encode`` from one batch padded to the longest text.

        This is how a model is usually called; the bench compares with it.
        """
        network = self._network
        encodings = network.tokenizer.encode_batch(list(texts))
        ids = [network.marked(encoding, network.document_mark) for encoding in encodings]
        found = zip(ids, self._run(ids), strict=True)
        return _unit(np.stack([_unit(hidden[: len(row)]).mean(axis=0) for row, hidden in found]))

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

    def _run(self, rows: Sequence[Sequence[int]], *, give_back: bool = False) -> Vectors:
        """Return the last layer, shape ``(rows, tokens of the longest, DIMENSION)``."""
        network = self._network
        width = max(len(row) for row in rows)
        ids = np.zeros((len(rows), width), dtype=np.int64)
        mask = np.zeros((len(rows), width), dtype=np.int64)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = row
            mask[number, : len(row)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        options = ort.RunOptions()
        if give_back:  # what other calls use at the moment stays
            options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        hidden: Vectors = network.session.run([network.output], feed, options)[0]
        return hidden


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
    output: str
    question_mark: int
    document_mark: int
    punctuation: frozenset[int]

    @staticmethod
    def marked(encoding: Encoding, mark: int) -> list[int]:
        """Return a text's tokens with ``mark`` after the first."""
        ids: list[int] = encoding.ids
        return [ids[0], mark, *ids[1:]]

    def telling(self, ids: Sequence[int]) -> list[int]:
        """Return the places of the tokens that are no punctuation."""
        return [place for place, token in enumerate(ids) if token not in self.punctuation]


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
    tokenizer.enable_truncation(MAX_TOKENS - 1)
    number = tokenizer.get_vocab().__getitem__
    return _Network(
        tokenizer=tokenizer,
        session=session,
        output=session.get_outputs()[0].name,
        question_mark=number(QUESTION_MARK),
        document_mark=number(DOCUMENT_MARK),
        punctuation=frozenset(map(number, string.punctuation)),
    )


def _unit(vectors: Vectors) -> Vectors:
    """Return rows of length one."""
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit.astype(np.float32, copy=False)
