"""Whisper as the rest of the house sees it: asynchronous, and never blocking the loop."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import structlog

from models.provision import ensure_present
from voice.stt.transcriber import Transcriber
from voice.stt.transcript import DecodeRequest, Transcript
from voice.stt.worker import Job, Worker

if TYPE_CHECKING:
    from voice.stt.decoder import WhisperDecoder
    from xoe.settings import Settings

log = structlog.get_logger(__name__)

SttModel = Literal["stt", "stt-light"]
"""The names of the manifest: Whisper base, and Whisper tiny for English only."""

_NAMES: dict[str, str] = {"stt": "base", "stt-light": "tiny.en"}

# With 800 frames tiny.en loops in 3 of 72 utterances and mishears more; base does not with 700.
_LOWEST_FLOORS: dict[str, int] = {"stt": 600, "stt-light": 1000}


class WhisperTranscriber(Transcriber):
    """One Whisper model in a thread of its own. Cheap to make; loads nothing until started."""

    def __init__(
        self,
        models_dir: Path,
        *,
        model: SttModel = "stt",
        threads: int = 2,
        floor_frames: int = 700,
        use_hints: bool = True,
    ) -> None:
        """Set up; nothing is loaded.

        ``threads``: cores that one decode uses; ``floor_frames``: see ``WindowConfig``;
        ``use_hints``: whether the hints of a request count.
        """
        self.name = _NAMES[model]
        self.model = model
        self._models_dir = models_dir
        self._threads = threads
        self._floor_frames = max(floor_frames, _LOWEST_FLOORS[model])
        self._use_hints = use_hints
        self._worker: Worker[WhisperDecoder] = Worker(f"xoe-{model}", self._load)

    @classmethod
    def from_settings(cls, settings: Settings, model: SttModel | None = None) -> WhisperTranscriber:
        """Return the engine that ``settings`` name, or ``model`` with their other values."""
        return cls(
            settings.models_dir,
            model=model or settings.stt_model,
            threads=settings.stt_threads,
            floor_frames=settings.stt_floor_frames,
            use_hints=settings.stt_hints,
        )

    @property
    def ready(self) -> bool:
        """True when the model is loaded."""
        return self._worker.ready

    @property
    def waiting(self) -> int:
        """How many pieces of speech wait."""
        return self._worker.waiting

    async def start(self) -> None:
        """Load the model and run it once.

        Raises ``ModelMissingError``, ``ModelDamagedError`` or ``ModelLoadError``.
        """
        # The load goes on if the caller gives up, so that the state is true in any case.
        await asyncio.shield(asyncio.wrap_future(self._worker.start()))

    async def decode(self, request: DecodeRequest) -> Transcript:
        """Transcribe one piece of speech; see ``Transcriber.decode``."""
        if not self._use_hints:
            request = replace(request, hints=())
        job: Job[WhisperDecoder, Transcript] = Job(
            lambda decoder, job: decoder.transcribe(request, job.check), partial=request.partial
        )
        self._worker.submit(job)
        try:
            transcript = await asyncio.wrap_future(job.future)
        except asyncio.CancelledError:
            self._worker.cancel(job)
            raise
        transcript = replace(transcript, wait_ms=job.wait_ms)
        log.info(
            "stt.done",
            model=self.name,
            ms=round(transcript.decode_ms),
            wait_ms=round(job.wait_ms),
            audio_ms=transcript.audio_ms,
            speech_ms=transcript.speech_ms,
            partial=request.partial,
            window_frames=transcript.window_frames,
            dropped=transcript.dropped,
        )
        return transcript

    async def aclose(self) -> None:
        """End the thread and free the memory; what waits fails with ``EngineNotReadyError``."""
        await asyncio.to_thread(self._worker.stop)

    def _load(self) -> WhisperDecoder:
        path = ensure_present(self.model, self._models_dir)
        from voice.stt.decoder import WhisperDecoder, WindowConfig

        return WhisperDecoder.load(
            path.parent,
            name=self.name,
            threads=self._threads,
            window=WindowConfig(floor_frames=self._floor_frames),
        )
