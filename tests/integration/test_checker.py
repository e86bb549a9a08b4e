"""The checker with real models: what it reads once, what it tells apart, and its process lost."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from signal import SIGKILL

import pytest
from llm_engines import PATIENCE_S, running_engine, shared_engine

from chains.checker import CHECKER_PROFILE, OPENING, WORDS, Checker, check_messages
from chains.llm.engine import GenerationRequest, LlmEngine
from chains.llm.request import Scored
from chains.types import Passage
from core.settings import Settings
from state.breakers import Breakers

pytestmark = pytest.mark.integration

TEXT = (
    "The ferry to the northern island leaves at eight in the morning and comes back at six. "
    "A ticket costs nine euros, and children travel free. Bicycles are taken from May on."
)
ASKED = (
    ("When does the ferry to the northern island leave?", "When was the ferry built?"),
    ("What does a ticket for the ferry cost?", "What does a ticket for the bus cost?"),
    ("Who travels free on the ferry?", "Who steers the ferry?"),
)
"""What the passage answers, and what only resembles it."""


def passage(text: str = TEXT) -> Passage:
    return Passage(1, 1, "ferry.md", "The ferry", "", None, text, 0, 0, text.index(".") + 1, 1.0)


async def score(engine: LlmEngine, question: str) -> Scored:
    request = GenerationRequest(check_messages(passage(), question), session_id="check")
    return await engine.score(request, WORDS)


@pytest.fixture(scope="module")
def tiny() -> Iterator[LlmEngine]:
    yield from shared_engine("tiny")


async def test_a_passage_is_read_once_for_all_questions(tiny: LlmEngine) -> None:
    first = await score(tiny, ASKED[0][0])
    again = await score(tiny, ASKED[0][0])
    other = await score(tiny, ASKED[1][0])
    assert again.logits == pytest.approx(first.logits, abs=0.1)
    assert again.cached_tokens == again.prompt_tokens - 1
    (of_passage,) = await tiny.count_tokens([TEXT])
    assert other.cached_tokens > of_passage
    assert other.logits != first.logits


async def test_quality_tells_what_a_passage_answers_from_what_only_resembles_it() -> None:
    """Loads 1.1 GB, which takes seconds."""
    async with running_engine(CHECKER_PROFILE) as engine:
        await engine.warm(OPENING)
        for answered, resembling in ASKED:
            yes, no = (await score(engine, answered)).logits
            other_yes, other_no = (await score(engine, resembling)).logits
            assert yes - no > other_yes - other_no


async def test_a_lost_process_costs_the_check_and_comes_back(tmp_path: Path) -> None:
    """Loads 1.1 GB twice, which takes seconds."""
    async with running_engine(CHECKER_PROFILE) as engine:
        settings = Settings(data_dir=tmp_path)
        checker = Checker(settings, None, Breakers(settings, None))
        checker.engine = engine
        checking = asyncio.create_task(_check(checker))
        pid = engine.report().pid
        assert pid is not None
        os.kill(pid, SIGKILL)
        await checking  # a verdict that came before, or none; no error
        async with asyncio.timeout(PATIENCE_S):
            while engine.state != "ready" or engine.report().pid == pid:
                assert await _check(checker) is None, "there is nobody to ask meanwhile"
                await asyncio.sleep(0.1)
            while (verdict := await _check(checker)) is None:
                await asyncio.sleep(0.1)
    assert verdict.checker == CHECKER_PROFILE


async def _check(checker: Checker):
    return await checker.check(ASKED[0][0], (passage(),), writes=None, session="s")
