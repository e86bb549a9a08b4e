"""Whisper as the rest of the house sees it: asynchronous, in a process that may be lost."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import structlog

from engines.job import Job
from engines.process import EngineLost
from engines.wire import Head
from engines.worker import EngineReport, Recipe, Worker
from voice.stt.transcriber import Transcriber
from voice.stt.transcript import DecodeRequest, Transcript
from xoe.errors import (
    EngineNotReadyError,
    TranscriptionBusyError,
    TranscriptionError,
    TranscriptionLostError,
)

if TYPE_CHECKING:
    from xoe.settings import Settings

log = structlog.get_logger(__name__)

SttModel = Literal["stt", "stt-light"]
"""The names of the manifest: Whisper base, and Whisper tiny for English only."""

QUEUE_LIMIT: Final = 16
"""Pieces of speech that may wait: a few seconds of work, more would come too late."""

STALL_S: Final = 30.0
"""The longest decode takes half of it on a slow computer; whoever waits for it gives up sooner."""

_NAMES: dict[str, str] = {"stt": "base", "stt-light": "tiny.en"}

# With 800 frames tiny.en loops in 3 of 72 utterances and mishears more; base does not with 700.
_LOWEST_FLOORS: dict[str, int] = {"stt": 600, "stt-light": 1000}


class SpeechPiece(Job[Transcript]):
    """A piece of speech on its way to Whisper; its one event is the transcript."""

    def __init__(self, request: DecodeRequest) -> None:
        """Must be called in the event loop that waits for the transcript."""
        super().__init__(
            "decode",
            {
                "language": request.language,
                "hints": request.hints,
                "speech_ms": request.speech_ms,
                "partial": request.partial,
            },
            np.ascontiguousarray(request.audio, dtype=np.float32).tobytes(),
        )
        self.partial = request.partial

    def receive(self, _: Head, __: bytes) -> None:
        """There is nothing but the transcript."""

    def finish(self, head: Head, _: bytes) -> None:
        """Take the transcript."""
        self.send(replace(Transcript(**head), wait_ms=(self.begun - self.submitted) * 1e3))
        self.end()


class SpeechQueue:
    """Final pieces before partial ones."""

    def __init__(self, limit: int = QUEUE_LIMIT) -> None:
        """``limit``: how many may wait."""
        self._limit = limit
        self._finals: deque[SpeechPiece] = deque()
        self._partials: deque[SpeechPiece] = deque()

    def put(self, job: SpeechPiece) -> None:
        """Add ``job``; ``TranscriptionBusyError`` when too many wait."""
        if len(self) >= self._limit:
            raise TranscriptionBusyError(len(self))
        (self._partials if job.partial else self._finals).append(job)

    def take(self) -> SpeechPiece:
        """Remove and return the next; ``IndexError`` when there is none."""
        return (self._finals or self._partials).popleft()

    def remove(self, job: SpeechPiece) -> bool:
        """Take ``job`` out; False when it does not wait."""
        for queue in (self._finals, self._partials):
            with suppress(ValueError):
                queue.remove(job)
                return True
        return False

    def clear(self) -> list[SpeechPiece]:
        """Take all out."""
        left = [*self._finals, *self._partials]
        self._finals.clear()
        self._partials.clear()
        return left

    def tell(self) -> None:
        """Tell nobody: the wait is too short."""

    def __len__(self) -> int:
        return len(self._finals) + len(self._partials)


class WhisperTranscriber(Transcriber):
    """One Whisper model in a process of its own. Cheap to make; loads nothing until started."""

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
        self._use_hints = use_hints
        self._worker: Worker[SpeechPiece] = Worker(
            Recipe(
                name=model,
                title="Speech recognition",
                service="voice.stt.service:WhisperService",
                options={
                    "models_dir": str(models_dir),
                    "model": model,
                    "name": self.name,
                    "threads": threads,
                    "floor_frames": max(floor_frames, _LOWEST_FLOORS[model]),
                },
                lost=_lost,
                closed=lambda: EngineNotReadyError(
                    "Speech recognition is not running. Please type instead."
                ),
                stall_s=STALL_S,
            ),
            SpeechQueue(),
        )

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
        return self._worker.state == "ready"

    @property
    def waiting(self) -> int:
        """How many pieces of speech wait."""
        return self._worker.waiting

    async def start(self) -> None:
        """Load the model and run it once.

        Raises ``ModelMissingError``, ``ModelDamagedError`` or ``ModelLoadError``. A process that is
        lost later is started again by itself.
        """
        await self._worker.started()

    async def decode(self, request: DecodeRequest) -> Transcript:
        """Transcribe one piece of speech; see ``Transcriber.decode``."""
        if not self._use_hints:
            request = replace(request, hints=())
        job = SpeechPiece(request)
        self._worker.submit(job)
        try:
            async with aclosing(job.events()) as events:
                transcript = await anext(events)
        finally:
            self._worker.cancel(job)
        log.info(
            "stt.done",
            model=self.name,
            ms=round(transcript.decode_ms),
            wait_ms=round(transcript.wait_ms),
            audio_ms=transcript.audio_ms,
            speech_ms=transcript.speech_ms,
            partial=request.partial,
            window_frames=transcript.window_frames,
            dropped=transcript.dropped,
        )
        return transcript

    def reports(self) -> tuple[EngineReport, ...]:
        """Return how its process is."""
        return (self._worker.report(),)

    async def aclose(self) -> None:
        """End the process; what waits fails with ``EngineNotReadyError``."""
        await asyncio.to_thread(self._worker.stop)


def _lost(reason: Exception) -> TranscriptionError:
    is_gone = isinstance(reason, EngineLost) and not reason.is_stuck
    kind = TranscriptionLostError if is_gone else TranscriptionError
    return kind("Speech recognition failed. Please say it again, or type.")
