"""The model engine with the same prompts, in turns in the same run, against two others.

One is raw llama.cpp; the other is our own service without a process of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import psutil

from bench.in_process import InProcess
from bench.rows import BenchRow
from chains.llm.engine import (
    CACHE_BYTES,
    ChatTurn,
    Finished,
    GenerationRequest,
    LlmEngine,
    TextPiece,
)
from chains.llm.job import AnswerJob
from chains.llm.service import LlmService
from core.settings import Settings
from engines import llama_build
from engines.wire import Head
from models.provision import model_path

ROUNDS = 5
ANSWER_TOKENS = 32
STOPS = 15
PROCESS_ROUNDS = 10
PROCESS_TOKENS = 4
ASKED_AT_ONCE = 100
BEAT_S = 0.005

SYSTEM = "You answer questions about the user's documents, from the passages only, and briefly."
PASSAGE = (
    "The ferry to the northern island leaves at eight in the morning and comes back at six in the "
    "evening; on Sundays there is one crossing, at ten, and bicycles travel free of charge. The "
    "harbour office sells the tickets and opens half an hour before each crossing. "
)
QUESTION = "When does the ferry leave?"
FOLLOW_UP = "And what does it cost to take a bicycle along?"


@dataclass(frozen=True)
class Timing:
    """One answer, measured by who asked."""

    prompt_tokens: int
    first_token_s: float
    tokens_per_s: float
    text: str


async def run(settings: Settings) -> list[BenchRow]:
    """Return the rows of the engine; the model is the settings' profile."""
    # Raw llama.cpp gets the engine's number of threads: its own default is half of them.
    threads = settings.llm_threads or psutil.cpu_count(logical=False) or 1
    settings = settings.model_copy(
        update={"llm_threads": threads, "llm_queue_limit": max(128, settings.llm_queue_limit)}
    )
    async with _running(settings) as engine:
        rows = await _against_raw(engine, settings)
        rows += await _against_threads(engine, settings, threads)
        rows += await _follow_up(engine)
        rows += [await _stop(engine), *await _many(engine)]
    return rows


@asynccontextmanager
async def _running(settings: Settings) -> AsyncIterator[LlmEngine]:
    engine = LlmEngine(settings)
    try:
        await engine.start()
        yield engine
    finally:
        await engine.aclose()


def prompt(marker: str, passages: int = 5) -> tuple[ChatTurn, ...]:
    """Return a prompt of about 400 tokens that begins like no other."""
    return (
        ChatTurn("system", f"Session {marker}. {SYSTEM}"),
        ChatTurn("user", PASSAGE * passages + QUESTION),
    )


async def _against_raw(engine: LlmEngine, settings: Settings) -> list[BenchRow]:
    raw = await asyncio.to_thread(RawModel, settings)
    ours: list[Timing] = []
    theirs: list[Timing] = []
    for number in range(ROUNDS):
        asked = prompt(f"{number}")
        order = (True, False) if number % 2 else (False, True)
        for is_ours in order:
            if is_ours:
                ours.append(await _ask(engine, asked))
            else:
                theirs.append(await asyncio.to_thread(raw.ask, asked))
    raw.close()

    def reading(timings: list[Timing]) -> float:
        return median(t.prompt_tokens / t.first_token_s for t in timings)

    def first(timings: list[Timing]) -> float:
        return median(t.first_token_s for t in timings) * 1e3

    def writing(timings: list[Timing]) -> float:
        return median(t.tokens_per_s for t in timings)

    return [
        BenchRow.against("engine_first_token", first(ours), "ms", first(theirs)),
        BenchRow.against("engine_read_rate", reading(ours), "tokens/s", reading(theirs)),
        BenchRow.against("engine_write_rate", writing(ours), "tokens/s", writing(theirs)),
    ]


async def _against_threads(engine: LlmEngine, settings: Settings, threads: int) -> list[BenchRow]:
    """Measure what the process costs: cold, and where most of the prompt is read already."""
    service = LlmService(
        models_dir=str(settings.models_dir),
        context_tokens=settings.llm_context_tokens,
        threads=threads,
        cache_bytes=CACHE_BYTES,
    )
    here = InProcess(service)
    await here.call("use", {"profile": settings.llm_profile})
    cold: tuple[list[float], list[float]] = ([], [])
    warm: tuple[list[float], list[float]] = ([], [])
    for number in range(PROCESS_ROUNDS):
        asked = prompt(f"process {number}")
        again = (*asked[:-1], ChatTurn("user", asked[-1].content + " And when is it back?"))
        for way in (0, 1) if number % 2 else (1, 0):
            for messages, times in ((asked, cold), (again, warm)):
                answer = (
                    await _ask(engine, messages, tokens=PROCESS_TOKENS)
                    if way == 0
                    else await _ask_here(here, settings, messages)
                )
                times[way].append(answer.first_token_s * 1e3)
    await here.call("unload", {})
    here.close()
    return [
        BenchRow.against("llm_process_first_token", median(cold[0]), "ms", median(cold[1])),
        BenchRow.against("llm_process_first_token_warm", median(warm[0]), "ms", median(warm[1])),
    ]


async def _ask_here(here: InProcess, settings: Settings, messages: Sequence[ChatTurn]) -> Timing:
    asked = AnswerJob(
        GenerationRequest(messages=tuple(messages), session_id="bench", temperature=0.0),
        max_tokens=PROCESS_TOKENS,
        profile=settings.llm_profile,
        on_loaded=lambda _: None,
    )
    began = time.perf_counter()
    arrivals: list[float] = []

    def take(_: Head, __: bytes) -> None:
        arrivals.append(time.perf_counter())

    frame = await here.call(asked.method, asked.arguments, on_event=take)
    return _timing(began, arrivals, frame.head["prompt_tokens"], "")


