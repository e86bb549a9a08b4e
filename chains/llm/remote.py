"""A model on an OpenAI-compatible server, behind the same interface and the same errors."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import openai
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.exceptions import (
    ContextOverflowError,
    ModelAuthenticationError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI, StreamChunkTimeoutError

from core.errors import EngineError, GenerationError, QuestionError

_LOCAL_ONLY = ("session_id", "profile")
_OVERLONG = re.compile(r"context[ _](length|size|window)", re.IGNORECASE)  # vLLM, llama.cpp, …
_FAILURES = (openai.APIError, httpx.TransportError, StreamChunkTimeoutError)


class RemoteChatModel(ChatOpenAI):
    """Takes what ``LocalChatModel`` takes, and raises ``XoeError`` when the server fails.

    ``session_id`` and ``profile`` mean nothing to a server and are not sent.
    """

    def _get_request_payload(
        self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        for name in _LOCAL_ONLY:
            kwargs.pop(name, None)
        payload: dict[str, Any] = super()._get_request_payload(input_, stop=stop, **kwargs)
        if "max_completion_tokens" in payload:  # the older name is the one that all servers know
            payload["max_tokens"] = payload.pop("max_completion_tokens")
        return payload

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        try:
            async for chunk in super()._astream(*args, **kwargs):
                yield chunk
        except _FAILURES as exc:
            raise self._explain(exc) from exc

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        try:
            return await super()._agenerate(messages, stop, run_manager, **kwargs)
        except _FAILURES as exc:
            raise self._explain(exc) from exc

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        try:
            return super()._generate(*args, **kwargs)
        except _FAILURES as exc:
            raise self._explain(exc) from exc

    def _explain(self, error: Exception) -> EngineError | QuestionError:
        server = f"The model server at {self.openai_api_base}"
        if isinstance(error, ContextOverflowError) or _is_overlong(error):
            return QuestionError(f"The question is too long for {server[:1].lower()}{server[1:]}.")
        if isinstance(error, ModelAuthenticationError | ModelPermissionDeniedError):
            return GenerationError(f"{server} refuses the key. Set llm_api_key.")
        if isinstance(error, ModelNotFoundError):
            return GenerationError(
                f"{server} knows no model {self.model_name!r}. Set llm_model and llm_base_url."
            )
        if isinstance(error, ModelRateLimitError):
            return GenerationError(f"{server} is overloaded. Please ask again in a moment.")
        if isinstance(error, ModelTimeoutError | StreamChunkTimeoutError):
            return GenerationError(f"{server} did not answer in time. Please ask again.")
        if isinstance(error, openai.APIStatusError):
            return GenerationError(
                f"{server} reports error {error.status_code}. Its own log says why."
            )
        if isinstance(error, openai.APIConnectionError | httpx.TransportError):
            return GenerationError(
                f"{server} cannot be reached. Check that it runs and that llm_base_url is right."
            )
        return GenerationError(f"{server} failed while it was answering. Please ask again.")


def _is_overlong(error: Exception) -> bool:
    return isinstance(error, openai.BadRequestError) and bool(
        _OVERLONG.search(f"{error.message} {error.body}")
    )
