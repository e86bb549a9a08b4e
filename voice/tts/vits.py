"""Running a voice's graph, whole or in parts, on ONNX Runtime."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import structlog

from voice.tts.graph import CutVoice, UncuttableError, cut
from voice.tts.parts import CheckedParts, load_parts, save_parts
from voice.tts.synthesizer import Samples
from voice.tts.windows import decoder_windows, next_flow_stop, snr_db

log = structlog.get_logger(__name__)

Feed = Mapping[str, npt.NDArray[Any]]

MIN_SNR_DB = 60.0
"""A difference this small cannot be heard; rounding alone leaves more than 100 dB."""


class Graph(Protocol):
    """A voice that can be run."""

    windowed: bool
    """Whether the sound comes in windows rather than all at once."""

    def run(self, feed: Feed, options: ort.RunOptions | None = None) -> Iterator[Samples]:
        """Yield the sound for one sentence, in order; setting ``options.terminate`` ends it."""
        ...


class WholeGraph:
    """The voice as its publisher made it: all of a sentence, then its sound."""

    windowed = False

    def __init__(self, model: str | bytes, threads: int) -> None:
        """Load the model, a path or its bytes; raises what ONNX Runtime raises."""
        self._session = _session(model, threads)

    def run(self, feed: Feed, options: ort.RunOptions | None = None) -> Iterator[Samples]:
        """Yield the whole sentence."""
        yield self._session.run(None, dict(feed), options)[0].reshape(-1)


class PartedGraph:
    """The voice in parts: the first window of sound needs a part of the work only."""

    windowed = True

    def __init__(self, parts: CutVoice, threads: int) -> None:
        """Load the parts; raises what ONNX Runtime raises."""
        self._layout = parts.layout
        self._encoder = _session(parts.encoder, threads)
        self._flow = None if parts.flow is None else _session(parts.flow, threads)
        self._decoder = _session(parts.decoder, threads)
        self._encoder_outputs = [node.name for node in self._encoder.get_outputs()]

    def run(self, feed: Feed, options: ort.RunOptions | None = None) -> Iterator[Samples]:
        """Yield the sentence in windows."""
        known, frames = self._encode(feed, options)
        hop, context = self._layout.hop_samples, self._layout.decoder_context
        latent, done = self._start(known)
        for start, stop in decoder_windows(frames):
            needed = min(frames, stop + context)
            while done < needed:
                latent, done = self._flow_on(known, latent, done, needed, frames, options)
            left = max(0, start - context)
            known[self._layout.decoder_frames] = latent[:, :, left:needed]
            sound = self._run(self._decoder, known, options)
            yield sound.reshape(-1)[(start - left) * hop : (stop - left) * hop]

    def run_whole(self, feed: Feed) -> Samples:
        """Return the sentence without windows, part after part; for the check."""
        known, _ = self._encode(feed, None)
        if self._flow is not None:
            known[self._layout.decoder_frames] = self._run(self._flow, known, None)
        return self._run(self._decoder, known, None).reshape(-1)

    def _encode(
        self, feed: Feed, options: ort.RunOptions | None
    ) -> tuple[dict[str, npt.NDArray[Any]], int]:
        results = self._encoder.run(None, dict(feed), options)
        known = dict(zip(self._encoder_outputs, results, strict=True))
        frames = max(array.shape[-1] for array in known.values() if array.ndim == 3)
        return known, frames

    def _start(self, known: dict[str, npt.NDArray[Any]]) -> tuple[npt.NDArray[Any], int]:
        """Return what the decoder can be given already, and how many frames that is."""
        if self._flow is not None:
            return np.empty((1, 0, 0), np.float32), 0
        latent = known[self._layout.decoder_frames]
        return latent, latent.shape[-1]

    def _flow_on(
        self,
        known: dict[str, npt.NDArray[Any]],
        latent: npt.NDArray[Any],
        done: int,
        needed: int,
        frames: int,
        options: ort.RunOptions | None,
    ) -> tuple[npt.NDArray[Any], int]:
        """Run the flow over the next frames and put them behind those that are there."""
        assert self._flow is not None  # noqa: S101 - for the type checker
        stop = next_flow_stop(done, needed, frames)
        left = max(0, done - self._layout.flow_context)
        right = min(frames, stop + self._layout.flow_context)
        window = {
            name: array[..., left:right] if array.ndim == 3 and array.shape[-1] == frames else array
            for name, array in known.items()
        }
        fresh = self._run(self._flow, window, options)[:, :, done - left : stop - left]
        return (np.concatenate((latent, fresh), axis=2) if done else fresh), stop

    @staticmethod
    def _run(
        session: ort.InferenceSession,
        known: Mapping[str, npt.NDArray[Any]],
        options: ort.RunOptions | None,
    ) -> npt.NDArray[np.float32]:
        feed = {node.name: np.ascontiguousarray(known[node.name]) for node in session.get_inputs()}
        result: npt.NDArray[np.float32] = session.run(None, feed, options)[0]
        return result


def open_graph(path: Path, sha256: str, *, cache: Path, threads: int, test: Feed) -> Graph:
    """Return the voice in parts where they are equal to the whole, else whole.

    ``test`` is a sentence without noise (both noise scales 0), on which the parts are compared
    with the whole when they have just been cut. Raises what ONNX Runtime raises for a file that
    is no model.
    """
    known = load_parts(cache, sha256)
    if known is not None:
        return PartedGraph(known.parts, threads)
    begun = time.perf_counter()
    whole = WholeGraph(str(path), threads)
    reference = next(whole.run(test))
    for with_flow in (True, False):
        try:
            parts = cut(path, with_flow=with_flow)
            graph = PartedGraph(parts, threads)
            checked = check(graph, parts, reference, test)
        except ImportError:
            log.warning("tts.uncut", reason="the onnx package is not installed")
            return whole
        except UncuttableError as exc:
            log.warning("tts.cut.failed", with_flow=with_flow, reason=str(exc))
            continue
        except ORT_ERRORS as exc:
            log.warning("tts.cut.refused", with_flow=with_flow, reason=str(exc))
            continue
        if min(checked.split_snr_db, checked.windowed_snr_db) >= MIN_SNR_DB:
            save_parts(cache, sha256, checked)
            log.info(
                "tts.cut",
                with_flow=parts.flow is not None,
                split_snr_db=round(checked.split_snr_db, 1),
                windowed_snr_db=round(checked.windowed_snr_db, 1),
                ms=round((time.perf_counter() - begun) * 1e3),
            )
            return graph
        log.warning(
            "tts.cut.unequal",
            with_flow=with_flow,
            split_snr_db=checked.split_snr_db,
            windowed_snr_db=checked.windowed_snr_db,
        )
    log.warning("tts.uncut", reason="no cut of it gives the same sound; it is used whole")
    return whole


def check(graph: PartedGraph, parts: CutVoice, reference: Samples, test: Feed) -> CheckedParts:
    """Compare the parts with ``reference``, the sound of the whole graph for ``test``."""
    return CheckedParts(
        parts,
        split_snr_db=snr_db(reference, graph.run_whole(test)),
        windowed_snr_db=snr_db(reference, np.concatenate(list(graph.run(test)))),
    )


def _ort_errors() -> tuple[type[Exception], ...]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile")
    more = ("NotImplemented", "RuntimeException", "EPFail", "EngineError", "NoModel")
    found = (getattr(state, name, None) for name in (*names, *more))
    return tuple(kind for kind in found if isinstance(kind, type))


ORT_ERRORS = _ort_errors()
"""ONNX Runtime's own errors: they share no base but ``Exception``."""


def _session(model: str | bytes, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A thread that waits by spinning takes a core from the language model.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors only: a terminated run is no news
    if isinstance(model, str):
        return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    # A session keeps the bytes that it was made from, 60 MB, for as long as it lives; not a path.
    with os.fdopen(os.memfd_create("voice"), "wb") as file:
        file.write(model)
        file.flush()
        return _session(f"/proc/self/fd/{file.fileno()}", threads)
