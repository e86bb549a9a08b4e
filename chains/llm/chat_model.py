"""The engine as a LangChain chat model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel, agenerate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import ConfigDict

from chains.llm.engine import LlmEngine
from chains.llm.request import ChatTurn, Finished, GenerationRequest, Queued, Role, TextPiece
from core.errors import EngineError

QUEUED = "queued"
"""Key of ``additional_kwargs``: the place in the queue, in a chunk without text."""

_ROLES: dict[str, Role] = {"system": "system", "human": "user", "ai": "assistant"}


class LocalChatModel(BaseChatModel):
    """Streams from the engine; stopping the stream stops the model.

    ``session_id``, ``profile``, ``max_tokens`` and ``temperature`` may be bound
    (``model.bind(session_id=…)``); the fields are their defaults. A chunk without text and
    ``additional_kwargs["queued"]`` tells the place in the queue; the last chunk carries
    ``usage_metadata`` and, in ``response_metadata``, the fields of ``Finished``.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    engine: LlmEngine
    session_id: str = ""
    llm_profile: str | None = None
    max_tokens: int | None = None
    temperature: float = 0.0

    @property
    def _llm_type(self) -> str:
        return "xoe-local"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"profile": self.llm_profile, "max_tokens": self.max_tokens}

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[ChatGenerationChunk, None]:
        request = GenerationRequest(
            messages=to_turns(messages),
            stop=tuple(stop or ()),
            session_id=kwargs.get("session_id", self.session_id),
            profile=kwargs.get("profile", self.llm_profile),
            max_tokens=kwargs.get("max_tokens", self.max_tokens),
            temperature=kwargs.get("temperature", self.temperature),
        )
        async with aclosing(self.engine.stream(request)) as events:
            async for event in events:
                if isinstance(event, Queued):
                    yield _chunk("", additional_kwargs={QUEUED: event.place})
                elif isinstance(event, Finished):
                    yield _last_chunk(event)
                elif isinstance(event, TextPiece):
                    chunk = _chunk(event.text)
                    if run_manager is not None:
                        await run_manager.on_llm_new_token(event.text, chunk=chunk)
                    yield chunk

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        async def answer() -> AsyncIterator[ChatGenerationChunk]:
            async with aclosing(self._astream(messages, stop, run_manager, **kwargs)) as chunks:
                async for chunk in chunks:
                    if QUEUED not in chunk.message.additional_kwargs:
                        yield chunk

        return await agenerate_from_stream(answer())

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(self._agenerate(messages, stop, **kwargs))
        raise EngineError(
            "invoke() and stream() would block the event loop; use ainvoke() and astream()."
        )


def to_turns(messages: Sequence[BaseMessage]) -> tuple[ChatTurn, ...]:
    """Return LangChain's messages as the engine's; ``EngineError`` for a kind it has not."""
    turns = []
    for message in messages:
        if message.type not in _ROLES:
            raise EngineError(f"The local model reads no messages of the kind {message.type!r}.")
        turns.append(ChatTurn(_ROLES[message.type], message.text))
    return tuple(turns)


def _chunk(text: str, **fields: Any) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(content=text, **fields))


def _last_chunk(finished: Finished) -> ChatGenerationChunk:
    return _chunk(
        "",
        usage_metadata=UsageMetadata(
            input_tokens=finished.prompt_tokens,
            output_tokens=finished.completion_tokens,
            total_tokens=finished.prompt_tokens + finished.completion_tokens,
            input_token_details=InputTokenDetails(cache_read=finished.cached_tokens),
        ),
        response_metadata={"finish_reason": finished.reason, **asdict(finished)},
    )
