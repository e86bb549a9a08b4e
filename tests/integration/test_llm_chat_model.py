"""The engine behind LangChain's interface: nothing is lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate
from llm_engines import FRIENDLY, ask, counting_pieces, request, shared_engine, until_idle

from chains.llm.budget import PastTurn, fit_prompt
from chains.llm.chat_model import QUEUED, LocalChatModel, to_turns
from chains.llm.engine import LlmEngine
from chains.llm.factory import build_chat_model
from core.errors import EngineError

pytestmark = pytest.mark.integration

MESSAGES = [SystemMessage(FRIENDLY), HumanMessage("What is the capital of France?")]


@pytest.fixture(scope="module")
def tiny() -> Iterator[LlmEngine]:
    yield from shared_engine("tiny")


@pytest.fixture
def model(tiny: LlmEngine) -> Any:
    return LocalChatModel(engine=tiny, max_tokens=16)


async def test_text_comes_in_chunks_and_the_measures_in_the_last(model: LocalChatModel) -> None:
    chunks = [chunk async for chunk in model.astream(MESSAGES, session_id="c")]
    assert len([chunk for chunk in chunks if chunk.text]) > 1
    measured = [chunk for chunk in chunks if "prompt_tokens" in chunk.response_metadata]
    assert len(measured) == 1
    told = measured[0].response_metadata
    assert told["finish_reason"] in ("stop", "length")
    assert told["first_token_ms"] > 0
    usage = measured[0].usage_metadata
    assert usage is not None
    assert usage["input_tokens"] == told["prompt_tokens"]
    assert usage["output_tokens"] == told["completion_tokens"] <= 16
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.text == (await model.ainvoke(MESSAGES)).text


async def test_options_can_be_bound(model: LocalChatModel, tiny: LlmEngine) -> None:
    bound = model.bind(session_id="b", max_tokens=3, profile="tiny")
    answer = await bound.ainvoke(MESSAGES)
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 3
    again = await bound.ainvoke([*MESSAGES, AIMessage(answer.text), HumanMessage("And of Italy?")])
    details = again.usage_metadata["input_token_details"]  # type: ignore[index]
    assert details["cache_read"] > 20


async def test_the_place_in_the_queue_comes_as_an_empty_chunk(
    model: LocalChatModel, tiny: LlmEngine
) -> None:
    busy = tiny.stream(request("Tell me a story.", session_id="busy", max_tokens=200))
    await anext(busy)
    waiting: Any = model.astream(MESSAGES, session_id="w")
    first = await anext(waiting)
    assert (first.text, first.additional_kwargs) == ("", {QUEUED: 0})
    await busy.aclose()
    rest = [chunk async for chunk in waiting]
    assert any(chunk.text for chunk in rest)
    assert not any(QUEUED in chunk.additional_kwargs for chunk in rest if chunk.text)


async def test_an_answer_in_one_piece_does_not_tell_of_the_queue(
    model: LocalChatModel, tiny: LlmEngine
) -> None:
    busy = tiny.stream(request("Tell me a story.", session_id="busy", max_tokens=200))
    await anext(busy)
    waiting = asyncio.create_task(model.ainvoke(MESSAGES))
    await asyncio.sleep(0.05)
    await busy.aclose()
    answer = await waiting
    assert answer.text
    assert answer.additional_kwargs == {}


async def test_closing_a_chains_stream_stops_the_model(
    model: LocalChatModel, tiny: LlmEngine
) -> None:
    prompt = ChatPromptTemplate.from_messages([("system", FRIENDLY), ("user", "{question}")])
    chain = prompt | model.bind(max_tokens=1500)
    stream: Any = chain.astream({"question": "Count from one to a thousand."})
    with counting_pieces() as written:
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                if chunk.text:
                    break
        await until_idle(tiny)
    assert 0 < written.pieces < 200


async def test_cancelling_the_task_stops_the_model(model: LocalChatModel, tiny: LlmEngine) -> None:
    task = asyncio.create_task(
        model.ainvoke([HumanMessage("Count to a million.")], max_tokens=1500)
    )
    while tiny.idle:
        await asyncio.sleep(0.001)
    task.cancel()
    await until_idle(tiny)
    assert (await ask(tiny, "Free again?")).places == ()


def test_it_can_be_used_without_an_event_loop(model: LocalChatModel) -> None:
    assert model.invoke(MESSAGES).text
    assert "".join(chunk.text for chunk in model.stream(MESSAGES))


async def test_in_an_event_loop_the_blocking_way_is_refused(model: LocalChatModel) -> None:
    with pytest.raises(EngineError, match="ainvoke"):
        model.invoke(MESSAGES)


def test_messages_that_the_model_cannot_read_are_refused() -> None:
    with pytest.raises(EngineError, match="tool"):
        to_turns([ToolMessage("4", tool_call_id="1")])


async def test_a_fitted_prompt_has_exactly_the_tokens_that_were_counted(tiny: LlmEngine) -> None:
    cost = await tiny.template_cost("tiny")
    fitted = await asyncio.to_thread(
        lambda: fit_prompt(
            system=FRIENDLY,
            history=[PastTurn(f"Question {n}? " * 40, f"Answer {n}. " * 30) for n in range(12)],
            passages=["The ferry leaves at eight. " * 20, "The museum is closed on Mondays. " * 9],
            question="When does the ferry leave?",
            render=lambda passages, question: "\n\n".join([*passages, question]),
            max_tokens=64,
            context_tokens=2048,
            count=tiny.counter("tiny"),
            cost=cost,
        )
    )
    assert 0 < len(fitted.history) < 12
    model = build_chat_model(tiny._settings, tiny)
    kinds = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
    answer = await model.ainvoke(
        [kinds[turn.role](turn.content) for turn in fitted.messages], max_tokens=1
    )
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_tokens"] == fitted.prompt_tokens
    assert fitted.prompt_tokens + 64 <= 2048
