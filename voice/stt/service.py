"""Whisper in its process."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import ClassVar

import numpy as np

from core.errors import TranscriptionError
from engines.memory import give_back
from engines.service import Call, Service
from engines.wire import Head
from models.provision import ensure_present
from voice.stt.decoder import WhisperDecoder, WindowConfig
from voice.stt.transcript import DecodeRequest


class WhisperService(Service):
    """One model. ``load`` comes first."""

    LANES: ClassVar = {"load": "model", "decode": "model"}

    def __init__(
        self, *, models_dir: str, model: str, name: str, threads: int, floor_frames: int
    ) -> None:
        """Load nothing; the arguments are those of ``WhisperTranscriber``."""
        self._models_dir = Path(models_dir)
        self._model = model
        self._name = name
        self._threads = threads
        self._window = WindowConfig(floor_frames=floor_frames)
        self._decoder: WhisperDecoder | None = None

    def load(self, _: Call) -> None:
        """Load the model and run it once; raises ``ModelError``."""
        if self._decoder is None:
            path = ensure_present(self._model, self._models_dir)
            self._decoder = WhisperDecoder.load(
                path.parent, name=self._name, threads=self._threads, window=self._window
            )
            give_back()

    def decode(self, call: Call) -> Head:
        """Transcribe the payload, float32 samples at 16 kHz; return ``Transcript`` as a dictionary.

        The arguments are the other fields of ``DecodeRequest``. Raises ``TranscriptionError``.
        """
        if self._decoder is None:
            raise TranscriptionError("Speech recognition is not loaded.")
        asked = call.arguments | {"hints": tuple(call.arguments["hints"])}
        request = DecodeRequest(np.frombuffer(call.payload, np.float32), **asked)
        return asdict(self._decoder.transcribe(request, call.check))
