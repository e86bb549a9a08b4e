"""One model's speed: a text that it has not read before, and the beginning of a story."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine
from contextlib import aclosing
from itertools import pairwise
from statistics import median
from typing import Any, Final

from chains.llm.engine import ChatTurn, GenerationRequest, LlmEngine, TextPiece
from core.errors import GenerationError
from core.settings import LlmProfile
from models.recommend import Speed

PROBE_TOKENS: Final = 64
"""About so many are read. Few enough that a slow model is not taken for a stuck one."""
WRITTEN_TOKENS: Final = 32
_FEWEST: Final = 4
"""Pieces of text from whose pauses a speed can be told."""
_SESSION: Final = "measuring"
_LOOK_S: Final = 0.05
_WORDS: Final = tuple(
    "river stone paper window garden table silver candle orange market winter letter bridge engine "
    "forest harbour violin ladder blanket copper meadow island lantern barrel feather".split()
)
_random = random.SystemRandom()


class GaveWay(Exception):  # noqa: N818 - no fault
    """Somebody else asked, and goes first."""


async def probe(engine: LlmEngine, profile: LlmProfile, budget_s: float) -> Speed:
    """Return how fast a model is, in about ``budget_s`` seconds after it was loaded.

    Raises ``GaveWay`` within a token of somebody's asking, ``EngineError`` or ``ModelError`` when
    the model fails.
    """
    # The first words of a model that was just loaded come from the disk.
    await _give_way(engine, _ask(engine, profile, words=2, written=1, budget_s=budget_s))
    return await _give_way(
        engine,
        _ask(engine, profile, words=PROBE_TOKENS // 3, written=WRITTEN_TOKENS, budget_s=budget_s),
    )


async def _give_way(engine: LlmEngine, work: Coroutine[Any, Any, Speed]) -> Speed:
    asking = asyncio.create_task(work)
    others = asyncio.create_task(_somebody_waits(engine))
    try:
        await asyncio.wait({asking, others}, return_when=asyncio.FIRST_COMPLETED)
        if not asking.done():
            raise GaveWay
        return asking.result()
    finally:
        asking.cancel()
        others.cancel()
        await asyncio.wait({asking, others})


async def _somebody_waits(engine: LlmEngine) -> None:
    while True:
        if engine.waiting:
            return
        await asyncio.sleep(_LOOK_S)


async def _ask(
    engine: LlmEngine, profile: LlmProfile, *, words: int, written: int, budget_s: float
) -> Speed:
    text = _text(words)
    (tokens,) = await engine.count_tokens([text], profile)
    request = GenerationRequest(
        (ChatTurn("user", text),), max_tokens=written, profile=profile, session_id=_SESSION
    )
    began = time.perf_counter()
    moments: list[float] = []
    async with aclosing(engine.stream(request)) as events:
        async for event in events:
            if isinstance(event, TextPiece):
                moments.append(time.perf_counter())
                if moments[-1] - began > budget_s and len(moments) > _FEWEST:
                    break
    return speed_of(tokens, began, moments)


def speed_of(tokens: int, began: float, moments: list[float]) -> Speed:
    """Return the speed of a model that read ``tokens`` from ``began`` on and wrote at ``moments``.

    Raises ``GenerationError`` when it wrote nothing.
    """
    if not moments:
        raise GenerationError("The model wrote nothing, so its speed is not known.")
    reading = tokens / max(moments[0] - began, 1e-6)
    gaps = [after - before for before, after in pairwise(moments)]
    # The middle one: another program that takes the processor for a moment does not count.
    return Speed(reading, 1 / max(median(gaps), 1e-6) if gaps else reading)


def _text(words: int) -> str:
    """Return a request for a long text; its words differ each time, so nothing of it is known."""
    chosen = ", ".join(_random.choice(_WORDS) for _ in range(words))
    return f"{chosen}: tell a very long story, of at least five hundred words, with these in it."
