"""The whole answer chain: what it adds before the first token, and what a follow-up costs.

The library is the sample one among 10,000 made-up chunks, Redis and the model are real.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from langchain_core.messages import BaseMessage

from bench.corpus import Words, fill_store
from bench.llm import RawModel
from bench.rows import BenchRow
from bench.scratch import scratch_settings
from chains.answer import AnswerChain
from chains.checker import Checker
from chains.generation import GenerationStats, Generator
from chains.llm.engine import ChatTurn, LlmEngine
from chains.llm.request import Role
from chains.memory import Memory
from chains.prompt import OPENING
from chains.types import LIBRARY_OWNER, Done, Question, Queued, Token
from core.settings import Settings, site_root
from ingest.ingestor import SourceFile
from state.breakers import Breakers
from state.history import ChatHistory
from state.redis import RedisConnection
from telemetry.metrics import Metrics
from telemetry.tracing import Tracer
from xoe.workbench import open_workbench

CHUNKS = 10_000
ANSWER_TOKENS = 48

_ROLES: dict[str, Role] = {"system": "system", "human": "user", "ai": "assistant"}

CHATS = (
    ("Which file types can I add?", "And how large may they be?"),
    ("How do I install it?", "And how large is the download?"),
    ("How do I back up my data?", "And how do I put it back?"),
    ("How do I talk to it?", "Can I interrupt it?"),
    ("What happens when the library does not answer a question?", "Does it name documents then?"),
    ("How much memory does it need?", "And how much disk space?"),
)


@dataclass(frozen=True)
class Turn:
    """One question, measured."""

    first_token_ms: float
    engine_ms: float
    """The engine's share: from taking the prompt up until the first token."""
    messages: tuple[BaseMessage, ...]


class _Recorder(Generator):
    """Keeps what the model was given and what the engine told of it."""

    messages: tuple[BaseMessage, ...] = ()
    stats = GenerationStats()

    async def stream(
        self,
        messages: Sequence[BaseMessage],
        **how: Any,
    ) -> AsyncGenerator[Queued | Token | GenerationStats, None]:
        self.messages = tuple(messages)
        async with aclosing(super().stream(messages, **how)) as events:
            async for event in events:
                if isinstance(event, GenerationStats):
                    self.stats = event
                yield event


async def run(settings: Settings) -> list[BenchRow]:
    """Return the rows of the chain; the model is the settings' profile."""
    with scratch_settings(settings) as alone:
        async with open_chain(alone) as (chain, recorder):
            cold, follow_ups = [], []
            for number, (question, follow_up) in enumerate(CHATS):
                cold.append(await _ask(chain, recorder, question, f"chat-{number}"))
                follow_ups.append(await _ask(chain, recorder, follow_up, f"chat-{number}"))
    raw = await asyncio.to_thread(RawModel, settings)
    plain = [
        (await asyncio.to_thread(raw.ask, _turns(turn.messages))).first_token_s * 1e3
        for turn in cold
    ]
    raw.close()
    chain_ms = median(turn.first_token_ms for turn in cold)
    raw_ms = median(plain)
    overhead = median(turn.first_token_ms - turn.engine_ms for turn in cold + follow_ups)
    return [
        BenchRow.against("chain_first_token", chain_ms, "ms", raw_ms),
        BenchRow.against("overhead_before_first_token", overhead, "ms", raw_ms),
        BenchRow.against(
            "follow_up_first_token",
            median(turn.first_token_ms for turn in follow_ups),
            "ms",
            chain_ms,
        ),
    ]


def _turns(messages: Sequence[BaseMessage]) -> tuple[ChatTurn, ...]:
    return tuple(ChatTurn(_ROLES[message.type], str(message.content)) for message in messages)


@asynccontextmanager
async def open_chain(settings: Settings) -> AsyncIterator[tuple[AnswerChain, _Recorder]]:
    """Run the chain on the guide among the made-up chunks; the model has read its instructions."""
    redis = RedisConnection(settings)
    engine = LlmEngine(settings)
    async with open_workbench(settings) as bench:
        try:
            await redis.start()
            await engine.start()
            await engine.warm(OPENING)
            await asyncio.to_thread(fill_store, bench.store, Words(settings.models_dir), CHUNKS)
            guide = site_root() / "library"
            sources = [SourceFile(p, p.name) for p in sorted(guide.rglob("*")) if p.is_file()]
            async for _report in bench.ingestor.ingest_many(sources, owner=LIBRARY_OWNER):
                pass
            await asyncio.to_thread(bench.indexes.warm, [LIBRARY_OWNER])
            recorder = _Recorder(settings, engine)
            breakers = Breakers(settings, redis)
            yield (
                AnswerChain(
                    settings=settings,
                    store=bench.store,
                    search=bench.search,
                    memory=Memory(ChatHistory(redis, settings)),
                    generator=recorder,
                    checker=Checker(settings, None, breakers),
                    breakers=breakers,
                    tracer=Tracer(),
                    metrics=Metrics(),
                ),
                recorder,
            )
        finally:
            await engine.aclose()
            await redis.aclose()


async def _ask(chain: AnswerChain, recorder: _Recorder, text: str, session: str) -> Turn:
    question = Question(text, session, f"bench:{session}", max_tokens=ANSWER_TOKENS)
    first = 0.0
    async with aclosing(chain.stream(question)) as events:
        async for event in events:
            if isinstance(event, Done):
                first = event.answer.timings.first_token or 0.0
    if not first:
        raise RuntimeError(f"the gate stopped {text!r}: the bench needs another question")
    return Turn(first, recorder.stats.first_token_ms, recorder.messages)
