"""How much of the system works, as one level, and which sentence tells it.

Each level keeps what still works. It is a function of the parts alone, so going down and coming up
again need no decision of their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

import structlog

if TYPE_CHECKING:
    from core.settings import LlmProfile

Engine = Literal["usual", "spare", "none", "off"]
"""Which engine of a pair serves; ``off``: voice is switched off, or still loading."""

log = structlog.get_logger(__name__)

MemoryTier = Literal[0, 1, 2, 3]
"""How short memory is: 0 not at all, 3 nearly used up."""


class Level(StrEnum):
    """From everything to the last resort."""

    FULL = "full"
    """Voice in and out, cited answers."""
    LIGHTER_VOICE = "lighter_voice"
    """A smaller transcriber or the second voice, or smaller models as memory is short."""
    HALF_VOICE = "half_voice"
    """Voice in and text out, or text in and voice out."""
    DIRECT = "direct"
    """The model without the library, labelled as such."""
    EXTRACTIVE = "extractive"
    """The best passages, quoted and cited."""
    TEMPLATE = "template"
    """A fixed, honest reply; the question is kept."""
    EMERGENCY = "emergency"
    """And no voice that could say so: a recorded apology."""

    @property
    def rank(self) -> int:
        """0 for everything, more the less works."""
        return list(Level).index(self)


@dataclass(frozen=True)
class Parts:
    """What works now."""

    model: bool = True
    retrieval: bool = True
    stt: Engine = "off"
    tts: Engine = "off"
    memory: MemoryTier = 0


def level_of(parts: Parts) -> Level:
    """Return the best level that the parts allow."""
    if not parts.model and not parts.retrieval:
        return Level.EMERGENCY if parts.tts == "none" else Level.TEMPLATE
    if not parts.model or parts.memory == 3:
        return Level.EXTRACTIVE
    if not parts.retrieval:
        return Level.DIRECT
    if "none" in (parts.stt, parts.tts):
        return Level.HALF_VOICE
    if "spare" in (parts.stt, parts.tts) or parts.memory:
        return Level.LIGHTER_VOICE
    return Level.FULL


@dataclass(frozen=True)
class Budget:
    """What a turn may take while memory is short."""

    share: float = 1.0
    """Of the usual length of answers and number of passages."""
    profile: LlmProfile | None = None
    """The model to use instead of the chosen one."""
    model: bool = True
    """Whether the model may be used at all."""
    light_voice: bool = False
    """Whether the spare engines listen and speak."""

    def tokens(self, usual: int) -> int:
        """Return how long an answer may be, in tokens."""
        return max(16, int(usual * self.share))

    def passages(self, usual: int) -> int:
        """Return how many passages may be read."""
        return max(1, int(usual * self.share))


def budget_of(tier: MemoryTier, smallest: LlmProfile) -> Budget:
    """Return what is left for a turn; ``smallest`` is the smallest model installed."""
    match tier:
        case 0:
            return Budget()
        case 1:
            return Budget(share=0.5)
        case 2:
            return Budget(share=0.5, profile=smallest, light_voice=True)
        case 3:
            return Budget(share=0.5, model=False, light_voice=True)


_REASONS = {
    "model": "The language model does not answer; the best passages are quoted instead.",
    "retrieval": "The documents cannot be searched; the model answers without them.",
    "both": "Neither the documents can be searched nor does the language model answer.",
    "stt_none": "Speech is not understood just now; typing works.",
    "tts_none": "There is no voice just now; answers are written.",
    "stt_spare": "A smaller model listens, as the usual one fails.",
    "tts_spare": "A simpler voice speaks, as the usual one fails.",
    "memory_1": "Memory is getting short: answers are shorter.",
    "memory_2": "Memory is short: the smallest model answers.",
    "memory_3": "Memory is nearly used up: the best passages are quoted, without the model.",
}


def reason_of(parts: Parts) -> str:
    """Return one sentence for each thing that does not work; empty at the full level."""
    reasons = []
    if not parts.model and not parts.retrieval:
        reasons.append(_REASONS["both"])
    elif not parts.model:
        reasons.append(_REASONS["model"])
    elif not parts.retrieval:
        reasons.append(_REASONS["retrieval"])
    for name, engine in (("stt", parts.stt), ("tts", parts.tts)):
        if engine in ("none", "spare"):
            reasons.append(_REASONS[f"{name}_{engine}"])
    if parts.memory:
        reasons.append(_REASONS[f"memory_{parts.memory}"])
    return " ".join(reasons)


@dataclass(frozen=True)
class LevelStatus:
    """The level, and why it is not a better one."""

    level: Level
    since: float
    """Seconds since 1970."""
    reason: str
    """A sentence or two for a person; empty at the full level."""


class Ladder:
    """Follows the parts: down at once when one fails, up again when it is back."""

    def __init__(
        self,
        parts: Callable[[], Parts],
        *,
        on_change: Callable[[Level], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``parts`` tells what works; ``on_change`` hears of each new level."""
        self._parts = parts
        self._on_change = on_change
        self._clock = clock
        self._status = LevelStatus(Level.FULL, clock(), "")

    def status(self) -> LevelStatus:
        """Look at the parts and return the level."""
        parts = self._parts()
        level, reason = level_of(parts), reason_of(parts)
        before = self._status
        if level is not before.level:
            log.info("ladder.changed", before=before.level, now=level, reason=reason)
            self._status = LevelStatus(level, self._clock(), reason)
            self._on_change(level)
        elif reason != before.reason:
            self._status = LevelStatus(level, before.since, reason)
        return self._status
