"""What every speech-to-text engine offers."""

from __future__ import annotations

from abc import ABC, abstractmethod

from engines.worker import EngineReport
from state.ladder import Engine
from voice.stt.transcript import DecodeRequest, Transcript


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
