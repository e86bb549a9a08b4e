"""What every speech-to-text engine offers."""

from __future__ import annotations

from abc import abstractmethod

from voice.pair import VoiceEngine
from voice.stt.transcript import DecodeRequest, Transcript


class Transcriber(VoiceEngine):
    """A speech-to-text engine. It holds no state of any utterance; that is the session's."""

    @abstractmethod
    async def decode(self, request: DecodeRequest) -> Transcript:
        """Transcribe one piece of speech.

        Cancelling the caller's task takes it out of the queue, or stops it at its next step.
        Raises ``EngineNotReadyError`` or ``TranscriptionError``, when the queue is full its
        subclass ``TranscriptionBusyError``.
        """
