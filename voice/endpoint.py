"""When a person begins to speak, pauses, goes on, and has finished.

A state machine without I/O: it is fed one frame's speech probability at a time and returns what
has changed. Its clock is the number of frames.

    silent ──enough speech──▶ speaking ──pause_ms of silence──▶ paused ──hang-over──▶ silent
                                  ▲──────────speech again──────────┘

Two thresholds make it steady: speech begins at the higher one and lasts until the lower one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from voice.audio import FRAME_MS
from voice.turn import UNKNOWN, finished

if TYPE_CHECKING:
    from core.settings import Settings

EndReason = Literal["silence", "released", "limit"]
Mode = Literal["hands_free", "push_to_talk"]


@dataclass(frozen=True)
class EndpointConfig:
    """Thresholds are probabilities, times are in milliseconds of sound."""

    start_threshold: float = 0.5
    end_threshold: float = 0.35
    min_speech_ms: int = 128
    """Continuous speech that begins a turn; a click or a short cough has less."""
    resume_ms: int = 64
    """Continuous speech that goes on with a turn after a pause."""
    pause_ms: int = 192
    """Silence after which a transcript may be prepared."""
    hangover_min_ms: int = 384
    """Silence that ends a turn whose text sounds finished."""
    hangover_ms: int = 704
    """Silence that ends a turn of which nothing is known."""
    hangover_max_ms: int = 1_408
    """Silence that ends a turn whose text sounds unfinished."""
    long_silence_ms: int = 60_000
    """Silence, outside of a turn, that is reported."""
    max_turn_ms: int = 120_000
    """A turn is ended here whatever is heard: a radio never pauses."""

    @classmethod
    def from_settings(cls, settings: Settings) -> EndpointConfig:
        """Return what ``settings`` say."""
        return cls(
            start_threshold=settings.vad_start_threshold,
            end_threshold=min(settings.vad_end_threshold, settings.vad_start_threshold),
            min_speech_ms=settings.vad_min_speech_ms,
            pause_ms=settings.endpoint_pause_ms,
            hangover_min_ms=settings.endpoint_hangover_min_ms,
            hangover_ms=settings.endpoint_hangover_ms,
            hangover_max_ms=settings.endpoint_hangover_max_ms,
            long_silence_ms=settings.endpoint_long_silence_ms,
            max_turn_ms=settings.endpoint_max_turn_s * 1000,
        )


@dataclass(frozen=True)
class SpeechStarted:
    """A turn has begun."""

    at_ms: int
    """When its speech began, in milliseconds of the stream; before now."""


@dataclass(frozen=True)
class Pause:
    """It is quiet: time to prepare the transcript and what follows from it."""

    silence_ms: int


@dataclass(frozen=True)
class SpeechResumed:
    """The turn goes on; what was prepared at the pause is worth nothing."""

    silence_ms: int
    """How long the pause was."""


@dataclass(frozen=True)
class TurnEnded:
    """The turn is over."""

    reason: EndReason
    speech_ms: int
    """Speech in it."""
    silence_ms: int
    """Silence that was waited for; what the speaker feels as delay."""


@dataclass(frozen=True)
class LongSilence:
    """Nobody has spoken for long; reported once for each silence."""

    silence_ms: int


EndpointEvent = SpeechStarted | Pause | SpeechResumed | TurnEnded | LongSilence


class Endpointer:
    """One stream of sound. Not thread-safe."""

    def __init__(self, config: EndpointConfig | None = None, *, mode: Mode = "hands_free") -> None:
        """Nothing was heard yet."""
        self.config = config or EndpointConfig()
        self._mode = mode
        self._now_ms = 0
        self._run_ms = 0
        self._silence_ms = 0
        self._in_turn = self._paused = self._reported = False
        self._started_ms = self._speech_ms = 0
        self._finished = UNKNOWN

    @property
    def mode(self) -> Mode:
        """Hands-free, or push-to-talk."""
        return self._mode

    @property
    def in_turn(self) -> bool:
        """True from ``SpeechStarted`` to ``TurnEnded``."""
        return self._in_turn

    @property
    def paused(self) -> bool:
        """True from ``Pause`` to ``SpeechResumed`` or ``TurnEnded``."""
        return self._paused

    @property
    def speech_run_ms(self) -> int:
        """Continuous speech up to now: what an interruption is judged by, in any state."""
        return self._run_ms

    @property
    def silence_ms(self) -> int:
        """Silence up to now."""
        return self._silence_ms

    @property
    def hangover_ms(self) -> int:
        """Silence that would end this turn, as its text sounds now."""
        low, middle, high = (
            self.config.hangover_min_ms,
            self.config.hangover_ms,
            self.config.hangover_max_ms,
        )
        if self._finished >= UNKNOWN:
            share = (self._finished - UNKNOWN) / (1 - UNKNOWN)
            return round(middle + (low - middle) * share)
        return round(high + (middle - high) * self._finished / UNKNOWN)

    def hear(self, text: str) -> None:
        """Take the turn's transcript so far; the hang-over follows from it."""
        self._finished = finished(text)

    def feed(self, probability: float) -> list[EndpointEvent]:
        """Take the next frame's speech probability; return what has changed, mostly nothing."""
        self._now_ms += FRAME_MS
        speaking = self._run_ms > 0
        threshold = self.config.end_threshold if speaking else self.config.start_threshold
        if probability >= threshold:
            return self._speech()
        return self._silence()

    def press(self) -> list[EndpointEvent]:
        """Begin a turn now: the push-to-talk button is down. Nothing happens within a turn."""
        if self._in_turn:
            return []
        return [self._begin(self._now_ms)]

    def release(self) -> list[EndpointEvent]:
        """End the turn now: the button is up. Nothing happens outside of a turn."""
        return [self._end("released")] if self._in_turn else []

    def set_mode(self, mode: Mode) -> list[EndpointEvent]:
        """Change the mode; a turn that is under way ends."""
        events = self.release() if mode != self._mode else []
        self._mode = mode
        return events

    def reset(self) -> None:
        """Forget the turn and the silence before it; the stream's clock goes on."""
        self._in_turn = self._paused = self._reported = False
        self._run_ms = self._silence_ms = self._speech_ms = 0
        self._finished = UNKNOWN

    def _speech(self) -> list[EndpointEvent]:
        events: list[EndpointEvent] = []
        self._run_ms += FRAME_MS
        if not self._in_turn:
            if self._run_ms >= self.config.min_speech_ms:
                self._silence_ms, self._reported = 0, False
                if self._mode == "hands_free":
                    events.append(self._begin(self._now_ms - self._run_ms))
                    self._speech_ms = self._run_ms
            return events
        self._speech_ms += FRAME_MS
        if not self._paused:
            self._silence_ms = 0
        elif self._run_ms >= self.config.resume_ms:
            events.append(SpeechResumed(self._silence_ms))
            self._paused, self._silence_ms, self._finished = False, 0, UNKNOWN
        return events + self._end_at_limit()

    def _silence(self) -> list[EndpointEvent]:
        events: list[EndpointEvent] = []
        # A burst too short to count was part of the silence.
        self._silence_ms += FRAME_MS + (self._run_ms if self._burst() else 0)
        self._run_ms = 0
        if not self._in_turn:
            if self._silence_ms >= self.config.long_silence_ms and not self._reported:
                self._reported = True
                events.append(LongSilence(self._silence_ms))
            return events
        if not self._paused and self._speech_ms and self._silence_ms >= self.config.pause_ms:
            self._paused = True
            events.append(Pause(self._silence_ms))
        if (
            self._mode == "hands_free"
            and self._paused
            and self._silence_ms >= max(self.hangover_ms, self.config.pause_ms)
        ):
            return [*events, self._end("silence")]
        return events + self._end_at_limit()

    def _burst(self) -> bool:
        """Return whether the run of speech that ends now was too short to be any."""
        if self._in_turn:
            return self._paused and self._run_ms < self.config.resume_ms
        return self._run_ms < self.config.min_speech_ms

    def _begin(self, at_ms: int) -> SpeechStarted:
        self._in_turn, self._paused, self._reported = True, False, False
        self._started_ms, self._speech_ms, self._silence_ms = at_ms, 0, 0
        self._finished = UNKNOWN
        return SpeechStarted(at_ms)

    def _end_at_limit(self) -> list[EndpointEvent]:
        over = self._now_ms - self._started_ms >= self.config.max_turn_ms
        return [self._end("limit")] if over else []

    def _end(self, reason: EndReason) -> TurnEnded:
        ended = TurnEnded(reason, self._speech_ms, self._silence_ms)
        self._in_turn = self._paused = False
        self._silence_ms = self._speech_ms = 0
        self._finished = UNKNOWN
        return ended
