"""The values that go into a speech-to-text engine and come out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from voice.audio import Samples

AUTO = "auto"
"""The language setting that lets the engine find out."""

Dropped = Literal["no_speech", "hallucination", "unsure"]


class CallLanguage:
    """The language of one call: given, or found out once and then kept."""

    def __init__(self, setting: str = AUTO) -> None:
        """Take ``setting``: a code such as ``en``, or ``auto``."""
        self._code = None if setting == AUTO else setting

    @property
    def code(self) -> str | None:
        """The language's code; ``None`` while it is not known."""
        return self._code

    def settle(self, code: str) -> None:
        """Keep ``code`` for the rest of the call, unless a language is known already."""
        self._code = self._code or code


@dataclass(frozen=True)
class DecodeRequest:
    """One piece of speech to transcribe, independent of every other."""

    audio: Samples
    """Mono, 16 kHz, at most 30 s."""
    language: str | None = None
    """A code such as ``en``; ``None``: find out."""
    hints: tuple[str, ...] = ()
    """Names that may come up, such as titles of documents."""
    speech_ms: int | None = None
    """How much of it the speech detector took for speech; ``None``: nobody listened."""
    partial: bool = False
    """The speaker has not finished; a final request goes before it."""


@dataclass(frozen=True)
class Transcript:
    """What was said, with the evidence for it."""

    text: str
    """Empty where nothing was said."""
    language: str = ""
    language_probability: float = 1.0
    """1 where the language was given."""
    audio_ms: int = 0
    speech_ms: int = 0
    decode_ms: float = 0.0
    """In the engine, without waiting for it."""
    wait_ms: float = 0.0
    """Until the engine was free."""
    avg_logprob: float = 0.0
    """Mean log-probability of the tokens; near 0 is sure, below −1 is a guess."""
    no_speech_prob: float = 0.0
    window_frames: int = 0
    """How much was encoded to get the text, in 10 ms; longer where a shorter one looked wrong."""
    dropped: Dropped | None = None
    """Why the text is empty although the engine wrote something."""
    engine: str = ""
    partial: bool = False
    """The speaker had not finished."""
