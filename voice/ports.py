"""What a call needs from outside: a page to show and play things on, and somebody who answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class CallState(StrEnum):
    """What the call is doing, as the speaker sees it."""

    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"


@dataclass(frozen=True)
class CallView:
    """What the page shows of a call."""

    state: CallState
    level: float = 0.0
    """How loud the microphone is, 0 … 1."""
    partial: str = ""
    """What has been understood of the turn so far."""
    note: str = ""
    """One quiet line, such as that a part is degraded."""


@dataclass(frozen=True)
class TurnStages:
    """Milliseconds of the stages of one turn; ``None`` where a stage did not run."""

    endpoint: float | None = None
    """Silence that was waited for before the turn was taken for over."""
    stt: float | None = None
    """From the end of the turn to its final text."""
    retrieval: float | None = None
    first_token: float | None = None
    """From the final text to the model's first token."""
    first_audio: float | None = None
    """From the end of the speech, the wait included, to the first sound sent."""


class CallPage(Protocol):
    """The page of one call."""

    async def send_audio(self, track: str, pcm: bytes) -> None:
        """Play sound (s16le, 24 kHz) after what was sent before on this track."""

    async def interrupt(self) -> None:
        """Be silent at once, and drop what was sent."""

    async def show(self, view: CallView) -> None:
        """Show how the call is."""

    async def show_stages(self, stages: TurnStages) -> None:
        """Offer the times of the last turn."""

    async def hang_up(self, reason: str) -> None:
        """End the call and say why."""


class Conversation(Protocol):
    """Who answers. Typed and spoken turns are one conversation."""

    def prepare(self, text: str) -> None:
        """Begin to answer what may become a turn; nothing is shown or kept. Replaces the last."""

    def drop_prepared(self) -> None:
        """Forget what was prepared: the speaker goes on."""

    def answer(self, text: str, stages: TurnStages) -> AsyncGenerator[str, None]:
        """Show the turn and its answer on the page, and yield the text to be said.

        ``stages``: what hearing and understanding the turn took.

        Closing the generator does not stop the answer; ``cut`` and ``take_back`` do.
        """

    def sounded(self, first_audio_ms: float) -> None:
        """Note when the answer's first sound was sent, counted from the end of the speech."""

    async def cut(self, heard: str) -> None:
        """Stop the answer; the page and the history keep ``heard``."""

    async def take_back(self) -> None:
        """Stop the answer and remove the turn: nothing was heard, and the speaker goes on."""

    def answer_times(self) -> tuple[float | None, float | None]:
        """Return the milliseconds of the last answer's retrieval and first token."""
