"""Many ask at once: each is answered or told its place, and who stops waiting costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
from llm_engines import (
    PATIENCE_S,
    Direct,
    Reply,
    ask,
    counting_pieces,
    reply,
    request,
    running_engine,
    shared_engine,
    until_idle,
)

from chains.llm.engine import LlmEngine, Queued, StreamEvent, TextPiece
from core.errors import EngineBusyError
from engines.service import Call, Cancelled

pytestmark = pytest.mark.integration

LONG = "The river runs to the sea and the rain runs to the river. " * 200


@pytest.fixture(scope="module")
def tiny() -> Iterator[LlmEngine]:
    yield from shared_engine("tiny")


async def test_a_hundred_at_once_are_all_answered_and_none_mixed_up(tiny: LlmEngine) -> None:
    def question(number: int) -> str:
        return f"Say the number {number}. " + "Please. " * (number % 20)

    counted = await tiny.count_tokens([question(number) for number in range(100)])
    rest = (await ask(tiny, question(0))).finished.prompt_tokens - counted[0]

    alive = 0

    async def heartbeat() -> None:
        nonlocal alive
        while True:
            await asyncio.sleep(0.01)
            alive += 1

    beating = asyncio.create_task(heartbeat())
    async with asyncio.timeout(PATIENCE_S):
        replies = await asyncio.gather(
            *(ask(tiny, question(n), session_id=f"s{n}", max_tokens=3) for n in range(100))
        )
    beating.cancel()
    for number, answered in enumerate(replies):
        assert answered.finished.prompt_tokens == counted[number] + rest
        assert answered.finished.completion_tokens > 0
        assert answered.places == tuple(sorted(answered.places, reverse=True))
    told = [answered.places for answered in replies]
    assert all(told[1:])
    assert max(places[0] for places in told if places) >= 98
    assert alive > 100
    for number in (3, 50, 97):  # alone, each gets the same answer
        alone = await ask(tiny, question(number), session_id="alone", max_tokens=3)
        assert alone.text == replies[number].text


async def test_a_waiting_request_hears_of_every_step(tiny: LlmEngine) -> None:
    first = tiny.stream(request("Tell me a story.", session_id="a", max_tokens=60))
    await anext(first)
    asked = [
        asyncio.create_task(ask(tiny, "And me?", session_id=name, max_tokens=2)) for name in "bcd"
    ]
    await asyncio.sleep(0)
    await first.aclose()
    places = [(await task).places for task in asked]
    assert [seen[0] for seen in places] == [0, 1, 2]
    assert all(seen == tuple(range(seen[0], -1, -1)) for seen in places)


async def test_sessions_take_turns(tiny: LlmEngine) -> None:
    finished: list[str] = []

    async def one(name: str) -> None:
        await ask(tiny, name, session_id=name[0], max_tokens=1)
        finished.append(name)

    async with aclosing(tiny.stream(request("Wait.", session_id="z", max_tokens=200))) as busy:
        await anext(busy)
        asked = [asyncio.create_task(one(name)) for name in ("a1", "a2", "a3", "b1", "c1")]
        await asyncio.sleep(0.05)
    await asyncio.gather(*asked)
    assert finished == ["a1", "b1", "c1", "a2", "a3"]


async def test_a_full_queue_says_so_at_once_and_keeps_its_promises() -> None:
    async with running_engine("tiny", llm_queue_limit=2) as engine:
        async with aclosing(engine.stream(request("Wait.", max_tokens=300))) as busy:
            await anext(busy)
            waiting = [asyncio.create_task(ask(engine, "Me?", session_id=n)) for n in "ab"]
            await asyncio.sleep(0.05)
            with pytest.raises(EngineBusyError) as error:
                await ask(engine, "And me?", session_id="c")
            assert error.value.waiting == 2
            waiting.pop().cancel()
            await asyncio.sleep(0.05)
            waiting.append(asyncio.create_task(ask(engine, "Me now?", session_id="c")))
            await asyncio.sleep(0.05)
        for task in waiting:
            assert (await task).text
        assert (await ask(engine, "Now?", session_id="c")).text


async def test_stopping_an_answer_stops_the_model_within_a_token(tiny: LlmEngine) -> None:
    stream = tiny.stream(request("Count from one to a thousand.", max_tokens=1500))
    async with asyncio.timeout(PATIENCE_S):
        with counting_pieces() as written:
            pieces = 0
            async for event in stream:
                pieces += isinstance(event, TextPiece)
                if pieces == 3:
                    break
            before = written.pieces
            await stream.aclose()
            await until_idle(tiny)
    assert before <= written.pieces <= before + 2
    assert (await ask(tiny, "Free again?")).places == ()


async def test_stopping_frees_the_worker_while_it_reads_the_prompt(tiny: LlmEngine) -> None:
    tokens = (await tiny.count_tokens([LONG]))[0]
    assert tokens > 2000
    reading = asyncio.create_task(ask(tiny, LONG, session_id="long"))
    async with asyncio.timeout(PATIENCE_S):
        while tiny.idle:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        reading.cancel()
        await until_idle(tiny)
    assert reading.cancelled()
    assert (await ask(tiny, "Free again?")).places == ()


async def test_a_prompt_that_nobody_waits_for_is_not_read_to_its_end() -> None:
    direct = Direct("tiny")
    await direct.ask("Hello?", max_tokens=1)
    call = Call(direct.job(LONG).arguments)
    reading = asyncio.create_task(asyncio.to_thread(direct.service.generate, call))
    await asyncio.sleep(0.1)
    call.cancel()
    with pytest.raises(Cancelled):
        await reading
    assert 0 < direct.generator._runtime.position < 2000


async def test_who_stops_waiting_is_never_served(tiny: LlmEngine) -> None:
    async with aclosing(tiny.stream(request("Wait.", session_id="a", max_tokens=300))) as busy:
        await anext(busy)
        leaving = asyncio.create_task(ask(tiny, "Never mind.", session_id="b", max_tokens=300))
        staying = asyncio.create_task(ask(tiny, "I stay.", session_id="c", max_tokens=2))
        await asyncio.sleep(0.05)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
    assert (await staying).places == (1, 0)
    assert leaving.cancelled()
    assert tiny.idle


async def test_a_hundred_who_all_leave_leave_nothing_behind(tiny: LlmEngine) -> None:
    asked = [
        asyncio.create_task(ask(tiny, f"Question {n}", session_id=str(n), max_tokens=200))
        for n in range(100)
    ]
    await asyncio.sleep(0.1)
    for task in asked:
        task.cancel()
    await asyncio.gather(*asked, return_exceptions=True)
    await until_idle(tiny)
    assert (await ask(tiny, "Free again?")).places == ()


async def test_a_slow_reader_does_not_hold_up_the_others(tiny: LlmEngine) -> None:
    slow = tiny.stream(request("Tell me a story.", session_id="slow", max_tokens=30))
    events: list[StreamEvent] = [await anext(slow)]
    assert (await ask(tiny, "Me?", session_id="quick")).text  # while nobody reads the other one
    events += [event async for event in slow]
    answered: Reply = reply(events)
    assert answered.finished.completion_tokens > 1


async def test_a_loop_that_dies_with_a_request_does_not_stop_the_worker(tiny: LlmEngine) -> None:
    def another_loop() -> None:
        async def leave() -> None:
            stream = tiny.stream(request("Tell me a story.", max_tokens=1500))
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            kept.append(stream)
            await anext(stream)

        kept: list[Any] = []
        loop = asyncio.new_event_loop()
        loop.run_until_complete(leave())
        loop.close()

    await asyncio.to_thread(another_loop)
    await until_idle(tiny)
    assert (await ask(tiny, "Free again?")).text


async def test_a_request_that_need_not_wait_is_not_told_a_place(tiny: LlmEngine) -> None:
    for _ in range(5):
        events = [event async for event in tiny.stream(request("Hello?", max_tokens=1))]
        assert not any(isinstance(event, Queued) for event in events)
