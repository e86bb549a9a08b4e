"""How well a model tells what passages answer from what they only resemble.

Where the SQuAD 2.0 file is at hand (``XOE_SHARED_DIR``, or ``shared`` beside the project), on
questions with an answer and on adversarial ones without. Limits are read off every other article;
what they refuse is counted on the rest. Nothing is printed where the checker's model is not there.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from bench.retrieval import put_article
from bench.rows import BenchRow
from bench.scratch import scratch_workbench, squad_articles
from chains.checker import CHECKER_PROFILE, OPENING, PASSAGES, WORDS, check_messages
from chains.gate import support
from chains.llm.engine import GenerationRequest, LlmEngine
from chains.types import Passage
from core.settings import LlmProfile, Settings
from ingest.scope import Scope
from models.manifest import CheckLimits, load_manifest
from models.provision import installed
from xoe.checking import CONTEXT_TOKENS
from xoe.workbench import Workbench

QUESTIONS = 40
"""Of each kind, and for each half of the articles."""
REFUSED = 0.08
"""Share of the answerable questions whose passages the limit may refuse."""


@dataclass(frozen=True)
class Case:
    """A question and what was found for it."""

    question: str
    answers: tuple[str, ...]
    """None: the text does not answer it."""
    passages: tuple[Passage, ...]
    support: float
    """What the gate goes by."""
    held_out: bool

    def is_in(self, passages: Sequence[Passage]) -> bool:
        """Whether an answer stands there."""
        return any(answer in passage.text for passage in passages for answer in self.answers)


@dataclass(frozen=True)
class Judged:
    """A case with the scores of its passages, the best found first."""

    case: Case
    scores: tuple[float, ...]
    cold_ms: float
    """Of the first passage, when nothing of it was read …"""
    ahead_ms: float
    """… and when the passage and the question were read before."""

    def score(self, refuse_below: float) -> float:
        """Return the score that counts: a later passage is looked at where one is refused."""
        best = self.scores[0]
        for score in self.scores[1:]:
            if best >= refuse_below:
                break
            best = max(best, score)
        return best


async def run(settings: Settings) -> list[BenchRow]:
    """Return the rows of the checker."""
    articles = squad_articles()
    there = {entry.name for entry in installed(settings.models_dir)}
    if not articles or CHECKER_PROFILE not in there:
        return []
    async with scratch_workbench(settings) as bench:
        cases = await asyncio.to_thread(_cases, bench, articles)
    return _rows(CHECKER_PROFILE, [one async for one in _judged(settings, CHECKER_PROFILE, cases)])


def _cases(bench: Workbench, articles: list[dict[str, object]]) -> list[Case]:
    asked = []
    owners = []
    for number, article in enumerate(articles):
        owners.append(f"bench:{number}")
        paragraphs = article["paragraphs"]
        assert isinstance(paragraphs, list)
        title = str(article["title"]).replace("_", " ")
        put_article(bench, owners[-1], title, [paragraph["context"] for paragraph in paragraphs])
        asked += [(number % 2 == 1, qa) for paragraph in paragraphs for qa in paragraph["qas"]]
    chosen = []
    for held_out in (False, True):
        for is_impossible in (False, True):
            kind = [
                (half, qa)
                for half, qa in asked
                if half == held_out and qa["is_impossible"] == is_impossible
            ]
            chosen += random.Random(1).sample(kind, QUESTIONS)
    return [_case(bench, owners, qa, held_out) for held_out, qa in chosen]


def _case(bench: Workbench, owners: list[str], qa: dict[str, object], held_out: bool) -> Case:
    question, answers = str(qa["question"]), qa["answers"]
    assert isinstance(answers, list)
    found = bench.search.search(question, Scope.of(*owners), limit=3)
    texts = tuple(str(answer["text"]) for answer in answers)
    return Case(question, texts, found.passages, support(found), held_out)


async def _judged(
    settings: Settings, profile: LlmProfile, cases: Sequence[Case]
) -> AsyncIterator[Judged]:
    alone = settings.model_copy(
        update={"llm_profile": profile, "llm_context_tokens": CONTEXT_TOKENS, "llm_stall_s": 600}
    )
    engine = LlmEngine(alone)
    try:
        await engine.start()
        await engine.warm(OPENING)
        for case in cases:
            if case.passages:
                yield await _judge(engine, case)
    finally:
        await engine.aclose()


async def _judge(engine: LlmEngine, case: Case) -> Judged:
    async def ask(passage: Passage) -> tuple[float, float]:
        request = GenerationRequest(check_messages(passage, case.question), session_id="bench")
        scored = await engine.score(request, WORDS)
        return scored.logits[0] - scored.logits[1], scored.read_ms

    first, cold_ms = await ask(case.passages[0])
    _, ahead_ms = await ask(case.passages[0])
    others = [(await ask(passage))[0] for passage in case.passages[1:PASSAGES]]
    return Judged(case, (first, *others), cold_ms, ahead_ms)


def _rows(profile: LlmProfile, judged: Sequence[Judged]) -> list[BenchRow]:
    name = f"checker_{profile}"
    kept = load_manifest().entry(profile).check
    calibration = _Half([one for one in judged if not one.case.held_out])
    held_out = _Half([one for one in judged if one.case.held_out])
    limits = calibration.limits()
    used = kept or limits
    by_support = held_out.auc(lambda one: one.case.support)
    first, both = (held_out.auc(_best_of(number)) for number in (1, PASSAGES))
    return [
        BenchRow(
            f"{name}_refuse_below",
            limits.refuse_below,
            "logits",
            None if kept is None else kept.refuse_below,
        ),
        BenchRow.against(f"{name}_auc_one_passage", first, "share", by_support),
        BenchRow.against(f"{name}_auc_two_passages", both, "share", by_support),
        *held_out.shares(name, used),
        BenchRow.against(
            f"{name}_read_ahead",
            median(one.ahead_ms for one in judged),
            "ms",
            median(one.cold_ms for one in judged),
        ),
    ]


def _best_of(number: int) -> Callable[[Judged], float]:
    return lambda one: max(one.scores[:number])


class _Half:
    """One half of the articles."""

    def __init__(self, judged: Sequence[Judged]) -> None:
        self.answerable = [one for one in judged if one.case.answers]
        self.adversarial = [one for one in judged if not one.case.answers]

    def limits(self) -> CheckLimits:
        """Return the limit that lets through as many as wanted."""
        return CheckLimits(
            float(np.quantile([max(one.scores) for one in self.answerable], REFUSED))
        )

    def auc(self, score: Callable[[Judged], float]) -> float:
        """Return how often an answerable question scores above an adversarial one."""
        true, false = ([score(one) for one in kind] for kind in (self.answerable, self.adversarial))
        return _share((a > b) + (a == b) / 2 for a in true for b in false)

    def shares(self, name: str, limits: CheckLimits) -> Iterator[BenchRow]:
        """Yield what these limits do to each kind."""
        for kind, group in (("answerable", self.answerable), ("adversarial", self.adversarial)):
            scores = [one.score(limits.refuse_below) for one in group]
            refused = _share(score < limits.refuse_below for score in scores)
            yield BenchRow(f"{name}_refuses_{kind}", refused, "share")
        found = [one for one in self.answerable if one.case.is_in(one.case.passages[:PASSAGES])]
        refused = _share(max(one.scores) < limits.refuse_below for one in found)
        yield BenchRow(f"{name}_refuses_answerable_and_found", refused, "share")


def _share(values: Iterable[float]) -> float:
    counted = list(values)
    return sum(counted) / len(counted) if counted else 0.0
