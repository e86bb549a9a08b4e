"""Whisper as the rest of the system sees it: asynchronous, in a process that may be lost."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
import structlog

from core.errors import (
    EngineNotReadyError,
    TranscriptionBusyError,
    TranscriptionError,
    TranscriptionLostError,
)
from core.share import Share, share
from engines.job import Job
from engines.life import Recipe
from engines.process import EngineLost
from engines.queue import FairJobs
from engines.wire import Head
from engines.worker import EngineReport, Worker
from voice.stt.transcriber import Transcriber
from voice.stt.transcript import DecodeRequest, Transcript

if TYPE_CHECKING:
    from core.settings import Settings

log = structlog.get_logger(__name__)

SttModel = Literal["stt", "stt-light"]
"""The names of the manifest: Whisper base, and Whisper tiny for English only."""

QUEUE_LIMIT: Final = 16
"""Pieces of speech that may wait: a few seconds of work, more would come too late."""

STALL_S: Final = 30.0
"""The longest decode takes half of it on a slow computer; whoever waits for it gives up sooner."""

FINAL: Final = "final"
PARTIAL: Final = "partial"

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


class SpeechQueue(FairJobs[SpeechPiece]):
    """In turns by owner, and an owner's final pieces before partial ones."""

    def __init__(self, limit: int = QUEUE_LIMIT) -> None:
        """``limit``: how many may wait, a quarter of them of one owner."""
        super().__init__(limit, max(1, limit // 4), busy=TranscriptionBusyError)

    def put(self, item: SpeechPiece, *, whose: Share | None = None, group: str = "") -> None:
        """Add ``item``; ``TranscriptionBusyError`` when there is no room for one more."""
        whose, group = whose or share(), group or _kind(item)
        # Of one session too a final piece overtakes the partial ones.
        super().put(item, whose=replace(whose, session=f"{whose.session} {group}"), group=group)

    def take(self, loaded: str | None = FINAL) -> SpeechPiece:
        """Remove and return the next; ``IndexError`` when there is none."""
        return super().take(loaded)


def _kind(piece: SpeechPiece) -> str:
    return PARTIAL if piece.partial else FINAL


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
        timeout_s: float | None = None,
    ) -> None:
        """Set up; nothing is loaded.

        ``threads``: cores that one decode uses; ``floor_frames``: see ``WindowConfig``;
        ``use_hints``: whether the hints of a request count; ``timeout_s``: the longest that one
        decode may take from when it is its turn, after which it raises ``TimeoutError``.
        """
        self.name = _NAMES[model]
        self.model = model
        self._use_hints = use_hints
        self._timeout_s = timeout_s
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
            timeout_s=settings.stt_timeout_s,
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
            async with aclosing(job.events(self._timeout_s)) as events:
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
