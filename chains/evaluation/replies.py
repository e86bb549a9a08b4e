"""A reply to a case: asked as ``POST /query`` asks, and what of it is measured."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from chains.answer import AnswerChain
from chains.citations import strip_marks
from chains.evaluation.cases import Case
from chains.types import Answer, Done, Question, Sources
from core.errors import EngineError, EvaluationError
from state.ladder import Level

RANKED = 20
"""Passages asked for to rank ten documents: several may be of one."""


@dataclass(frozen=True)
class CaseResult:
    """What came of a question."""

    case: Case
    text: str
    """Without the marks of citations."""
    grounded: bool
    """Whether it was given as an answer out of the documents."""
    quotes: tuple[str, ...]
    """The sentences that it cites."""
    ranking: tuple[str, ...]
    """The documents found, best first, each once; empty where it is not known which is right."""
    total_ms: float
    """From the question to the checked answer."""
    sources_ms: float | None = None
    """From the question to the first quoted sentences; ``None`` where there were none."""
    first_token_ms: float | None = None
    """From the question to the model's first token; ``None`` where it was not asked."""

    @property
    def prediction(self) -> str:
        """What is compared with the answers: nothing where it was not given as an answer."""
        return self.text if self.grounded else ""


async def ask(
    chains: Sequence[AnswerChain], cases: Sequence[Case]
) -> AsyncGenerator[tuple[CaseResult, ...], None]:
    """Yield for each case its reply from each chain, one question at a time.

    The chain that is asked first changes from case to case, so that none has always a warmer
    machine. Raises ``EvaluationError`` where a part failed, since such a reply measures nothing,
    and as ``AnswerChain.stream`` does.
    """
    for number, case in enumerate(cases):
        turn = number % len(chains)
        order = [*range(turn, len(chains)), *range(turn)]
        replies = {which: await _reply(chains[which], case) for which in order}
        yield tuple(replies[which] for which in sorted(replies))


async def _reply(chain: AnswerChain, case: Case) -> CaseResult:
    session = f"eval-{secrets.token_hex(8)}"
    owner = case.owner or f"session:{session}"
    question = Question(case.question, session_id=session, owner=owner, kind="api")
    begun = time.perf_counter()
    sources_ms: float | None = None
    answer: Answer | None = None
    async with aclosing(chain.stream(question)) as events:
        async for event in events:
            now_ms = (time.perf_counter() - begun) * 1000
            match event:
                case Sources(citations) if citations and sources_ms is None:
                    sources_ms = now_ms
                case Done(done):
                    answer = done
    total_ms = (time.perf_counter() - begun) * 1000
    if answer is None:
        raise EngineError("The model ended without an answer.")
    if answer.level != Level.FULL:
        raise EvaluationError(f"A part failed while a question was answered: {answer.note}")
    # After the answer: searching before it would have warmed what its own search needs.
    found = await chain.rank(question, limit=RANKED) if case.sources else ()
    return CaseResult(
        case=case,
        text=strip_marks(answer.text).strip(),
        grounded=answer.grounded,
        quotes=tuple(citation.quote for citation in answer.citations),
        ranking=tuple(dict.fromkeys(passage.source for passage in found)),
        total_ms=total_ms,
        sources_ms=sources_ms,
        first_token_ms=answer.timings.first_token,
    )
