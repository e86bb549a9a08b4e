"""The answer chain: history → retrieve → gate → prompt → stream → citations → history.

A LangChain runnable from ``Question`` to a stream of ``AnswerEvent``s. Each stage takes a ``Turn``
and returns one that knows more; the last one streams.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Literal, cast

import structlog
from langchain_core.messages import HumanMessage
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableLambda

from chains.account import accounted
from chains.checker import Checker
from chains.compose import (
    empty_library,
    nearest_passages,
    not_in_library,
    quote_sources,
    still_reading,
)
from chains.conclusion import MemoryShortError, concluded
from chains.followup import stand_alone
from chains.generation import MODEL_FAULTS, GenerationStats, Generator
from chains.introduction import introduction, subject_of
from chains.memory import Memory
from chains.overview import Overviews
from chains.phrases import answer_language
from chains.prompt import checked
from chains.prompt_builder import Prompt, PromptBuilder
from chains.retrieval import Retrieval
from chains.retriever import HybridSearch
from chains.summary import Plan, Summaries
from chains.told import told
from chains.turn import Turn, Writing
from chains.types import (
    INTERRUPTED,
    LIBRARY_OWNER,
    Answer,
    AnswerEvent,
    Done,
    Passage,
    Question,
    Queued,
    Sources,
    Token,
)
from core.errors import (
    CircuitOpenError,
    EngineBusyError,
    EngineError,
    EngineNotReadyError,
    GenerationError,
    ModelError,
    RetrievalError,
)
from core.fairness import FairSlots
from core.retry import RetryBudget, attempts
from core.settings import Settings
from ingest.store import Store
from state.breakers import Breakers
from state.ladder import Budget
from telemetry.metrics import Metrics
from telemetry.tracing import Span, Tracer

log = structlog.get_logger(__name__)

PROMPTS_AT_ONCE = 2
"""Prompts are counted by one tokenizer; more would only stand before each other's."""
PROMPTS_WAITING = 512

Part = Literal["model", "retrieval"]

