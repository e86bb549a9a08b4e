"""The checker: asked before a word is written, believed within its limits, and never waited for
longer than an answer may wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from chains import checker as module
from chains.answer import AnswerChain
from chains.checker import (
    CHECKER_PROFILE,
    OPENING,
    WORDS,
    Checker,
    check_messages,
    openings,
)
from chains.compose import NEAREST
from chains.generation import GenerationStats
from chains.llm.budget import ESTIMATED_COST, estimate_tokens
from chains.llm.request import GenerationRequest, Scored
from chains.prepared import PreparedTurn
from chains.prompt import OPENING as ANSWER_OPENING
from chains.turn import Turn
from chains.types import AnswerEvent, Done, Outcome, Passage, Question, Sources, Token
from core.errors import EngineError, GenerationLostError
from core.settings import Settings
from ingest.passages import Fingerprint
from ingest.store import Store
from models.manifest import load_manifest
from state.breakers import Breakers
from telemetry.metrics import Metrics
from telemetry.tracing import Tracer

TEXT = "The lawn mower's petrol tank holds 1.4 litres. Its blade is sharpened every 25 hours."
QUESTION = "How much petrol does the mower's tank hold?"
_limits = load_manifest().entry(CHECKER_PROFILE).check
assert _limits is not None
NO, YES = _limits.refuse_below - 0.1, _limits.refuse_below + 0.1


def passage(text: str = TEXT, number: int = 1) -> Passage:
    end = text.index(".") + 1 if "1.4" not in text else text.index("litres.") + 7
    return Passage(number, number, f"shed-{number}.md", "Shed", "", None, text, 0, 0, end, 1.0)


class Engine:
    """Gives scores in turn; an exception is raised, ``None`` never comes."""

    def __init__(self, *scores: float | Exception | None) -> None:
        self.scores = list(scores)
        self.asked: list[GenerationRequest] = []
        self.state, self.waiting = "ready", 0

    async def score(self, request: GenerationRequest, words: Sequence[str]) -> Scored:
        assert tuple(words) == WORDS
        self.asked.append(request)
        score = self.scores.pop(0)
        if score is None:
            await asyncio.sleep(3600)
        if isinstance(score, Exception):
            raise score
        return Scored((float(score or 0), 0.0), 100, 0, 0.0, 1.0)


class Model:
    """Writes the same each time, and counts how often it was asked."""

    def __init__(self, written: str) -> None:
        self.written = written
        self.prompts: list[str] = []

    def counter(self, _profile: str | None) -> Any:
        return estimate_tokens

    async def template_cost(self, _profile: str | None) -> Any:
        return ESTIMATED_COST

    async def stream(
        self, messages: Sequence[Any], *, max_tokens: int, **_: Any
    ) -> AsyncGenerator[Any, None]:
        self.prompts.append(messages[-1].content)
        yield Token(self.written if max_tokens > 1 else self.written[:1])
        yield GenerationStats()


class NoMemory:
    """Keeps nothing."""

    async def remember(self, *_: Any, **__: Any) -> None:
        """Forget it."""


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(data_dir=tmp_path)


def checker_of(settings: Settings, engine: Engine | None, writer: Engine | None = None) -> Checker:
    checker = Checker(settings, writer, Breakers(settings, None))  # type: ignore[arg-type]
    checker.engine = engine  # type: ignore[assignment]
    return checker


def chain_of(settings: Settings, checker: Checker, model: Model) -> AnswerChain:
    none: Any = None
    return AnswerChain(
        settings=settings,
        store=Store(settings.data_dir, Fingerprint("embedder", 8, "splitter")),
        search=none,
        memory=NoMemory(),  # type: ignore[arg-type]
        generator=model,  # type: ignore[arg-type]
        checker=checker,
        breakers=Breakers(settings, None),
        tracer=Tracer(),
        metrics=Metrics(),
    )


def turn(*passages: Passage, **more: Any) -> Turn:
    question = Question(QUESTION, "chat", "session:chat")
    return Turn(question, passages=passages, answerable=True, searched=QUESTION, **more)


async def answered(chain: AnswerChain, asked: Turn) -> tuple[list[AnswerEvent], Done]:
    async with aclosing(chain.answer(asked)) as events:
        told = [event async for event in events]
    assert isinstance(told[-1], Done)
    return told, told[-1]


async def check(checker: Checker, *passages: Passage) -> Any:
    return await checker.check(QUESTION, passages, writes=None, session="s")


def test_the_question_is_read_last_so_that_the_passage_can_be_read_ahead() -> None:
    one, other = (check_messages(passage(), text)[-1].content for text in ("Who?", "When?"))
    assert one.index("Who?") > one.index(TEXT)
    assert one.split("Who?")[0] == other.split("When?")[0]


async def test_where_it_says_no_the_nearest_passage_is_the_reply_and_no_word_is_written(
    settings: Settings,
) -> None:
    model = Model("The tank holds 1.4 litres.")
    chain = chain_of(settings, checker_of(settings, Engine(NO)), model)
    told, done = await answered(chain, turn(passage()))
    assert isinstance(told[0], Sources), "the quotes are there before the checker has read a word"
    assert done.answer.outcome is Outcome.NEAREST
    assert not done.answer.grounded
    assert done.answer.text.startswith(NEAREST)
    assert done.answer.checked_by == CHECKER_PROFILE
    assert model.prompts == []


async def test_where_it_says_yes_the_model_answers(settings: Settings) -> None:
    model = Model("The tank holds 1.4 litres.")
    chain = chain_of(settings, checker_of(settings, Engine(YES)), model)
    _, done = await answered(chain, turn(passage()))
    assert done.answer.outcome is Outcome.ANSWERED
    assert done.answer.checked_by == CHECKER_PROFILE
    assert done.answer.timings.check is not None
    assert len(model.prompts) == 1


async def test_a_second_passage_is_read_only_where_the_first_does_not_answer(
    settings: Settings,
) -> None:
    first, second = passage(number=1), passage("The tank is red. It was painted.", number=2)
    engine = Engine(YES)
    assert (await check(checker_of(settings, engine), first, second)).passage == first
    assert len(engine.asked) == 1
    engine = Engine(NO, YES)
    verdict = await check(checker_of(settings, engine), first, second)
    assert (verdict.answers, verdict.passage) == (True, second)
    assert not (await check(checker_of(settings, Engine(NO, NO - 1)), first, second)).answers


@pytest.mark.parametrize("fault", [GenerationLostError("lost"), EngineError("closed")])
async def test_without_its_process_the_answer_goes_out_and_names_no_check(
    settings: Settings, fault: Exception
) -> None:
    model = Model("The tank holds 1.4 litres.")
    chain = chain_of(settings, checker_of(settings, Engine(fault)), model)
    _, done = await answered(chain, turn(passage()))
    assert done.answer.outcome is Outcome.ANSWERED
    assert done.answer.checked_by == ""
    assert done.answer.level == "full"


async def test_a_checker_that_does_not_tell_is_not_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_S", 0.05)
    model = Model("The tank holds 1.4 litres.")
    chain = chain_of(settings, checker_of(settings, Engine(None)), model)
    _, done = await answered(chain, turn(passage()))
    assert done.answer.outcome is Outcome.ANSWERED
    assert done.answer.checked_by == ""


async def test_one_that_keeps_failing_is_left_out_for_a_while(settings: Settings) -> None:
    engine = Engine(*(GenerationLostError("lost") for _ in range(3)), *[NO] * 30)
    engine.scores = [EngineErrorCounted() for _ in range(30)]
    checker = checker_of(settings, engine)
    for _ in range(30):
        assert await check(checker, passage()) is None
    assert len(engine.asked) < 30


class EngineErrorCounted(module.ModelError):
    """A fault that counts."""


async def test_a_crowd_is_not_held_against_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_S", 0.01)
    engine = Engine(*[None] * 20, YES)
    engine.waiting = 3
    checker = checker_of(settings, engine)
    for _ in range(20):
        assert await check(checker, passage()) is None
    assert (await check(checker, passage())).answers


async def test_while_its_process_is_started_again_the_model_that_writes_is_asked(
    settings: Settings,
) -> None:
    own, writer = Engine(), Engine(*[9.0] * 2)
    checker = checker_of(settings, own, writer)
    own.state = "loading"
    fast = load_manifest().entry("fast").check
    assert checker.profile(None) == ("fast" if fast else None)
    await check(checker, passage())
    assert own.asked == []
    assert checker.profile("tiny") is None, "it has no limits, so it is not asked"
    own.state = "ready"
    assert checker.profile("tiny") == CHECKER_PROFILE


@pytest.mark.parametrize(
    "other", [{"grounds": False}, {"searched": ""}], ids=["small talk", "whole document"]
)
async def test_what_is_no_question_to_a_passage_is_not_checked(
    settings: Settings, other: dict[str, Any]
) -> None:
    engine = Engine(NO)
    chain = chain_of(settings, checker_of(settings, engine), Model("Hello."))
    await answered(chain, replace(turn(passage()), **other))
    assert engine.asked == []


async def test_a_sure_yes_or_no_is_not_checked(settings: Settings) -> None:
    engine = Engine(NO)
    chain = chain_of(settings, checker_of(settings, engine), Model("It holds 1.4 litres."))
    asked = Question("Does the lawn mower's petrol tank hold 2 litres?", "chat", "session:chat")
    _, done = await answered(chain, replace(turn(passage()), question=asked))
    assert done.answer.text == "No: The lawn mower's petrol tank holds 1.4 litres. [1]"
    assert engine.asked == []


async def test_what_was_checked_ahead_is_not_checked_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, model = Engine(YES), Model("The tank holds 1.4 litres.")
    chain = chain_of(settings, checker_of(settings, engine), model)

    async def prepare(_question: Question) -> Turn:
        return turn(passage())

    monkeypatch.setattr(chain, "prepare", prepare)
    prepared = PreparedTurn(chain)
    prepared.begin(turn().question)
    async with asyncio.timeout(10):
        while not model.prompts:
            await asyncio.sleep(0.01)
    longer = replace(turn().question, max_tokens=7)
    taken = await prepared.take_begun(replace(turn().question, asked_id="q1", answer_id="a1"))
    assert taken is not None and taken.verdict is not None
    assert (taken.question.asked_id, taken.question.answer_id) == ("q1", "a1")
    prepared.begin(turn().question)
    assert await prepared.take_begun(longer) is None, "it is to be answered otherwise"
    engine.asked = engine.asked[:1]
    _, done = await answered(chain, taken)
    assert done.answer.checked_by == CHECKER_PROFILE
    assert len(engine.asked) == 1


def test_only_the_model_that_checks_itself_reads_the_examples_ahead() -> None:
    assert openings("fast") == (ANSWER_OPENING,)
    assert openings(CHECKER_PROFILE) == (ANSWER_OPENING, OPENING)
    assert check_messages(passage(), QUESTION)[: len(OPENING)] == OPENING
