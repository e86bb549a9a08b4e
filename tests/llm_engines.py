"""Real engines for tests, and short ways to ask them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from chains.llm.engine import (
    ChatTurn,
    Finished,
    GenerationRequest,
    LlmEngine,
    Queued,
    StreamEvent,
    TextPiece,
)
from chains.llm.job import AnswerJob
from chains.llm.service import LlmService
from core.settings import Settings
from engines.process import EngineProcess
from engines.service import Call
from engines.wire import Frame
from models.provision import installed

FRIENDLY = "You are a helpful assistant. Answer in one short sentence."
SYSTEM = ChatTurn("system", FRIENDLY)
PATIENCE_S = 600
"""A net for what would otherwise hang; nothing is measured against it."""


def settings_for(profile: str = "tiny", **fields: Any) -> Settings:
    """Settings for a model that is there; skips the test where it is not."""
    models_dir = fields.pop("models_dir", Settings().models_dir)
    fields.setdefault("llm_stall_s", PATIENCE_S)  # on a busy machine a model may not get on
    if profile not in {entry.name for entry in installed(models_dir)}:
        pytest.skip(f"the model is not here: xoe models pull {profile}")
    return Settings(llm_profile=profile, models_dir=models_dir, **fields)


@asynccontextmanager
async def running_engine(
    profile: str = "tiny", *, cache_bytes: int = 64 * 2**20, **fields: Any
) -> AsyncIterator[LlmEngine]:
    """An engine that is ready."""
    engine = LlmEngine(settings_for(profile, **fields), cache_bytes=cache_bytes)
    await engine.start()
    try:
        yield engine
    finally:
        await engine.aclose()


def shared_engine(profile: str) -> Iterator[LlmEngine]:
    """The body of a fixture for many tests, each of which has an event loop of its own."""
    engine = LlmEngine(settings_for(profile))
    asyncio.run(engine.start())
    yield engine
    asyncio.run(engine.aclose())


@dataclass(frozen=True)
class Reply:
    """All that a request gave."""

    text: str
    places: tuple[int, ...]
    finished: Finished


def request(*contents: str, **options: Any) -> GenerationRequest:
    """A request whose messages are the user's and the assistant's in turn."""
    roles = ("user", "assistant") * len(contents)
    turns = (ChatTurn(role, text) for role, text in zip(roles, contents, strict=False))
    options.setdefault("max_tokens", 12)
    return GenerationRequest((SYSTEM, *turns), **options)


async def ask(engine: LlmEngine, *contents: str, **options: Any) -> Reply:
    """Ask and read to the end."""
    async with asyncio.timeout(PATIENCE_S):
        return reply([event async for event in engine.stream(request(*contents, **options))])


def reply(events: list[StreamEvent]) -> Reply:
    """Put events together, checking their order: places, then text, then the end."""
    kinds = [type(event) for event in events]
    assert kinds == sorted(kinds, key=[Queued, TextPiece, Finished].index)
    last = events[-1]
    assert isinstance(last, Finished)
    return Reply(
        text="".join(event.text for event in events if isinstance(event, TextPiece)),
        places=tuple(event.place for event in events if isinstance(event, Queued)),
        finished=last,
    )


@dataclass
class Written:
    """Pieces of text that came out of engines' processes, read by somebody or not."""

    pieces: int = 0


@contextmanager
def counting_pieces() -> Iterator[Written]:
    """Count what the processes write meanwhile."""
    written = Written()
    take = EngineProcess._take

    def counted(self: EngineProcess, frame: Frame) -> None:
        written.pieces += "text" in (frame.head.get("event") or {})
        take(self, frame)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EngineProcess, "_take", counted)
        yield written


class Direct:
    """What runs in the model's process, in this one: for looking at its insides."""

    def __init__(self, profile: str = "tiny", *, cache_bytes: int = 64 * 2**20) -> None:
        settings = settings_for(profile)
        self.profile = profile
        self.service = LlmService(
            models_dir=str(settings.models_dir),
            context_tokens=settings.llm_context_tokens,
            threads=2,
            cache_bytes=cache_bytes,
        )

    @property
    def generator(self) -> Any:
        """The loaded model."""
        return self.service._generator

    def job(self, *contents: str, **options: Any) -> AnswerJob:
        """Return a job with the arguments of the request."""
        asked = request(*contents, **options)
        return AnswerJob(
            asked,
            max_tokens=asked.max_tokens or 12,
            profile=self.profile,
            on_loaded=lambda _: None,
        )

    async def ask(self, *contents: str, **options: Any) -> Reply:
        """Answer, in this process."""
        events: list[StreamEvent] = []

        def take(head: dict[str, Any], _: bytes) -> None:
            if "text" in head:
                events.append(TextPiece(head["text"]))

        call = Call(self.job(*contents, **options).arguments, emit=take)
        finished = await asyncio.to_thread(self.service.generate, call)
        return reply([*events, Finished(**finished)])


async def until_idle(engine: LlmEngine) -> None:
    """Wait until the worker has nothing to do."""
    async with asyncio.timeout(PATIENCE_S):
        while not engine.idle:
            await asyncio.sleep(0.005)
