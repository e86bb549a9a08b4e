"""Is this speech? Silero VAD on ONNX Runtime, one frame of 32 ms at a time.

The model is the file that faster-whisper ships (Silero VAD 6, MIT): it takes 512 samples behind
the 64 before them, and hands the state of its LSTM (``h``, ``c``) back and forth.
Source: https://github.com/snakers4/silero-vad and ``faster_whisper/vad.py``.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from voice.audio import FRAME_SAMPLES, Samples
from xoe.errors import ModelLoadError, ModelMissingError

CONTEXT_SAMPLES = 64
_STATE_SHAPE = (1, 1, 128)
_FILE = "silero_vad_v6.onnx"


def default_path() -> Path:
    """Return where faster-whisper keeps the model; nothing is imported."""
    spec = importlib.util.find_spec("faster_whisper")
    places = spec.submodule_search_locations if spec else None
    return Path(places[0] if places else "faster_whisper") / "assets" / _FILE


class SileroVad:
    """The loaded model; it holds no state, so one serves any number of sessions and threads."""

    def __init__(self, session: ort.InferenceSession) -> None:
        """Use ``load`` instead."""
        self._session = session

    @classmethod
    def load(cls, path: Path | None = None) -> SileroVad:
        """Load the model, by default from faster-whisper's package.

        Raises ``ModelMissingError`` or ``ModelLoadError``.
        """
        path = path or default_path()
        if not path.is_file():
            raise ModelMissingError(
                f"The speech detector's file {path} is missing; installing faster-whisper again "
                "brings it back. Typing works without it."
            )
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        try:
            session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # ONNX Runtime's errors share no base but Exception
            raise ModelLoadError(
                f"The speech detector's file {path} cannot be loaded: {exc}"
            ) from exc
        return cls(session)

    def session(self) -> VadSession:
        """Return the state of one stream of sound."""
        return VadSession(self._session)


class VadSession:
    """One stream of sound. Not thread-safe; about 0.2 ms a frame."""

    def __init__(self, session: ort.InferenceSession) -> None:
        """Use ``SileroVad.session`` instead."""
        self._session = session
        self._input: Samples = np.zeros((1, CONTEXT_SAMPLES + FRAME_SAMPLES), dtype=np.float32)
        self._h: npt.NDArray[np.float32] = np.zeros(_STATE_SHAPE, dtype=np.float32)
        self._c = self._h

    def probability(self, frame: Samples) -> float:
        """Return how likely ``frame`` (512 samples, 16 kHz) is speech, 0 … 1.

        Raises ``ValueError`` for a frame of another length. What is no number counts as silence.
        """
        if frame.shape != (FRAME_SAMPLES,):
            raise ValueError(f"a frame has {FRAME_SAMPLES} samples, not {frame.shape}")
        self._input[0, :CONTEXT_SAMPLES] = self._input[0, -CONTEXT_SAMPLES:]
        self._input[0, CONTEXT_SAMPLES:] = np.nan_to_num(np.clip(frame, -1.0, 1.0))
        feed = {"input": self._input, "h": self._h, "c": self._c}
        probability, self._h, self._c = self._session.run(None, feed)
        return float(np.asarray(probability).reshape(-1)[0])

    def reset(self) -> None:
        """Forget what was heard."""
        self._input[:] = 0
        self._h = self._c = np.zeros(_STATE_SHAPE, dtype=np.float32)
