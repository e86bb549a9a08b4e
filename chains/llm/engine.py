"""The local model as the rest of the house sees it: asynchronous, and never blocking the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

import structlog

from chains.llm.budget import TemplateCost
from chains.llm.job import Job
from chains.llm.loader import CACHE_BYTES, ModelLoader
from chains.llm.prompt import PromptEncoder
from chains.llm.request import (
    ChatTurn,
    Finished,
    GenerationRequest,
    Queued,
    StreamEvent,
    TextPiece,
)
from chains.llm.worker import EngineState, Worker
from xoe.settings import Settings

__all__ = [
    "ChatTurn",
    "EngineState",
    "Finished",
    "GenerationRequest",
    "LlmEngine",
    "Queued",
    "StreamEvent",
    "TextPiece",
]

log = structlog.get_logger(__name__)

_WATCH_EVERY_S = 0.5


class LlmEngine:
    """One model at a time, one thread, a fair queue. Cheap to make; loads nothing until started."""

    def __init__(self, settings: Settings, *, cache_bytes: int = CACHE_BYTES) -> None:
        """``cache_bytes`` bounds what is kept of earlier prompts beside the model's context."""
        self._settings = settings
        self._loader = ModelLoader(settings, cache_bytes=cache_bytes)
        self._worker = Worker(self._loader, queue_limit=settings.llm_queue_limit)
        self._watch: asyncio.Task[None] | None = None

    @property
    def state(self) -> EngineState:
        """``ready`` also while it changes models for a request."""
        return self._worker.state

    @property
    def problem(self) -> str | None:
        """Why the model could not be loaded, in a sentence for a person."""
        return self._worker.problem

    @property
    def loaded_profile(self) -> str | None:
        """The profile whose model is in memory now."""
        return self._worker.loaded

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return self._worker.waiting

    @property
    def idle(self) -> bool:
        """True when nothing is being answered or read and nothing waits."""
        return self._worker.idle

    async def start(self) -> None:
        """Load the default profile; may be called again after a failure.

        Raises ``ModelMissingError``, ``ModelDamagedError`` or ``ModelLoadError``. Questions asked
        meanwhile wait; they fail if it fails.
        """
        if self.state == "ready":
            return
        if self._watch is None:
            self._watch = asyncio.create_task(self._watch_for_stalls(), name="llm-watch")
        # The load goes on if the caller gives up, so that the state is true in any case.
        loading = self._worker.start(self._settings.llm_profile)
        await asyncio.shield(asyncio.wrap_future(loading))

    async def warm(self, messages: Sequence[ChatTurn], profile: str | None = None) -> int:
        """Read the beginning that prompts will share, the system prompt above all.

        Returns its number of tokens. It stays in memory while the profile's model does.
        """
        chosen = profile or self._settings.llm_profile
        return await asyncio.wrap_future(self._worker.warm(tuple(messages), chosen))

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[StreamEvent, None]:
        """Answer ``request``: ``Queued`` while it waits, ``TextPiece``s, then ``Finished``.

        Closing the iterator, or cancelling its task, takes the request out of the queue or stops
        the model within a token. Raises ``EngineBusyError`` when the queue is full,
        ``EngineNotReadyError``, ``EngineStalledError``, ``QuestionError`` when the prompt does not
        fit in the context, ``ModelError`` when its profile cannot be loaded, ``GenerationError``
        when the model fails.
        """
        job = Job(
            request,
            max_tokens=request.max_tokens or self._settings.llm_max_tokens,
            profile=request.profile or self._settings.llm_profile,
        )
        self._worker.submit(job)
        try:
            async for event in job.events():
                yield event
        finally:
            self._worker.cancel(job)

    def unload(self) -> None:
        """Free the model's memory when it is idle; the next request loads it again."""
        self._worker.unload()

    async def count_tokens(self, texts: Sequence[str], profile: str | None = None) -> list[int]:
        """Return the exact number of tokens of each text; does not wait for the model."""
        return await asyncio.to_thread(self.counter(profile), texts)

    def counter(self, profile: str | None = None) -> Callable[[Sequence[str]], list[int]]:
        """Return ``count_tokens`` for use in a thread, such as by ``fit_prompt``.

        The first call for a profile loads its tokenizer and may raise ``ModelError``.
        """
        chosen = profile or self._settings.llm_profile
        return lambda texts: self._loader.vocabulary(chosen).count(texts)

    async def template_cost(self, profile: str | None = None) -> TemplateCost:
        """Measure what the profile's chat template adds to a prompt; raises ``ModelError``."""
        chosen = profile or self._settings.llm_profile
        return await asyncio.to_thread(
            lambda: PromptEncoder(self._loader.vocabulary(chosen)).cost()
        )

    async def aclose(self) -> None:
        """Stop what runs, fail what waits, end the thread and free the memory."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        await asyncio.to_thread(self._close)

    async def _watch_for_stalls(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_EVERY_S)
            self._worker.look_for_stall(self._settings.llm_stall_s)

    def _close(self) -> None:
        if self._worker.stop():
            self._loader.close()
