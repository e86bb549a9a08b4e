"""A reply's clauses are kept, so that it can go on where it was broken off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from core.errors import EngineNotReadyError
from voice.clause_log import ClauseLog
from voice.speakable.clauses import SpokenClause, clauses_of

ANSWER = "The roof is new. It was laid in 2019. Nobody has complained."


async def clauses(gate: asyncio.Event | None = None) -> AsyncIterator[SpokenClause]:
    for number, clause in enumerate(clauses_of(ANSWER)):
        if number and gate is not None:
            await gate.wait()
        yield clause


async def test_each_reader_begins_where_it_wants() -> None:
    log = ClauseLog(clauses())
    every = [clause async for clause in log.since(0)]
    assert "".join(clause.text for clause in every) == ANSWER
    assert [clause async for clause in log.since(1)] == every[1:]
    assert [clause async for clause in log.since(len(every))] == []


async def test_a_reader_waits_for_what_comes() -> None:
    gate = asyncio.Event()
    log = ClauseLog(clauses(gate))
    reader = log.since(0)
    first = await anext(reader)
    later = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0.01)
    assert not later.done()
    gate.set()
    assert (await later).start == first.end


async def test_the_text_ends_at_the_character_that_was_heard() -> None:
    log = ClauseLog(clauses())
    await log.finished()
    for chars in range(len(ANSWER) + 5):
        assert log.text(chars) == ANSWER[:chars]


async def test_a_fault_comes_after_the_clauses_before_it() -> None:
    async def failing() -> AsyncIterator[SpokenClause]:
        async for clause in clauses():
            yield clause
        raise EngineNotReadyError("The model is away.")

    log = ClauseLog(failing())
    heard = []
    with pytest.raises(EngineNotReadyError):
        async for clause in log.since(0):
            heard.append(clause)
    assert "".join(clause.text for clause in heard) == ANSWER
    with pytest.raises(EngineNotReadyError):
        await log.finished()
    await log.aclose()


async def test_it_is_known_whether_the_answer_was_asked_for() -> None:
    log = ClauseLog(clauses(asyncio.Event()))
    assert not log.begun
    await asyncio.sleep(0)
    assert log.begun
    await log.aclose()
    unasked = ClauseLog(clauses())
    await unasked.aclose()
    assert not unasked.begun
