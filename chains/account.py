"""What is told of a turn when it has ended: a trace, an outcome, the times of its stages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict

from chains.types import Answer, AnswerEvent, Done, Outcome, Question
from state.ladder import Level
from telemetry.metrics import Metrics
from telemetry.tracing import Tracer


async def accounted(
    events: AsyncGenerator[AnswerEvent, None],
    question: Question,
    *,
    tracer: Tracer,
    metrics: Metrics,
    started: float | None = None,
) -> AsyncGenerator[AnswerEvent, None]:
    """Yield the events of one turn, traced and counted.

    ``started``, on ``time.perf_counter``'s clock: when it was begun, if that was earlier.
    """
    outcome, timings = "failed", None
    with tracer.turn(question.kind, session=question.session_id, started=started) as span:
        try:
            async with aclosing(events):
                async for event in events:
                    if isinstance(event, Done):
                        outcome, timings = _outcome(event.answer), asdict(event.answer.timings)
                        span.set(outcome=outcome, level=str(event.answer.level))
                    yield event
        except (asyncio.CancelledError, GeneratorExit):
            outcome = outcome if timings is not None else "cancelled"
            raise
        finally:
            metrics.turn_done(question.kind, outcome, timings)


def _outcome(answer: Answer) -> str:
    if answer.level is Level.TEMPLATE:
        return "failed"
    if answer.level is Level.EXTRACTIVE:
        return "extractive"
    return str(answer.outcome or Outcome.ANSWERED)
