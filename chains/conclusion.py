"""What a turn comes to, whatever of it could be written: the finished answer."""

from __future__ import annotations

from dataclasses import replace

from chains.compose import compose, direct, searched_only
from chains.degraded import (
    MEMORY_SHORT,
    MODEL_BUSY,
    WITHOUT_MODEL,
    extractive,
    labelled_direct,
    template,
)
from chains.phrases import FOREIGN, said
from chains.summary import compose_summary
from chains.turn import Turn, Writing
from chains.types import Answer, Outcome
from core.errors import EngineBusyError, EngineError, XoeError
from state.ladder import Level


class MemoryShortError(EngineError):
    """The model is not asked, as memory is nearly used up."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__(MEMORY_SHORT)


def concluded(turn: Turn, writing: Writing, fault: XoeError | None) -> Answer:
    """Return the answer; ``fault``: why the model wrote nothing, or not to the end."""
    answer = _composed(turn, writing, fault)
    if turn.is_foreign and not answer.grounded and not answer.note:
        answer = replace(answer, note=said(FOREIGN, turn.language))
    if turn.is_restricted:
        answer = _restricted(answer, searched_only(turn.question.categories, turn.language))
    return answer if turn.verdict is None else replace(answer, checked_by=turn.verdict.checker)


def _restricted(answer: Answer, only: str) -> Answer:
    """Say what alone was searched: below an answer, and in what finds, counts or names nothing."""
    if answer.outcome in (None, Outcome.ABSENT):
        return replace(answer, text=f"{answer.text}\n\n{only}")
    return replace(answer, note=f"{answer.note} {only}".strip())


def _composed(turn: Turn, writing: Writing, fault: XoeError | None) -> Answer:
    language = turn.language
    if turn.settled is not None:
        return turn.settled
    if turn.plan is not None:
        answer = compose_summary(turn.plan, writing.said)
        if fault is None:
            return answer
        note = said(_why_extractive(fault), language)
        return replace(answer, level=Level.EXTRACTIVE, note=note)
    if fault is not None:
        if not turn.grounds:
            return template(library_lost=turn.library_lost, language=language)
        note = _why_extractive(fault)
        return extractive(turn.passages, note, language=language, begun=writing.draft)
    if turn.grounds:
        return compose(
            writing.draft or writing.text,
            turn.passages,
            turn.in_full,
            turn.orders,
            verdict=turn.verdict,
            language=language,
        )
    answer = direct(writing.text)
    return labelled_direct(answer, language=language) if turn.library_lost else answer


def _why_extractive(fault: XoeError) -> str:
    if isinstance(fault, EngineBusyError):
        return MODEL_BUSY
    return str(fault) if isinstance(fault, MemoryShortError) else WITHOUT_MODEL
