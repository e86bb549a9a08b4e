"""One speaker's turn as it is transcribed: all that an engine must not know."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from voice.audio import Samples
from voice.stt.transcript import AUTO, CallLanguage, DecodeRequest, Transcript
from voice.utterance import UtteranceBuffer

if TYPE_CHECKING:
    from core.settings import Settings
    from voice.stt.transcriber import Transcriber

SETTLING_SPEECH_MS = 1_000
SETTLING_PROBABILITY = 0.5
"""A word or two do not tell the language of a whole call; faster-whisper asks for 0.5 too."""


@dataclass
class _Decode:
    """A decode that runs or has run, and the speech that it covers."""

    end: int
    task: asyncio.Task[Transcript]
    waiters: int = 0


class TranscriptionSession:
    """Holds the sound of one turn, its committed beginning and its latest transcript.

    Feed it every frame, also the silent ones. Then, at will: ``partial`` while the person
    speaks or pauses, ``commit`` at a pause when ``over_soft``, ``final`` at the end of the turn,
    ``reset`` for the next one. Belongs to one event loop; not thread-safe.
    """

    def __init__(
        self,
        engine: Transcriber,
        *,
        language: str | CallLanguage = AUTO,
        hints: Sequence[str] = (),
        soft_s: float = 10.0,
        threshold: float = 0.35,
    ) -> None:
        """Transcribe with ``engine``.

        ``language``: a code, ``auto``, or a ``CallLanguage`` shared by sessions of one call.
        ``soft_s`` and ``threshold``: see ``UtteranceBuffer``.
        """
        self.hints = tuple(hints)
        """Names that may come up; may be changed at any time."""
        self._engine = engine
        self._language = language if isinstance(language, CallLanguage) else CallLanguage(language)
        self._buffer = UtteranceBuffer(soft_s=soft_s, threshold=threshold)
        self._committed: list[Transcript] = []
        self._decode: _Decode | None = None

    @classmethod
    def of(
        cls,
        engine: Transcriber,
        settings: Settings,
        *,
        language: CallLanguage | None = None,
        hints: Sequence[str] = (),
    ) -> TranscriptionSession:
        """Return a session as ``settings`` say; ``language``: the call's, if it is kept already."""
        return cls(
            engine,
            language=language or settings.stt_language,
            hints=hints,
            soft_s=settings.stt_window_s,
            threshold=settings.vad_end_threshold,
        )

    @property
    def language(self) -> str | None:
        """The call's language, ``None`` while it is not known."""
        return self._language.code

    @property
    def speech_ms(self) -> int:
        """Speech heard in this turn and not committed yet."""
        return self._buffer.speech_ms

    @property
    def over_soft(self) -> bool:
        """True when there is more sound than the soft window holds: commit at the next pause."""
        return self._buffer.over_soft

    @property
    def dropped_frames(self) -> int:
        """Frames of this turn that were lost because nobody committed for 30 s."""
        return self._buffer.dropped_frames

    def take_notice(self) -> bool:
        """Return True once a turn, when sound has been lost: the speaker should know."""
        return self._buffer.take_notice()

    def feed(self, frame: Samples, probability: float) -> None:
        """Take the next frame (512 samples) with its speech probability."""
        self._buffer.append(frame, probability)

    async def partial(self) -> Transcript | None:
        """Transcribe what has been said so far.

        At most one decode runs for a session: a newer one takes an older one's place, which then
        returns ``None``. Raises what ``Transcriber.decode`` raises.
        """
        decode = self._latest(partial=True)
        if decode is None:
            return replace(self._joined(), partial=True)
        transcript = await self._result(decode)
        return transcript and replace(self._joined(transcript), partial=True)

    async def final(self) -> Transcript:
        """Transcribe the whole turn.

        Costs nothing when a partial has covered all the speech already. Cancelling it stops the
        engine's work for this session. Raises what ``Transcriber.decode`` raises.
        """
        while (decode := self._latest(partial=False)) is not None:
            transcript = await self._result(decode)
            if transcript is not None:
                return replace(self._joined(transcript), partial=False)
        return self._joined()

    async def commit(self) -> Transcript:
        """Settle what has been said so far, so that a long turn stays within bounds.

        Its text stands from now on; only what comes later is transcribed afresh. Raises what
        ``Transcriber.decode`` raises; nothing is lost then.
        """
        decode = self._latest(partial=False)
        if decode is not None:
            transcript = await self._result(decode)
            if transcript is not None and decode is self._decode:
                self._committed.append(transcript)
                self._buffer.forget(decode.end)
                self._decode = None
        return self._joined()

    def cancel(self) -> None:
        """Stop the work that is under way for this session, if any."""
        if self._decode is not None:
            self._decode.task.cancel()
            self._decode = None

    def reset(self) -> None:
        """Begin a new turn; the call's language and the hints stay."""
        self.cancel()
        self._buffer.clear()
        self._committed.clear()

    def _latest(self, *, partial: bool) -> _Decode | None:
        """Return the decode of all that has been said, begun now unless there is one already."""
        if not self._buffer.end:
            return None
        known = self._decode
        if known is not None and known.end == self._buffer.end and not _failed(known.task):
            return known
        self.cancel()
        utterance = self._buffer.utterance()
        request = DecodeRequest(
            audio=utterance.audio,
            language=self._language.code,
            hints=self.hints,
            speech_ms=utterance.speech_ms,
            partial=partial,
        )
        task = asyncio.get_running_loop().create_task(self._run(request))
        self._decode = _Decode(utterance.end, task)
        return self._decode

    async def _run(self, request: DecodeRequest) -> Transcript:
        transcript = await self._engine.decode(request)
        if (
            transcript.text
            and transcript.speech_ms >= SETTLING_SPEECH_MS
            and transcript.language_probability >= SETTLING_PROBABILITY
        ):
            self._language.settle(transcript.language)
        return transcript

    async def _result(self, decode: _Decode) -> Transcript | None:
        """Wait for ``decode``; ``None`` when another has taken its place.

        The decode is stopped when the last who waits for it is cancelled.
        """
        decode.waiters += 1
        try:
            await asyncio.wait([decode.task])
        except asyncio.CancelledError:
            if decode.waiters == 1:
                decode.task.cancel()
                if self._decode is decode:
                    self._decode = None
            raise
        finally:
            decode.waiters -= 1
        return None if decode.task.cancelled() else decode.task.result()

    def _joined(self, rest: Transcript | None = None) -> Transcript:
        parts = [*self._committed, *([rest] if rest else [])]
        if not parts:
            return Transcript("", language=self._language.code or "", engine=self._engine.name)
        if len(parts) == 1:
            return parts[0]
        return replace(
            parts[-1],
            text=" ".join(part.text for part in parts if part.text),
            audio_ms=sum(part.audio_ms for part in parts),
            speech_ms=sum(part.speech_ms for part in parts),
        )


def _failed(task: asyncio.Task[Transcript]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
