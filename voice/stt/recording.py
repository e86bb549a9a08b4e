"""Transcribe a recording of any length, with the times of its segments.

Whole files are heard by faster-whisper as it comes, with its windows of 30 s, its speech filter
and its fallbacks: here the quality of a long text counts, not the answer within a blink. The
sound is read and heard in blocks of two minutes, cut where nobody speaks, so that three hours
take no more memory than one block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import structlog

from core.errors import ModelLoadError, TranscriptionError
from models.provision import ensure_present
from voice.audio import STT_RATE, Samples
from voice.stt import guard
from voice.stt.sound_file import SoundFile
from voice.stt.timeline import Stretch, Timeline
from voice.stt.transcript import AUTO

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

log = structlog.get_logger(__name__)

BLOCK_S = 120.0
CUT_S = 30.0
"""A block is cut in the longest silence of its last half minute."""


@dataclass(frozen=True)
class RecordedSegment:
    """A sentence or a part of one, and when it was said."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class Recording:
    """A whole file's transcript."""

    segments: tuple[RecordedSegment, ...]
    language: str
    """Empty where nobody spoke."""
    language_probability: float
    duration_s: float
    """As counted, whatever the header says."""

    @property
    def text(self) -> str:
        """The segments' text in one line."""
        return " ".join(segment.text for segment in self.segments)


@dataclass(frozen=True)
class RecordingProgress:
    """How far it has come."""

    heard_s: float
    claimed_s: float | None
    """What the file's header says about its length; it may be wrong."""


@dataclass(frozen=True)
class _Language:
    code: str
    probability: float


class RecordingTranscriber:
    """A loaded model for files. Blocking and for one thread at a time; no part of a call."""

    def __init__(self, model: WhisperModel, name: str, *, language: str = AUTO) -> None:
        """Use ``load`` instead."""
        self._model = model
        self._name = name
        self._given = None if language == AUTO else language

    @classmethod
    def load(
        cls,
        models_dir: Path,
        *,
        model: Literal["stt", "stt-light"] = "stt",
        language: str = AUTO,
        threads: int = 2,
    ) -> RecordingTranscriber:
        """Load ``model``.

        Raises ``ModelMissingError``, ``ModelDamagedError``, ``ModelLoadError``, or
        ``TranscriptionError`` when the model does not know ``language``.
        """
        folder = ensure_present(model, models_dir).parent
        from voice.stt.decoder import load_whisper

        try:
            whisper = load_whisper(folder, threads)
        except (RuntimeError, ValueError, OSError) as exc:
            raise ModelLoadError(
                f"The speech model in {folder} cannot be loaded: {exc}. "
                f"'xoe models pull {model}' fetches it again."
            ) from exc
        if language != AUTO and language not in whisper.supported_languages:
            raise TranscriptionError(
                f"The speech model {model!r} does not know the language {language!r}."
            )
        return cls(whisper, model, language=language)

    def transcribe(
        self,
        path: Path,
        *,
        name: str = "",
        on_segment: Callable[[RecordedSegment], None] = lambda segment: None,
        on_progress: Callable[[RecordingProgress], None] = lambda progress: None,
        block_s: float = BLOCK_S,
    ) -> Recording:
        """Transcribe the file at ``path``; the two callbacks are told as it goes on.

        ``name`` is what its user calls it, for messages, when ``path`` is a temporary one.

        Raises ``DocumentError`` or a subclass of it when the file cannot be read as sound, and
        ``TranscriptionError`` when the model fails. A callback may raise to stop.
        """
        sound = SoundFile(path, name=name)
        language = _Language(self._given, 1.0) if self._given else None
        segments: list[RecordedSegment] = []
        heard = 0
        for block in _cut_in_silence(sound.blocks(block_s)):
            stretches = _speech(block)
            if stretches:
                language, found = self._hear(block, Timeline(stretches), language)
                for segment in found:
                    moved = _moved(segment, heard / STT_RATE)
                    segments.append(moved)
                    on_segment(moved)
                    on_progress(RecordingProgress(moved.end_s, sound.claimed_s))
            heard += len(block)
            on_progress(RecordingProgress(heard / STT_RATE, sound.claimed_s))
        return Recording(
            tuple(segments),
            language.code if language and segments else "",
            language.probability if language and segments else 0.0,
            heard / STT_RATE,
        )

    def _hear(
        self, block: Samples, timeline: Timeline, language: _Language | None
    ) -> tuple[_Language, Iterator[RecordedSegment]]:
        """Return the language (found out in the first block with speech) and the segments."""
        try:
            found, info = self._model.transcribe(
                timeline.speech(block),
                language=language.code if language else None,
                # A mistake is not handed on from window to window: it would loop to the end.
                condition_on_previous_text=False,
            )
        except (RuntimeError, ValueError) as exc:
            raise _failed() from exc
        found_out = _Language(info.language, info.language_probability)
        return language or found_out, _segments(found, timeline)


def _segments(found: Iterator[object], timeline: Timeline) -> Iterator[RecordedSegment]:
    try:
        for segment in found:
            text = segment.text.strip()  # type: ignore[attr-defined]
            dropped = guard.silence(
                text,
                avg_logprob=segment.avg_logprob,  # type: ignore[attr-defined]
                no_speech_prob=segment.no_speech_prob,  # type: ignore[attr-defined]
                speech_ms=None,
            )
            if text and not dropped:
                times = timeline.original(segment.start, segment.end)  # type: ignore[attr-defined]
                yield RecordedSegment(*times, text)
    except RuntimeError as exc:
        raise _failed() from exc


def _failed() -> TranscriptionError:
    return TranscriptionError("The speech model failed on this recording; the log has the reason.")


def _moved(segment: RecordedSegment, by_s: float) -> RecordedSegment:
    return RecordedSegment(
        round(segment.start_s + by_s, 2), round(segment.end_s + by_s, 2), segment.text
    )


def _speech(block: Samples) -> list[Stretch]:
    from faster_whisper.vad import get_speech_timestamps

    return [Stretch(part["start"], part["end"]) for part in get_speech_timestamps(block)]


def _cut_in_silence(blocks: Iterator[Samples]) -> Iterator[Samples]:
    """Yield the same sound in blocks that end in a silence, where there is one."""
    rest: Samples = np.zeros(0, dtype=np.float32)
    waiting: Samples | None = None
    for block in blocks:
        if waiting is not None:
            whole = np.concatenate([rest, waiting])
            cut = _quiet_place(whole)
            yield whole[:cut]
            rest = whole[cut:]
        waiting = block
    if waiting is not None:
        yield np.concatenate([rest, waiting])


def _quiet_place(block: Samples) -> int:
    """Return the middle of the longest silence near the end of ``block``, or its end."""
    from faster_whisper.vad import VadOptions, get_speech_timestamps

    first = max(0, len(block) - round(CUT_S * STT_RATE))
    options = VadOptions(min_silence_duration_ms=200, speech_pad_ms=0)
    speech = get_speech_timestamps(block[first:], options)
    edges = [0, *(edge for part in speech for edge in (part["start"], part["end"]))]
    edges.append(len(block) - first)
    silences = list(zip(edges[::2], edges[1::2], strict=True))
    start, end = max(silences, key=lambda silence: silence[1] - silence[0])
    return first + (start + end) // 2 if end > start else len(block)
