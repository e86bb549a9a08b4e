"""Any OpenAI-compatible server can answer in the local model's place."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from langchain_core.messages import HumanMessage

from chains.llm.chat_model import LocalChatModel
from chains.llm.engine import LlmEngine
from chains.llm.factory import build_chat_model
from chains.llm.remote import RemoteChatModel
from core.errors import GenerationError, QuestionError, SettingsError
from core.settings import Settings

pytestmark = pytest.mark.integration

WORDS = ["The ", "ferry ", "leaves ", "at ", "eight 🕗."]


@dataclass
class Server:
    """Speaks OpenAI's chat completions, and fails in the way that the model's name asks for."""

    url: str = ""
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    open_streams: int = 0

    async def complete(self, request: Request) -> Response:
        body = await request.json()
        self.requests.append(body)
        self.keys.append(request.headers.get("authorization", ""))
        model = body["model"]
        if model.isdigit():
            message = "the request exceeds the available context size" if model == "400" else "no"
            return JSONResponse({"error": {"message": message}}, status_code=int(model))
        if body.get("stream"):
            return StreamingResponse(self.stream(model), media_type="text/event-stream")
        message = {"role": "assistant", "content": "".join(WORDS)}
        return JSONResponse(
            completion("chat.completion", model, {"message": message, "finish_reason": "stop"})
            | {"usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}}
        )

    async def stream(self, model: str) -> AsyncIterator[str]:
        self.open_streams += 1
        try:
            for word in WORDS:
                yield event(model, {"delta": {"role": "assistant", "content": word}})
            if model == "breaks":
                raise ConnectionResetError("on purpose")
            while model == "endless":
                yield event(model, {"delta": {"content": "and so on "}})
                await asyncio.sleep(0.01)
            yield event(model, {"delta": {}, "finish_reason": "stop"})
            usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
            last = completion("chat.completion.chunk", model) | {"choices": [], "usage": usage}
            yield f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n"
        finally:
            self.open_streams -= 1


def completion(kind: str, model: str, *choices: dict[str, Any]) -> dict[str, Any]:
    numbered = [{"index": 0, **choice} for choice in choices]
    return {"id": "1", "object": kind, "created": 0, "model": model, "choices": numbered}


def event(model: str, choice: dict[str, Any]) -> str:
    return f"data: {json.dumps(completion('chat.completion.chunk', model, choice))}\n\n"


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()
    app = FastAPI()
    app.add_api_route("/v1/chat/completions", state.complete, methods=["POST"], response_model=None)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    port = running.servers[0].sockets[0].getsockname()[1]
    state.url = f"http://127.0.0.1:{port}/v1"
    yield state
    running.should_exit = True
    thread.join()


def model_for(url: str, **fields: Any) -> RemoteChatModel:
    model = build_chat_model(Settings(llm_base_url=url, **fields), None)
    assert isinstance(model, RemoteChatModel)
    return model


QUESTION = [HumanMessage("When does the ferry leave?")]


async def test_an_answer_is_streamed_with_its_usage(server: Server) -> None:
    model = model_for(server.url, llm_model="qwen", llm_max_tokens=64)
    chunks = [chunk async for chunk in model.astream(QUESTION, session_id="s", profile="fast")]
    assert [chunk.text for chunk in chunks if chunk.text] == WORDS
    assert sum((c.usage_metadata["total_tokens"] for c in chunks if c.usage_metadata), 0) == 12
    sent = server.requests[0]
    assert sent["model"] == "qwen"
    assert sent["max_tokens"] == 64
    assert sent["temperature"] == 0
    assert sent["messages"] == [{"content": QUESTION[0].content, "role": "user"}]
    assert not {"session_id", "profile", "max_completion_tokens"} & set(sent)


async def test_an_answer_can_be_had_in_one_piece(server: Server) -> None:
    answer = await model_for(server.url).ainvoke(QUESTION, max_tokens=9)
    assert answer.text == "".join(WORDS)
    assert server.requests[0]["max_tokens"] == 9


async def test_a_key_is_sent_when_there_is_one_and_none_is_needed(server: Server) -> None:
    await model_for(server.url).ainvoke(QUESTION)
    await model_for(server.url, llm_api_key="secret").ainvoke(QUESTION)
    assert server.keys == ["Bearer not-needed", "Bearer secret"]


async def test_a_model_called_codex_is_asked_in_the_usual_way(server: Server) -> None:
    answer = await model_for(server.url, llm_model="my-codex").ainvoke(QUESTION)
    assert answer.text == "".join(WORDS)


async def test_closing_the_stream_closes_the_connection(server: Server) -> None:
    stream: Any = model_for(server.url, llm_model="endless").astream(QUESTION)
    async with aclosing(stream) as chunks:
        async for chunk in chunks:
            if "so on" in chunk.text:
                break
    async with asyncio.timeout(10):
        while server.open_streams:
            await asyncio.sleep(0.01)


FAILURES = [
    ("400", QuestionError, "too long"),
    ("401", GenerationError, "refuses the key"),
    ("403", GenerationError, "refuses the key"),
    ("404", GenerationError, "knows no model '404'"),
    ("422", GenerationError, "reports error 422"),
    ("429", GenerationError, "overloaded"),
    ("500", GenerationError, "reports error 500"),
]


@pytest.mark.parametrize(
    ("model", "error", "sentence", "streamed"),
    [
        *((*failure, streamed) for failure in FAILURES for streamed in (True, False)),
        ("breaks", GenerationError, "cannot be reached|failed while", True),
    ],
)
async def test_every_failure_of_the_server_is_a_sentence(
    server: Server, model: str, error: type[Exception], sentence: str, streamed: bool
) -> None:
    chat = model_for(server.url, llm_model=model).model_copy(update={"max_retries": 0})
    with pytest.raises(error, match=sentence) as caught:
        if streamed:
            [chunk async for chunk in chat.astream(QUESTION)]
        else:
            await chat.ainvoke(QUESTION)
    assert caught.value.__cause__ is not None


async def test_a_server_that_is_not_there_is_named(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/v1"
    with pytest.raises(GenerationError, match=f"{url} cannot be reached"):
        await model_for(url).ainvoke(QUESTION)


async def test_the_client_tries_once_as_the_chain_has_a_budget_for_more(server: Server) -> None:
    with pytest.raises(GenerationError):
        await model_for(server.url, llm_model="500").ainvoke(QUESTION)
    assert len(server.requests) == 1


def test_without_a_server_the_local_engine_is_used() -> None:
    settings = Settings()
    assert isinstance(build_chat_model(settings, LlmEngine(settings)), LocalChatModel)
    with pytest.raises(SettingsError):
        build_chat_model(settings, None)
