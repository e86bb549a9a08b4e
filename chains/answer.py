"""The answer chain: history → retrieve → gate → prompt → stream → citations → history.

A LangChain runnable from ``Question`` to a stream of ``AnswerEvent``s. Each stage takes a ``Turn``
and returns one that knows more; the last one streams.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import cast

import structlog
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableLambda

from chains.compose import (
    compose,
    direct,
    empty_library,
    not_in_library,
    quote_sources,
    still_reading,
)
from chains.followup import asks_for_overview, is_small_talk, search_text
from chains.gate import is_answerable
from chains.generation import GenerationStats, Generator
from chains.memory import Exchange, Memory
from chains.overview import Overview
from chains.prompt_builder import Prompt, PromptBuilder
from chains.retriever import HybridSearch
from chains.types import (
    LIBRARY_OWNER,
    Answer,
    AnswerEvent,
    Done,
    Passage,
    Question,
    Queued,
    Sources,
    Token,
    TurnTimings,
)
from ingest.store import Store
from xoe.errors import QuestionError
from xoe.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Turn:
    """What is known of a turn so far."""

    question: Question
    started: float = field(default_factory=time.perf_counter)
    exchanges: tuple[Exchange, ...] = ()
    passages: tuple[Passage, ...] = ()
    grounds: bool = True
    """Whether the answer must come from the passages."""
    answerable: bool = False
    """Whether a passage is close enough to the question."""
    follows_up: bool = False
    """Whether the question needs the one before it."""
    settled: Answer | None = None
    """An answer that needs no model."""
    prompt: Prompt | None = None
    timings: TurnTimings = field(default_factory=TurnTimings)

    def elapsed_ms(self) -> float:
        """Return the time since the question came."""
        return (time.perf_counter() - self.started) * 1000


class AnswerChain:
    """Answers questions. Wired once; serves any number of turns at a time."""

    def __init__(
        self,
        *,
        settings: Settings,
        store: Store,
        search: HybridSearch,
        memory: Memory,
        generator: Generator,
        is_reading: Callable[[], bool] = lambda: False,
    ) -> None:
        """Wire the stages. ``is_reading`` tells whether documents are still coming in."""
        self._settings = settings
        self._store = store
        self._search = search
        self._memory = memory
        self._generator = generator
        self._is_reading = is_reading
        self._overview = Overview(store, search)
        self._builder = PromptBuilder(settings, generator)
        self._preparation: Runnable[Question, Turn] = cast(
            Runnable[Question, Turn],
            RunnableLambda(self._recall)
            | RunnableLambda(self._retrieve)
            | RunnableLambda(self._gate)
            | RunnableLambda(self._prompt),
        )
        self._answering: Runnable[Turn, AnswerEvent] = cast(
            Runnable[Turn, AnswerEvent], RunnableGenerator(self._respond)
        )
        self.runnable: Runnable[Question, AnswerEvent] = self._preparation | self._answering

    async def stream(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        """Yield ``Sources``, then ``Queued`` and ``Token``s, then ``Done``.

        Closing the iterator stops the model within a token. Raises ``QuestionError`` or
        ``EngineError`` subclasses.
        """
        async with aclosing(_events(self.runnable.astream(question))) as events:
            async for event in events:
                yield event

    async def prepare(self, question: Question) -> Turn:
        """Do all that comes before the model, for a question that may still change.

        Nothing is kept of it. Raises as ``stream`` does.
        """
        return await self._preparation.ainvoke(question)

    async def read_ahead(self, turn: Turn) -> None:
        """Let the model read the prompt, so that its first token comes at once later.

        Cancelling it stops the reading. Raises ``EngineError`` subclasses.
        """
        if turn.prompt is not None:
            async with aclosing(self._generate(turn.question, turn.prompt, max_tokens=1)) as events:
                async for _ in events:
                    pass

    async def answer(self, turn: Turn) -> AsyncGenerator[AnswerEvent, None]:
        """Answer a prepared turn as ``stream`` does; its time counts from now."""
        begun = replace(turn, started=time.perf_counter())
        async with aclosing(_events(self._answering.astream(begun))) as events:
            async for event in events:
                yield event

    async def take_back(self, turn: Turn) -> None:
        """Forget the chat's last turn, which was ``turn``."""
        await self._memory.take_back(turn.question)

    async def cut_short(self, turn: Turn, heard: str, *, remembered: bool) -> None:
        """Keep of a spoken answer what was heard; ``remembered``: the whole of it was kept."""
        if remembered:
            await self._memory.take_back(turn.question)
        await self._remember(turn, "", Answer(heard, (), grounded=False))

    async def _recall(self, question: Question) -> Turn:
        _check(question, self._settings)
        turn = Turn(question)
        exchanges = await self._memory.recall(question)
        timings = replace(turn.timings, history=turn.elapsed_ms())
        return replace(turn, exchanges=tuple(exchanges), timings=timings)

    async def _retrieve(self, turn: Turn) -> Turn:
        return await asyncio.to_thread(self._find, turn)

    def _find(self, turn: Turn) -> Turn:
        """Look for passages; small talk and questions without the library need none."""
        question = turn.question
        if not question.use_library or is_small_talk(question.text):
            return replace(turn, grounds=False)
        begun = time.perf_counter()
        limit = question.passages or self._settings.retrieval_passages
        passages: tuple[Passage, ...] = ()
        answerable = False
        if asks_for_overview(question.text):
            passages = self._overview.passages(question.text, question.owner, limit=limit)
            answerable = bool(passages)
        if not passages:
            text = search_text(question.text, [e.question for e in turn.exchanges])
            turn = replace(turn, follows_up=text != question.text)
            owners = (LIBRARY_OWNER, question.owner)
            result = self._search.search(text, owners, limit=limit)
            passages, answerable = result.passages, is_answerable(result)
        timings = replace(turn.timings, retrieval=(time.perf_counter() - begun) * 1000)
        return replace(turn, passages=passages, answerable=answerable, timings=timings)

    async def _gate(self, turn: Turn) -> Turn:
        """Settle at once what the library cannot answer."""
        if not turn.grounds or turn.answerable:
            return turn
        if self._is_reading():
            return replace(turn, settled=still_reading(turn.passages))
        if not turn.passages and (await asyncio.to_thread(self._store.totals))[1] == 0:
            return replace(turn, settled=empty_library())
        return replace(turn, settled=not_in_library(turn.passages))

    async def _prompt(self, turn: Turn) -> Turn:
        if turn.settled is not None:
            return turn
        begun = time.perf_counter()
        prompt = await self._builder.build(
            turn.question,
            turn.exchanges,
            turn.passages,
            grounds=turn.grounds,
            follows_up=turn.follows_up,
        )
        timings = replace(turn.timings, prompt=(time.perf_counter() - begun) * 1000)
        return replace(turn, prompt=prompt, timings=timings)

    async def _respond(self, turns: AsyncIterator[Turn]) -> AsyncIterator[AnswerEvent]:
        async for turn in turns:
            if turn.grounds:
                yield Sources(quote_sources(turn.passages))
            written = ""
            timings = turn.timings
            if turn.prompt is not None:
                async with aclosing(self._generate(turn.question, turn.prompt)) as events:
                    async for event in events:
                        if isinstance(event, GenerationStats):
                            timings = replace(timings, queue=event.queue_ms)
                            continue
                        if isinstance(event, Token):
                            if not written:
                                timings = replace(timings, first_token=turn.elapsed_ms())
                            written += event.text
                        yield event
            answer = self._finish(turn, written)
            await self._remember(turn, written, answer)
            timings = replace(timings, total=turn.elapsed_ms())
            log.info("turn.done", grounded=answer.grounded, citations=len(answer.citations))
            yield Done(replace(answer, timings=timings))

    def _generate(
        self, question: Question, prompt: Prompt, max_tokens: int | None = None
    ) -> AsyncGenerator[Queued | Token | GenerationStats, None]:
        return self._generator.stream(
            prompt.messages,
            session_id=f"{question.owner}/{question.session_id}",
            max_tokens=max_tokens or prompt.max_tokens,
            profile=question.profile,
        )

    def _finish(self, turn: Turn, written: str) -> Answer:
        if turn.settled is not None:
            return turn.settled
        if not turn.grounds:
            return direct(written)
        return compose(written, turn.passages, turn.question.text)

    async def _remember(self, turn: Turn, written: str, answer: Answer) -> None:
        prompt = turn.prompt
        # What the model wrote stays in its prompt only where it was also what the user was told.
        raw = written if answer.grounded or not turn.grounds else None
        await self._memory.remember(
            turn.question,
            prompt=prompt.written if prompt else turn.question.text,
            passages=prompt.passages if prompt else (),
            first=prompt.first if prompt else "",
            answer=answer.text,
            raw=raw,
        )


def _events(stream: AsyncIterator[AnswerEvent]) -> AsyncGenerator[AnswerEvent, None]:
    # An async generator, though LangChain types it as an iterator.
    return cast(AsyncGenerator[AnswerEvent, None], stream)


def _check(question: Question, settings: Settings) -> None:
    """Raise ``QuestionError`` for what is no question."""
    length = len(question.text.strip())
    if length == 0:
        raise QuestionError("The question is empty. Type what you would like to know.")
    if length > settings.question_max_chars:
        raise QuestionError(
            f"The question has {length} characters; the limit is {settings.question_max_chars}. "
            "Shorten it, or add the text as a document and ask about that."
        )
