"""The chat model that answers, local or behind an OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage

from chains.llm.budget import ESTIMATED_COST, TemplateCost, TokenCounter, estimate_tokens
from chains.llm.engine import LlmEngine
from chains.llm.factory import build_chat_model
from chains.types import Queued, Token
from core.errors import EngineStalledError, GenerationError, ModelError, XoeError
from core.settings import LlmProfile, Settings
from models.manifest import load_manifest

MODEL_FAULTS = (GenerationError, EngineStalledError, ModelError)
"""What counts against a model: a full queue and an overlong question do not."""


@dataclass(frozen=True)
class GenerationStats:
    """What the engine told at the end; zeros where a remote server tells nothing."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    queue_ms: float = 0.0
    first_token_ms: float = 0.0
    """From when the worker took it up until the first token."""


class Generator:
    """Streams answers and counts tokens for the model in use."""

    def __init__(self, settings: Settings, engine: LlmEngine | None) -> None:
        """``engine`` is None where ``llm_base_url`` names a server."""
        self._settings = settings
        self._engine = engine
        self._costs: dict[LlmProfile, TemplateCost] = {}  # one entry a profile
        self.model: BaseChatModel = build_chat_model(settings, engine)

    def counter(self, profile: LlmProfile | None) -> TokenCounter:
        """Return a blocking token counter: exact for a local model, careful for others."""
        return estimate_tokens if self._engine is None else self._engine.counter(profile)

    async def template_cost(self, profile: LlmProfile | None) -> TemplateCost:
        """Return what the model's chat template adds to a prompt."""
        if self._engine is None:
            return ESTIMATED_COST
        chosen = profile or self._settings.llm_profile
        if chosen not in self._costs:
            self._costs[chosen] = await self._engine.template_cost(chosen)
        return self._costs[chosen]

    def model_file(self, profile: LlmProfile | None) -> str:
        """Return what names the file that writes: what was made with it is made again by it."""
        if self._engine is None:
            return f"{self._settings.llm_base_url} {self._settings.llm_model}"
        entry = load_manifest().entry(profile or self._settings.llm_profile)
        return entry.files[0].sha256

    async def stream(
        self,
        messages: Sequence[BaseMessage],
        *,
        session_id: str,
        max_tokens: int,
        profile: LlmProfile | None,
        temperature: float = 0.0,
    ) -> AsyncGenerator[Queued | Token | GenerationStats, None]:
        """Yield tokens as they come; closing the iterator stops the model.

        Raises ``EngineError`` subclasses.
        """
        options: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature}
        if self._engine is not None:
            options |= {"session_id": session_id, "profile": profile}
        try:
            stream = cast(
                "Any", self.model.astream(list(messages), **options)
            )  # an async generator, though typed as an iterator
            async with aclosing(stream) as chunks:
                async for chunk in chunks:
                    for event in _events(chunk):
                        yield event
        except XoeError:
            raise
        except Exception as exc:  # a remote client's own errors, of many libraries
            raise GenerationError(
                f"The model's server could not answer: {type(exc).__name__}. "
                "Check that it runs, and XOE_LLM_BASE_URL."
            ) from exc


def encodable(text: str) -> str:
    """Return ``text`` with a question mark for each half of a surrogate pair.

    JSON can bring them in; nothing that takes bytes takes them, so one would fail every engine.
    """
    return text.encode("utf-8", "replace").decode()


def _events(chunk: AIMessageChunk) -> list[Queued | Token | GenerationStats]:
    events: list[Queued | Token | GenerationStats] = []
    place = chunk.additional_kwargs.get("queued")
    if place is not None:
        events.append(Queued(int(place)))
    if isinstance(chunk.content, str) and chunk.content:
        events.append(Token(encodable(chunk.content)))
    told = chunk.response_metadata
    if "prompt_tokens" in told:
        events.append(
            GenerationStats(
                prompt_tokens=told["prompt_tokens"],
                cached_tokens=told["cached_tokens"],
                completion_tokens=told["completion_tokens"],
                queue_ms=told["queue_ms"],
                first_token_ms=told["first_token_ms"],
            )
        )
    return events