async def _follow_up(engine: LlmEngine) -> list[BenchRow]:
    """Measure a second question of a chat, alone and with another chat's in between."""
    cold: list[float] = []
    warm: list[float] = []
    between: list[float] = []
    for number in range(ROUNDS):
        asked = prompt(f"follow-up {number}")
        first = await _ask(engine, asked, session_id=f"{number}")
        chat = (*asked, ChatTurn("assistant", first.text), ChatTurn("user", FOLLOW_UP))
        second = await _ask(engine, chat, session_id=f"{number}")
        cold.append(first.first_token_s)
        warm.append(second.first_token_s)
        await _ask(engine, prompt(f"other {number}"), session_id="other")
        chat = (*chat, ChatTurn("assistant", second.text), ChatTurn("user", FOLLOW_UP))
        between.append((await _ask(engine, chat, session_id=f"{number}")).first_token_s)
    base = median(cold) * 1e3
    return [
        BenchRow.against("engine_follow_up_first_token", median(warm) * 1e3, "ms", base),
        BenchRow.against("engine_interleaved_first_token", median(between) * 1e3, "ms", base),
    ]


async def _stop(engine: LlmEngine) -> BenchRow:
    """Measure from Stop, while a long prompt is read, until the worker is free."""
    times = []
    for number in range(STOPS):
        asked = GenerationRequest(prompt(f"stop {number}", passages=30), session_id="stop")
        reading = asyncio.create_task(anext(engine.stream(asked)))
        await asyncio.sleep(0.2)
        began = time.perf_counter()
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        while not engine.idle:  # noqa: ASYNC110 - it is another thread
            await asyncio.sleep(0.001)  # without a pause this would take a core from the model
        times.append(time.perf_counter() - began)
    return BenchRow("engine_stop", median(times) * 1e3, "ms")


async def _many(engine: LlmEngine) -> list[BenchRow]:
    """Ask a hundred questions at once and measure how late the event loop is meanwhile."""
    lags: list[float] = []

    async def beat() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(BEAT_S)
            lags.append(time.perf_counter() - began - BEAT_S)

    async def one(number: int) -> bool:
        asked = (ChatTurn("system", SYSTEM), ChatTurn("user", f"What is {number} plus {number}?"))
        return bool((await _ask(engine, asked, session_id=f"s{number}", tokens=2)).text)

    beating = asyncio.create_task(beat())
    began = time.perf_counter()
    answered = await asyncio.gather(*(one(number) for number in range(ASKED_AT_ONCE)))
    seconds = time.perf_counter() - began
    beating.cancel()
    return [
        BenchRow("asked_at_once_answered", sum(answered), "questions"),
        BenchRow("asked_at_once_seconds", seconds, "s"),
        BenchRow("asked_at_once_loop_lag_p99", float(np.percentile(lags, 99)) * 1e3, "ms"),
    ]


async def _ask(
    engine: LlmEngine,
    messages: Sequence[ChatTurn],
    *,
    session_id: str = "bench",
    tokens: int = ANSWER_TOKENS,
) -> Timing:
    request = GenerationRequest(tuple(messages), max_tokens=tokens, session_id=session_id)
    began = time.perf_counter()
    arrivals: list[float] = []
    text = ""
    prompt_tokens = 0
    async with aclosing(engine.stream(request)) as events:
        async for event in events:
            if isinstance(event, TextPiece):
                arrivals.append(time.perf_counter())
                text += event.text
            elif isinstance(event, Finished):
                prompt_tokens = event.prompt_tokens
    return _timing(began, arrivals, prompt_tokens, text)


class RawModel:
    """llama.cpp as its Python package gives it, on as many threads as the engine."""

    def __init__(self, settings: Settings) -> None:
        """Load the settings' profile. Blocking."""
        # Behind chains.llm, so that its choice of how threads wait is the baseline's too.
        import llama_cpp

        llama_build.load()
        threads = settings.llm_threads or psutil.cpu_count(logical=False) or 1
        self._model: Any = llama_cpp.Llama(
            str(model_path(settings.llm_profile, settings.models_dir)),
            n_ctx=settings.llm_context_tokens,
            n_threads=threads,
            n_threads_batch=threads,
            verbose=False,
        )

    def ask(self, messages: Sequence[ChatTurn]) -> Timing:
        """Answer ``messages`` and measure it. Blocking."""
        began = time.perf_counter()
        arrivals: list[float] = []
        text = ""
        for chunk in self._model.create_chat_completion(
            [{"role": turn.role, "content": turn.content} for turn in messages],
            max_tokens=ANSWER_TOKENS,
            temperature=0.0,
            stream=True,
        ):
            piece = chunk["choices"][0]["delta"].get("content")
            if piece:
                arrivals.append(time.perf_counter())
                text += piece
        return _timing(began, arrivals, self._model.n_tokens - len(arrivals), text)

    def close(self) -> None:
        """Free the model."""
        self._model.close()


def _timing(began: float, arrivals: list[float], prompt_tokens: int, text: str) -> Timing:
    writing = (len(arrivals) - 1) / (arrivals[-1] - arrivals[0]) if len(arrivals) > 1 else 0.0
    return Timing(prompt_tokens, arrivals[0] - began, writing, text)
