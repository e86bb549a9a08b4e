"""What every speech-to-text engine offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engines.worker import EngineReport
from state.ladder import Engine
from voice.stt.session import TranscriptionSession
from voice.stt.transcript import AUTO, CallLanguage, DecodeRequest, Transcript

if TYPE_CHECKING:
    from core.settings import Settings


class Transcriber(ABC):
    """A speech-to-text engine. It holds no state of any utterance; that is the session's."""

    name: str
    """For logs and metrics: ``base`` or ``tiny.en``, say."""

    @property
    def serving(self) -> Engine:
        """Which engine of a pair listened last; always the usual one where there is no other."""
        return "usual"

    @property
    def waiting(self) -> int:
        """How many pieces of speech wait; 0 for an engine without a queue."""
        return 0

    @abstractmethod
    async def start(self) -> None:
        """Load the model; raises ``ModelError``. May be called again after a failure."""

    @abstractmethod
    async def decode(self, request: DecodeRequest) -> Transcript:
        """Transcribe one piece of speech.

        Cancelling the caller's task takes it out of the queue, or stops it at its next step.
        Raises ``EngineNotReadyError`` or ``TranscriptionError``, when the queue is full its
        subclass ``TranscriptionBusyError``.
        """

    async def try_usual(self) -> None:
        """Where a spare engine serves, see whether the usual one works again; raises nothing."""
        return

    def reports(self) -> tuple[EngineReport, ...]:
        """Return how its processes are; none for an engine without one."""
        return ()

    @abstractmethod
    async def aclose(self) -> None:
        """End the engine and free the memory; what waits fails with ``EngineNotReadyError``."""

    def session(
        self,
        *,
        language: str | CallLanguage = AUTO,
        hints: Sequence[str] = (),
        soft_s: float = 10.0,
        threshold: float = 0.35,
    ) -> TranscriptionSession:
        """Return what holds one speaker's turns.

        ``language``: a code, ``auto``, or a ``CallLanguage`` shared by sessions of one call.
        ``soft_s`` and ``threshold``: see ``UtteranceBuffer``.
        """
        known = language if isinstance(language, CallLanguage) else CallLanguage(language)
        return TranscriptionSession(
            self, language=known, hints=tuple(hints), soft_s=soft_s, threshold=threshold
        )

    def session_for(
        self,
        settings: Settings,
        *,
        language: CallLanguage | None = None,
        hints: Sequence[str] = (),
    ) -> TranscriptionSession:
        """Return a session as ``settings`` say; ``language``: the call's, if it is kept already."""
        return self.session(
            language=language or settings.stt_language,
            hints=hints,
            soft_s=settings.stt_window_s,
            threshold=settings.vad_end_threshold,
        )
