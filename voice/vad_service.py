"""Silero VAD in its process, on ONNX Runtime; and recordings, which FFmpeg decodes there too.

The model is the file that faster-whisper ships (Silero VAD 6, MIT): it takes 512 samples behind
the 64 before them, and hands the state of its LSTM (``h``, ``c``) back and forth.
Source: https://github.com/snakers4/silero-vad and ``faster_whisper/vad.py``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import onnxruntime as ort

from core.errors import DocumentTooLargeError, ModelLoadError
from engines.service import Call, Service
from engines.wire import Head
from voice.audio import FRAME_SAMPLES, Samples
from voice.vad import CONTEXT_SAMPLES, HEARD_VALUES, STATE_VALUES

MAX_RECORDING_S: Final = 600.0
"""A small file can hold hours of silence; ten minutes of sound are 38 MB."""
_BLOCK_S: Final = 30.0
_STATE_SHAPE: Final = (1, 1, STATE_VALUES)


class VadService(Service):
    """It holds no state of any sound: what was heard comes with each call, and goes back with it.

    So a session outlives the process. Recordings have a thread of their own.
    """

    LANES: ClassVar = {"load": "frames", "frames": "frames", "recording": "recordings"}

    def __init__(self, *, path: str) -> None:
        """Load nothing; ``path``: the model's file."""
        self._path = path
        self._session: ort.InferenceSession | None = None

    def load(self, _: Call) -> None:
        """Load the model; raises ``ModelLoadError``."""
        if self._session is None:
            self._session = _open(self._path)

    def frames(self, call: Call) -> tuple[Head, bytes]:
        """Return the ``probabilities`` of speech of frames, and what was heard.

        The payload is float32: what was heard before, ``HEARD_VALUES``, then 512 samples a frame.
        """
        values = np.frombuffer(call.payload, np.float32)
        heard = values[:HEARD_VALUES].copy()
        frames = values[HEARD_VALUES:].reshape(-1, FRAME_SAMPLES)
        return {"probabilities": self._hear(heard, frames)}, heard.tobytes()

    def recording(self, call: Call) -> tuple[Head, bytes]:
        """Decode the payload, a sound file; return float32 frames and their ``probabilities``.

        Raises ``DocumentError`` when it is no sound, or too much.
        """
        from voice.stt.sound_file import SoundFile

        heard = np.zeros(HEARD_VALUES, np.float32)
        blocks: list[bytes] = []
        probabilities: list[float] = []
        with tempfile.NamedTemporaryFile(suffix=".webm") as file:
            file.write(call.payload)
            file.flush()
            for block in SoundFile(Path(file.name), name="The recording").blocks(_BLOCK_S):
                if len(blocks) * _BLOCK_S >= MAX_RECORDING_S:
                    raise DocumentTooLargeError(
                        "That was too long. Dictate a few sentences at a time."
                    )
                frames = block[: len(block) - len(block) % FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)
                probabilities += self._hear(heard, frames, call)
                blocks.append(frames.astype(np.float32, copy=False).tobytes())
                call.progress()
        return {"probabilities": probabilities}, b"".join(blocks)

    def _hear(self, heard: Samples, frames: Samples, call: Call | None = None) -> list[float]:
        """Return the probabilities of ``frames``, shape ``(n, 512)``; ``heard`` is brought on."""
        if self._session is None:
            raise ModelLoadError("The speech detector is not loaded.")
        h = heard[:STATE_VALUES].reshape(_STATE_SHAPE)
        c = heard[STATE_VALUES : 2 * STATE_VALUES].reshape(_STATE_SHAPE)
        sound = np.zeros((1, CONTEXT_SAMPLES + FRAME_SAMPLES), dtype=np.float32)
        sound[0, -CONTEXT_SAMPLES:] = heard[2 * STATE_VALUES :]
        probabilities = []
        for frame in frames:
            if call is not None:
                call.check()
            sound[0, :CONTEXT_SAMPLES] = sound[0, -CONTEXT_SAMPLES:]
            sound[0, CONTEXT_SAMPLES:] = np.nan_to_num(np.clip(frame, -1.0, 1.0))
            probability, h, c = self._session.run(None, {"input": sound, "h": h, "c": c})
            probabilities.append(float(np.asarray(probability).reshape(-1)[0]))
        heard[:STATE_VALUES] = np.ravel(h)
        heard[STATE_VALUES : 2 * STATE_VALUES] = np.ravel(c)
        heard[2 * STATE_VALUES :] = sound[0, -CONTEXT_SAMPLES:]
        return probabilities


def _open(path: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # ONNX Runtime's errors share no base but Exception
        raise ModelLoadError(f"The speech detector's file {path} cannot be loaded: {exc}") from exc
