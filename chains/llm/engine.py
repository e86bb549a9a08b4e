"""The local model as the rest of the house sees it: asynchronous, in a process that may be lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Final

import psutil

from chains.llm.budget import TemplateCost
from chains.llm.job import AnswerJob, AnswerQueue
from chains.llm.request import (
    ChatTurn,
    Finished,
    GenerationRequest,
    Queued,
    Scored,
    StreamEvent,
    TextPiece,
)
from core.errors import (
    EngineError,
    EngineNotReadyError,
    EngineStalledError,
    GenerationError,
    GenerationLostError,
    XoeError,
)
from core.settings import Settings
from engines import llama_build
from engines.life import Recipe, WorkerState
from engines.process import EngineFault, EngineLost, EngineProcess
from engines.wire import Frame, Head
from engines.worker import EngineReport, Worker
from models.provision import ensure_present

__all__ = [
    "CACHE_BYTES",
    "ChatTurn",
    "EngineState",
    "Finished",
    "GenerationRequest",
    "LlmEngine",
    "Queued",
    "StreamEvent",
    "TextPiece",
]

EngineState = WorkerState

CACHE_BYTES: Final = 128 * 2**20
"""Saved states: 10,000 tokens of the fast model's, 4,600 of the quality one's."""

OPENINGS: Final = 2
"""Beginnings that are read again with a new process: of answers, and of checks."""

WORDS_STALL_S: Final = 60.0
"""Counting takes milliseconds; a tokenizer is loaded first, from a slow disk perhaps."""


class LlmEngine:
    """One model at a time, one process, a fair queue. Cheap to make; loads nothing until started.

    Its methods may be called from any event loop.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        name: str = "llm",
        cache_bytes: int = CACHE_BYTES,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """``cache_bytes`` bounds what is kept of earlier prompts beside the model's context.

        ``name`` is the process's, in reports.
        ``on_change`` is called, in a thread of the engine's, when its state has changed.
        """
        self._settings = settings
        self._queue = AnswerQueue(settings.llm_queue_limit)
        self._openings: tuple[tuple[ChatTurn, ...], ...] = ()
        self._worker: Worker[AnswerJob] = Worker(
            Recipe(
                name=name,
                title="The language model",
                service="chains.llm.service:LlmService",
                options={
                    "models_dir": str(settings.models_dir),
                    "context_tokens": settings.llm_context_tokens,
                    "threads": settings.llm_threads or psutil.cpu_count(logical=False) or 1,
                    "cache_bytes": cache_bytes,
                },
                prepare=self._prepare,
                lost=_lost,
                closed=_closed,
                stall_s=settings.llm_stall_s,
                environment=self._environment,
            ),
            self._queue,
            on_change=on_change,
        )

    @property
    def state(self) -> EngineState:
        """``ready`` also while it changes models for a request; ``loading`` while started again."""
        return self._worker.state

    @property
    def problem(self) -> str | None:
        """Why the model could not be loaded, in a sentence for a person."""
        return self._worker.problem

    @property
    def loaded_profile(self) -> str | None:
        """The profile whose model is in memory now."""
        return self._queue.loaded

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return self._worker.waiting

    @property
    def idle(self) -> bool:
        """True when nothing is being answered, read or loaded and nothing waits."""
        return self._worker.idle

    def report(self) -> EngineReport:
        """Return how its process is."""
        return self._worker.report()

    async def start(self) -> None:
        """Load the default profile; may be called again after a failure.

        Raises ``ModelMissingError``, ``ModelDamagedError`` or ``ModelLoadError``, and
        ``EngineError`` when its process does not come up. Questions asked meanwhile wait; they
        fail if it fails. A process that is lost later is started again by itself.
        """
        await self._worker.started()

    async def warm(self, messages: Sequence[ChatTurn], profile: str | None = None) -> int:
        """Read the beginning that prompts will share, the system prompt above all.

        Returns its number of tokens. It stays in memory while the profile's model does, and is
        read again when the process is started again.
        """
        chosen = profile or self._settings.llm_profile
        opening = tuple(messages)
        # Now: one that dies of it is not to be taken for ready again.
        self._openings = tuple(dict.fromkeys((*self._openings, opening)))[-OPENINGS:]
        reading = self._worker.call(
            "warm", _warming(opening, chosen), is_work=True, stall_s=self._settings.llm_stall_s
        )
        frame = await asyncio.wrap_future(reading)
        self._note_loaded(chosen)
        return int(frame.head["tokens"])

    async def stream(self, request: GenerationRequest) -> AsyncGenerator[StreamEvent, None]:
        """Answer ``request``: ``Queued`` while it waits, ``TextPiece``s, then ``Finished``.

        Closing the iterator, or cancelling its task, takes the request out of the queue or stops
        the model within a token. Raises ``EngineBusyError`` when the queue is full,
        ``EngineNotReadyError``, ``EngineStalledError``, ``QuestionError`` when the prompt does not
        fit in the context, ``ModelError`` when its profile cannot be loaded, ``GenerationError``
        when the model fails or its process is lost.
        """
        async with aclosing(self._events(request, ())) as events:
            async for event in events:
                yield event

    async def score(self, request: GenerationRequest, words: Sequence[str]) -> Scored:
        """Read ``request`` and return how likely its answer begins with each of ``words``.

        It waits for its turn as an answer does. Raises as ``stream`` does.
        """
        async with aclosing(self._events(request, words)) as events:
            async for event in events:
                if isinstance(event, Scored):
                    return event
        raise GenerationError("The model gave no scores.")

    async def _events(
        self, request: GenerationRequest, words: Sequence[str]
    ) -> AsyncGenerator[StreamEvent, None]:
        job = AnswerJob(
            request,
            max_tokens=request.max_tokens or self._settings.llm_max_tokens,
            profile=request.profile or self._settings.llm_profile,
            on_loaded=self._note_loaded,
            words=words,
        )
        self._worker.submit(job)
        try:
            async for event in job.events():
                yield event
        finally:
            self._worker.cancel(job)

    def unload(self) -> None:
        """Free the model's memory after what runs; the next request loads it again."""
        if self._worker.state == "ready":
            self._worker.call("unload", {}, is_work=True)
            self._queue.loaded = None

    async def count_tokens(self, texts: Sequence[str], profile: str | None = None) -> list[int]:
        """Return the exact number of tokens of each text; does not wait for the model."""
        return await asyncio.to_thread(self.counter(profile), texts)

    def counter(self, profile: str | None = None) -> Callable[[Sequence[str]], list[int]]:
        """Return ``count_tokens`` for use in a thread, such as by ``fit_prompt``.

        The first call for a profile loads its tokenizer and may raise ``ModelError``.
        """
        chosen = profile or self._settings.llm_profile

        def count(texts: Sequence[str]) -> list[int]:
            arguments = {"texts": list(texts), "profile": chosen}
            counts: list[int] = self._about_words("count", arguments).head["tokens"]
            return counts

        return count

    async def template_cost(self, profile: str | None = None) -> TemplateCost:
        """Measure what the profile's chat template adds to a prompt; raises ``ModelError``."""
        chosen = profile or self._settings.llm_profile
        measured = await asyncio.to_thread(self._about_words, "cost", {"profile": chosen})
        return TemplateCost(**measured.head)

    async def aclose(self) -> None:
        """Stop what runs, fail what waits, end the process."""
        await asyncio.to_thread(self._worker.stop)
        self._queue.loaded = None

    def _about_words(self, method: str, arguments: Head) -> Frame:
        """Call a method that needs no model, once more if the process was lost meanwhile."""

        def ask() -> Frame:
            return self._worker.call(
                method, arguments, needs_ready=False, stall_s=WORDS_STALL_S
            ).result()

        try:
            return ask()
        except EngineNotReadyError:  # it was shut down
            raise
        except EngineError:
            return ask()

    def _environment(self, prove: bool) -> Mapping[str, str]:
        """Choose a build of llama.cpp that runs here, proven with the model if it is not yet."""
        build = llama_build.current()
        if prove or not build.proven:
            path = ensure_present(self._settings.llm_profile, self._settings.models_dir)
            build = llama_build.ensure_proven(path, again=prove)
        return llama_build.environment(build)

    async def _prepare(self, process: EngineProcess) -> None:
        profile = self._settings.llm_profile
        self._queue.loaded = None
        await process.call("use", {"profile": profile})
        self._note_loaded(profile)
        for opening in self._openings:
            await process.call("warm", _warming(opening, profile))

    def _note_loaded(self, profile: str) -> None:
        if self._queue.loaded != profile:
            self._queue.loaded = profile
            self._worker.loaded_anew()


def _warming(messages: Sequence[ChatTurn], profile: str) -> Head:
    return {"messages": [(turn.role, turn.content) for turn in messages], "profile": profile}


def _lost(reason: Exception) -> XoeError:
    if isinstance(reason, EngineLost) and reason.is_stuck:
        return EngineStalledError("The model does not respond just now; it is being started again.")
    if isinstance(reason, EngineLost):
        return GenerationLostError(
            "The model was lost while it was answering; it is being started again. Please ask "
            "again in a moment."
        )
    if isinstance(reason, EngineFault):
        return GenerationError("The model failed while it was answering. Please ask again.")
    return _closed()


def _closed() -> EngineNotReadyError:
    return EngineNotReadyError("The model has been shut down.")
