"""An answer chain on real documents, search and history, whose model writes what it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from langchain_core.messages import BaseMessage

from chains.answer import AnswerChain
from chains.checker import Checker
from chains.generation import GenerationStats, Generator
from chains.memory import Memory
from chains.types import Queued, Token
from core.settings import Settings, load_settings
from ingest.ingestor import SourceFile
from state.breakers import Breakers
from state.history import ChatHistory
from state.redis import RedisConnection
from telemetry.metrics import Metrics
from telemetry.tracing import Tracer
from xoe.workbench import open_workbench


class Script(Generator):
    """Writes what it is told to, and keeps what it was given to read."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, None)
        self.says = ""
        self.read: list[tuple[str, str]] = []

    async def stream(
        self, messages: Sequence[BaseMessage], **_options: Any
    ) -> AsyncGenerator[Queued | Token | GenerationStats, None]:
        self.read = [(message.type, str(message.content)) for message in messages]
        yield Token(self.says)
        yield GenerationStats()


@asynccontextmanager
async def scripted_chain(
    home: Path, documents: Mapping[str, Mapping[str, str]]
) -> AsyncIterator[tuple[AnswerChain, Script]]:
    """Open a chain over ``documents``: by owner, texts by name."""
    settings = load_settings().model_copy(
        update={
            "data_dir": home / "data",
            "redis_url": None,
            "llm_base_url": "http://127.0.0.1:9/v1",
            "voice": False,
        }
    )
    redis = RedisConnection(settings)
    async with open_workbench(settings) as bench:
        try:
            await redis.start()
            for number, (owner, files) in enumerate(documents.items()):
                sources = written(home / f"files-{number}", files)
                async for report in bench.ingestor.ingest_many(sources, owner=owner):
                    assert report.status == "ready"
            await asyncio.to_thread(bench.indexes.warm, list(documents))
            model = Script(settings)
            breakers = Breakers(settings, redis)
            chain = AnswerChain(
                settings=settings,
                store=bench.store,
                search=bench.search,
                memory=Memory(ChatHistory(redis, settings)),
                generator=model,
                checker=Checker(settings, None, breakers),
                breakers=breakers,
                tracer=Tracer(),
                metrics=Metrics(),
            )
            try:
                yield chain, model
            finally:
                chain.close()
        finally:
            await redis.aclose()


def written(folder: Path, files: Mapping[str, str]) -> list[SourceFile]:
    """Write texts below a folder, to be ingested under their names in it."""
    sources = []
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        sources.append(SourceFile(path, name))
    return sources
