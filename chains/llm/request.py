"""What is asked of the engine and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class ChatTurn:
    """One message of a chat, as the model is to see it."""

    role: Role
    content: str


@dataclass(frozen=True)
class GenerationRequest:
    """A prompt and how it is to be answered. ``None`` means the setting's default."""

    messages: tuple[ChatTurn, ...]
    max_tokens: int | None = None
    profile: str | None = None
    session_id: str = ""
    """Requests of one session are served in order; sessions take turns."""
    owner: str = ""
    """Whose it is, by which what is kept of prompts is shared out; the engine fills it in."""
    temperature: float = 0.0
    """0: always the likeliest token."""
    stop: tuple[str, ...] = ()
    """The answer ends before the first of these."""


@dataclass(frozen=True)
class Queued:
    """The request waits; ``place`` others are served before it (0: it is next)."""

    place: int


@dataclass(frozen=True)
class TextPiece:
    """Some more of the answer; never empty, never half a character."""

    text: str


@dataclass(frozen=True)
class Finished:
    """The end of an answer, with its measures."""

    prompt_tokens: int
    cached_tokens: int
    """Of the prompt, those that did not have to be read again."""
    completion_tokens: int
    queue_ms: float
    """From the request until the worker took it up, a change of models included."""
    first_token_ms: float
    """From there until the first token; 0 when there was none."""
    reason: FinishReason
    """``length``: ``max_tokens`` or the end of the context was reached."""


@dataclass(frozen=True)
class Scored:
    """How likely each of some words is as the answer's first token."""

    logits: tuple[float, ...]
    """In the order of the words."""
    prompt_tokens: int
    cached_tokens: int
    queue_ms: float
    """From the request until the worker took it up, a change of models included."""
    read_ms: float
    """From there until the scores."""


StreamEvent = Queued | TextPiece | Finished | Scored