_CHECK = Question("Is there anything about this?", session_id="check", owner=LIBRARY_OWNER)


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
        checker: Checker,
        breakers: Breakers,
        tracer: Tracer,
        metrics: Metrics,
        is_reading: Callable[[], bool] = lambda: False,
        is_loading: Callable[[], bool] = lambda: False,
        budget: Callable[[], Budget] = Budget,
        on_outcome: Callable[[Part, bool], None] = lambda _part, _works: None,
    ) -> None:
        """Wire the stages.

        ``is_reading``: documents are still coming in; ``is_loading``: the model is on its way for
        the first time; ``budget``: what a turn may take while memory is short; ``on_outcome``
        hears of each use of a part whether it worked.
        """
        self._settings = settings
        self._store = store
        self._memory = memory
        self._generator = generator
        self._checker = checker
        self._breakers = breakers
        self._tracer = tracer
        self._metrics = metrics
        self._is_reading = is_reading
        self._is_loading = is_loading
        self._budget = budget
        self._on_outcome = on_outcome
        self._prompting = FairSlots(PROMPTS_AT_ONCE, PROMPTS_WAITING)
        self._retries = RetryBudget()
        self._summaries = Summaries(lambda ids: store.still_there(ids))
        self._retrieval = Retrieval(
            settings=settings,
            search=search,
            overviews=Overviews(store, search, self._summaries),
            breakers=breakers,
            tracer=tracer,
            budget=budget,
            retries=self._retries,
            on_outcome=lambda works: on_outcome("retrieval", works),
        )
        self._builder = PromptBuilder(settings, generator)
        self._preparation: Runnable[Question, Turn] = cast(
            Runnable[Question, Turn],
            RunnableLambda(self._recall)
            | RunnableLambda(self._speak_of_itself)
            | RunnableLambda(self._retrieval.retrieve)
            | RunnableLambda(self._gate),
        )
        self._answering: Runnable[Turn, AnswerEvent] = cast(
            Runnable[Turn, AnswerEvent], RunnableGenerator(self._respond)
        )
        self.runnable: Runnable[Question, AnswerEvent] = self._preparation | self._answering

    async def stream(self, question: Question) -> AsyncGenerator[AnswerEvent, None]:
        """Yield ``Sources``, then ``Queued`` and ``Token``s, then ``Done``.

        From the library only what has passed the check is a ``Token``.

        Closing the iterator stops the model within a token. Raises ``QuestionError`` or
        ``EngineError`` subclasses.
        """
        events = _events(self.runnable.astream(question))
        turn = accounted(events, question, tracer=self._tracer, metrics=self._metrics)
        async with aclosing(turn):
            async for event in turn:
                yield event

    def close(self) -> None:
        """Stop the threads."""
        self._retrieval.close()

    async def prepare(self, question: Question) -> Turn:
        """Find what it is answered from, for a question that may still change.

        Nothing is kept of it. Raises as ``stream`` does.
        """
        return await self._preparation.ainvoke(question)

    async def ready(self, turn: Turn) -> Turn:
        """Have the passages checked, and write the prompt: all that comes before the model.

        What was done already is not done again.
        """
        if turn.settled is not None or turn.prompt is not None or turn.model_fault is not None:
            return turn
        return await self._prompt(await self._check(turn))

    async def rank(self, question: Question, *, limit: int) -> tuple[Passage, ...]:
        """Return the ``limit`` best passages for a question, best first: what search is judged by.

        Raises ``QuestionError`` or ``RetrievalError``.
        """
        asked = replace(checked(question, self._settings), passages=limit)
        turn = await self._retrieval.retrieve(Turn(asked))
        if turn.library_lost:
            raise RetrievalError("The documents cannot be searched.")
        return turn.passages

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
        events = _events(self._answering.astream(begun))
        account = accounted(
            events, turn.question, tracer=self._tracer, metrics=self._metrics, started=turn.started
        )
        async with aclosing(account):
            async for event in account:
                yield event

    async def take_back(self, turn: Turn) -> None:
        """Forget the chat's last turn, which was ``turn``."""
        await self._memory.take_back(turn.question)

    async def cut_short(self, turn: Turn, heard: str, *, remembered: bool) -> None:
        """Keep of a spoken answer what was heard; ``remembered``: the whole of it was kept."""
        if remembered:
            await self._memory.take_back(turn.question)
        await self._remember(turn, "", Answer(heard, (), None, note=INTERRUPTED))

    async def check_search(self) -> None:
        """Search once, for nobody. Raises ``RetrievalError`` or ``CircuitOpenError``."""
        await self._retrieval.check(_CHECK)

    async def check_model(self) -> None:
        """Let the model write a token, for nobody. Raises ``EngineError`` or ``ModelError``."""
        prompt = Prompt((HumanMessage("Say yes."),), "", (), "", 1)
        async with aclosing(self._generate(_CHECK, prompt)) as events:
            async for _ in events:
                pass

    async def _recall(self, question: Question) -> Turn:
        question = checked(question, self._settings)
        turn = Turn(question, language=answer_language(question.text))
        with self._tracer.span("history"):
            exchanges = await self._memory.recall(question)
        timings = replace(turn.timings, history=turn.elapsed_ms())
        turn = replace(turn, exchanges=tuple(exchanges), timings=timings)
        return replace(turn, standing_alone=stand_alone(question.text, turn.said))

    async def _speak_of_itself(self, turn: Turn) -> Turn:
        """Settle what is asked about the assistant and the collection: no document knows it."""
        subject = subject_of(turn.in_full)
        if subject is None or not turn.question.use_library:
            return turn
        documents = await asyncio.to_thread(self._store.documents_in, turn.question.scope)
        spoken = self._settings.voice
        is_local = self._settings.llm_base_url is None
        answer = introduction(subject, documents, with_voice=spoken, is_local=is_local)
        return replace(turn, settled=answer, grounds=False)

    async def _gate(self, turn: Turn) -> Turn:
        """Settle at once what the library cannot answer."""
        if turn.settled is None and turn.strays:
            return replace(turn, settled=_nearest(turn))
        if not turn.grounds or turn.answerable:
            return turn
        if self._is_reading():
            return replace(turn, settled=still_reading(turn.passages, language=turn.language))
        if not turn.passages and (await asyncio.to_thread(self._store.totals))[1] == 0:
            return replace(turn, settled=empty_library(language=turn.language))
        settled = not_in_library(turn.passages, turn.orders, language=turn.language)
        return replace(turn, settled=settled)

    async def _check(self, turn: Turn) -> Turn:
        """Settle what no passage answers, as the checker says, before a word is written."""
        if not turn.grounds or not turn.searched or not self._budget().model or turn.is_ruled:
            return turn
        question, begun = turn.question, time.perf_counter()
        with self._tracer.span("check") as span:
            verdict = await self._checker.check(
                turn.searched,
                turn.passages,
                writes=self._budget().profile or question.profile,
                session=f"{question.owner}/{question.session_id}",
            )
            if verdict is not None:
                span.set(answers=verdict.answers)
        timings = replace(turn.timings, check=(time.perf_counter() - begun) * 1000)
        turn = replace(turn, verdict=verdict, timings=timings)
        return replace(turn, settled=_nearest(turn)) if turn.is_refused else turn

    async def _prompt(self, turn: Turn) -> Turn:
        if turn.settled is not None:
            return turn
        if not self._budget().model:
            return replace(turn, model_fault=MemoryShortError())
        if turn.plan is not None:
            return turn
        begun = time.perf_counter()
        try:
            with self._tracer.span("prompt"):
                async with self._prompting.place():
                    prompt = await self._builder.build(
                        turn.question,
                        turn.exchanges,
                        turn.passages,
                        grounds=turn.grounds,
                        follows_up=turn.follows_up,
                        language=turn.language,
                    )
        except (ModelError, EngineError) as exc:  # its tokenizer is not there, or its process
            return replace(turn, model_fault=exc)
        timings = replace(turn.timings, prompt=(time.perf_counter() - begun) * 1000)
        return replace(turn, prompt=prompt, timings=timings)

    async def _respond(self, turns: AsyncIterator[Turn]) -> AsyncIterator[AnswerEvent]:
        async for turn in turns:
            if turn.grounds:
                yield Sources(quote_sources(turn.passages))
            turn = await self.ready(turn)
            writing = Writing.of(turn)
            fault = turn.model_fault
            written = self._written(turn, writing) if fault is None else None
            if written is not None:
                try:
                    async with aclosing(written) as events:
                        async for event in events:
                            yield event
                except (EngineError, ModelError, CircuitOpenError) as exc:
                    if self._is_loading():
                        raise EngineNotReadyError("The model is still loading.") from exc
                    if isinstance(exc, EngineBusyError) and not _takes_passages(turn):
                        raise
                    log.warning("generation.failed", error=type(exc.__cause__ or exc).__name__)
                    if not isinstance(exc, EngineBusyError):
                        self._on_outcome("model", False)
                    fault = exc
                else:
                    self._on_outcome("model", True)
            with self._tracer.span("citations"):
                answer = concluded(turn, writing, fault)
            with self._tracer.span("remember"):
                await self._remember(turn, None if fault else writing.text, answer)
            timings = replace(writing.timings, total=turn.elapsed_ms())
            log.info(
                "turn.done",
                outcome=answer.outcome,
                citations=len(answer.citations),
                level=answer.level,
            )
            yield Done(replace(answer, timings=timings))

    def _written(self, turn: Turn, writing: Writing) -> AsyncGenerator[AnswerEvent, None] | None:
        if turn.plan is not None:
            return self._sum_up(turn, turn.plan, writing)
        return None if turn.prompt is None else self._write(turn, turn.prompt, writing)

    async def _sum_up(
        self, turn: Turn, plan: Plan, writing: Writing
    ) -> AsyncGenerator[AnswerEvent, None]:
        """Let the model sum a document up, part by part."""
        question = turn.question
        steps = self._summaries.write(
            plan,
            lambda prompt: self._generate(question, prompt, prompt.max_tokens),
            model=self._generator.model_file(self._budget().profile or question.profile),
            anew=question.temperature > 0,
            written=writing.said,
        )
        with self._tracer.span("generation") as span:
            async with aclosing(steps) as events:
                async for event in events:
                    if isinstance(event, GenerationStats):
                        self._account(event, writing, span)
                    else:
                        yield event

    async def _write(
        self, turn: Turn, prompt: Prompt, writing: Writing
    ) -> AsyncGenerator[AnswerEvent, None]:
        """Let the model write; once more where it fails before its first word."""
        async for attempt in attempts(
            self._retries, (GenerationError,), may_retry=lambda: not writing.text
        ):
            with attempt, self._tracer.span("generation") as span:
                async with aclosing(self._generate(turn.question, prompt)) as events:
                    async for event in events:
                        if isinstance(event, GenerationStats):
                            self._account(event, writing, span)
                        elif (shown := writing.take(event, turn.elapsed_ms())) is not None:
                            yield shown
        if (rest := writing.finished()) is not None:
            yield rest

    def _account(self, stats: GenerationStats, writing: Writing, span: Span) -> None:
        writing.timings = replace(writing.timings, queue=stats.queue_ms)
        tokens = {
            "prompt": stats.prompt_tokens,
            "cached": stats.cached_tokens,
            "completion": stats.completion_tokens,
        }
        self._metrics.tokens(**tokens)
        span.set(
            **tokens, queue_ms=round(stats.queue_ms), first_token_ms=round(stats.first_token_ms)
        )

    async def _generate(
        self, question: Question, prompt: Prompt, max_tokens: int | None = None
    ) -> AsyncGenerator[Queued | Token | GenerationStats, None]:
        budget = self._budget()
        async with self._breakers.guard("llm-load", transient=MODEL_FAULTS) as call:
            stream = self._generator.stream(
                prompt.messages,
                session_id=f"{question.owner}/{question.session_id}",
                max_tokens=max_tokens or budget.tokens(prompt.max_tokens),
                profile=budget.profile or question.profile,
                temperature=question.temperature,
            )
            async with aclosing(stream) as events:
                async for event in events:
                    if isinstance(event, Token):
                        call.done()  # an answer is not slow because it is long
                    elif isinstance(event, GenerationStats):
                        call.waited(event.queue_ms / 1000)
                    yield event

    async def _remember(self, turn: Turn, written: str | None, answer: Answer) -> None:
        """Keep the turn; ``written``: what the model wrote, ``None`` where it did not end."""
        prompt = turn.prompt
        first = turn.exchanges[0].id if turn.exchanges else ""
        await self._memory.remember(
            turn.question,
            prompt=prompt.written if prompt else turn.question.text,
            passages=prompt.passages if prompt else (),
            first=prompt.first if prompt else first,
            answer=answer,
            in_full=turn.in_full,
            told=told(answer, written or "", grounds=turn.grounds),
            quoted=quote_sources(turn.passages) if turn.grounds else (),
        )


def _nearest(turn: Turn) -> Answer:
    return nearest_passages(turn.passages, turn.in_full, turn.orders, language=turn.language)


def _takes_passages(turn: Turn) -> bool:
    """Whether passages are better than nothing: a program is told when to come back instead."""
    return turn.grounds and turn.question.kind != "api"


def _events(stream: AsyncIterator[AnswerEvent]) -> AsyncGenerator[AnswerEvent, None]:
    # An async generator, though LangChain types it as an iterator.
    return cast(AsyncGenerator[AnswerEvent, None], stream)
