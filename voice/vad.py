"""Is this speech? Silero VAD, one frame of 32 ms at a time, in a process that may be lost."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from core.errors import ModelLoadError, ModelMissingError
from engines.life import Recipe
from engines.wire import Frame
from engines.worker import EngineReport, Worker
from voice.audio import FRAME_SAMPLES, Samples

CONTEXT_SAMPLES: Final = 64
STATE_VALUES: Final = 128
HEARD_VALUES: Final = 2 * STATE_VALUES + CONTEXT_SAMPLES
"""What a session remembers: the LSTM's two states and the end of the sound before."""

STALL_S: Final = 10.0
"""A second of sound takes 6 ms."""
RECORDING_STALL_S: Final = 60.0
"""For 30 s of it."""
_TRIES: Final = 4
"""A file of somebody's that ends the process may be tried twice while another one speaks."""
_FILE: Final = "silero_vad_v6.onnx"


def default_path() -> Path:
    """Return where faster-whisper keeps the model; nothing is imported."""
    spec = importlib.util.find_spec("faster_whisper")
    places = spec.submodule_search_locations if spec else None
    return Path(places[0] if places else "faster_whisper") / "assets" / _FILE


class SileroVad:
    """The detector; it holds no state of any sound, so one serves any number of sessions."""

    def __init__(self, path: Path | None = None) -> None:
        """Load nothing; ``path``: the model's file, by default the one in faster-whisper."""
        self._path = path or default_path()
        self._worker: Worker[Any] = Worker(
            Recipe(
                name="vad",
                title="The speech detector",
                service="voice.vad_service:VadService",
                options={"path": str(self._path)},
                lost=lambda reason: ModelLoadError(f"The speech detector failed: {reason}."),
                closed=lambda: ModelLoadError("The speech detector has been shut down."),
            ),
        )

    async def start(self) -> None:
        """Load the model; raises ``ModelMissingError`` or ``ModelLoadError``."""
        if not self._path.is_file():
            raise ModelMissingError(
                f"The speech detector's file {self._path} is missing; installing faster-whisper "
                "again brings it back. Typing works without it."
            )
        await self._worker.started()

    def session(self) -> VadSession:
        """Return the state of one stream of sound."""
        return VadSession(self)

    async def frames(self, heard: Samples, frames: Samples) -> tuple[list[float], Samples]:
        """Return the probabilities of ``frames``, shape ``(n, 512)``, and what was heard then.

        Raises ``ModelError`` when the detector is gone for longer.
        """
        payload = b"".join((heard.tobytes(), np.ascontiguousarray(frames, np.float32).tobytes()))
        frame = await self._call("frames", payload, STALL_S, _TRIES)
        return frame.head["probabilities"], np.frombuffer(frame.payload, np.float32)

    async def recording(self, data: bytes) -> tuple[Samples, list[float]]:
        """Decode a sound file; return its frames, shape ``(n, 512)``, and their probabilities.

        Raises ``DocumentError`` when it is no sound or too much, or ``ModelError``.
        """
        frame = await self._call("recording", data, RECORDING_STALL_S, 2)
        samples = np.frombuffer(frame.payload, np.float32).reshape(-1, FRAME_SAMPLES)
        return samples, frame.head["probabilities"]

    def report(self) -> EngineReport:
        """Return how its process is."""
        return self._worker.report()

    async def aclose(self) -> None:
        """End the process."""
        await asyncio.to_thread(self._worker.stop)

    async def _call(self, method: str, payload: bytes, stall_s: float, tries: int) -> Frame:
        """Call a method, and again if the process was lost meanwhile: it keeps nothing."""
        while True:
            tries -= 1
            try:
                return await asyncio.wrap_future(
                    self._worker.call(method, {}, payload, stall_s=stall_s)
                )
            except ModelLoadError:
                if not tries:
                    raise


class VadSession:
    """One stream of sound; about 0.2 ms a frame, and half a millisecond a call."""

    def __init__(self, vad: SileroVad) -> None:
        """Use ``SileroVad.session`` instead."""
        self._vad = vad
        self._heard: Samples = np.zeros(HEARD_VALUES, dtype=np.float32)

    async def probabilities(self, frames: Sequence[Samples]) -> list[float]:
        """Return how likely each frame (512 samples, 16 kHz) is speech, 0 … 1.

        Raises ``ValueError`` for a frame of another length, ``ModelError`` when the detector is
        gone. What is no number counts as silence.
        """
        for frame in frames:
            if frame.shape != (FRAME_SAMPLES,):
                raise ValueError(f"a frame has {FRAME_SAMPLES} samples, not {frame.shape}")
        if not frames:
            return []
        found, self._heard = await self._vad.frames(self._heard, np.stack(frames))
        return found

    def reset(self) -> None:
        """Forget what was heard."""
        self._heard = np.zeros(HEARD_VALUES, dtype=np.float32)
