"""A server that is stopped while it answers tells so to whoever is being answered."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from page_client import PATIENCE_S, PageClient, open_page
from servers import Server, read_events

from xoe.page.answering import ENDED

pytestmark = pytest.mark.integration

STREAMS = 20
GARDEN = "# The garden shed\n\nThe lawn mower's petrol tank holds 1.4 litres.\n"
WRITTEN = "The petrol tank of the lawn mower holds 1.4 litres. "
QUESTION = "How much petrol does the lawn mower's tank hold?"


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A model elsewhere that never comes to an end: 20 sentences a second."""
    asked = await reader.readuntil(b"\r\n\r\n")
    kind = b"text/event-stream" if b"/chat/completions" in asked else b"application/json"
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: " + kind + b"\r\n\r\n")
    choice = {"index": 0, "delta": {"role": "assistant", "content": WRITTEN}}
    piece = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "endless"}
    try:
        while True:
            writer.write(f"data: {json.dumps(piece | {'choices': [choice]})}\n\n".encode())
            await writer.drain()
            await asyncio.sleep(0.05)
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def answering_server(home: Path) -> AsyncIterator[Server]:
    """A server in the middle of whatever it is asked."""
    model = await asyncio.start_server(endless, "127.0.0.1", 0)
    port = model.sockets[0].getsockname()[1]
    environment = {
        "XOE_VOICE": "false",
        "XOE_LLM_BASE_URL": f"http://127.0.0.1:{port}/v1",
        "XOE_LLM_MODEL": "endless",
        "XOE_LIMIT_QUESTIONS": "100000",
        "XOE_LLM_QUEUE_LIMIT": "256",  # of which one owner has an eighth
    }
    server = Server(home, environment)
    (server.library / "shed.md").write_text(GARDEN)
    await asyncio.to_thread(server.start)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.stop)
        model.close()


async def told(server: Server, *, begun: asyncio.Event) -> list[tuple[str, object]]:
    """Ask, set ``begun`` when the model writes, and return all events until the stream ended."""
    body = {"question": QUESTION, "use_library": False}
    lines: list[str] = []
    async with (
        httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=PATIENCE_S) as client,
        client.stream("POST", "/query/stream", json=body) as answer,
    ):
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            lines.append(line)
            if line == "event: token":
                begun.set()
    return read_events(lines)


async def ended(server: Server) -> int:
    """Tell the server to end as systemd does, and return its exit code."""
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    return await asyncio.to_thread(server.process.wait, PATIENCE_S)


def deaf(server: Server, request: bytes) -> socket.socket:
    """Ask for something and never read it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", server.port))
    connection.sendall(request)
    return connection


async def test_each_stream_ends_with_an_event_that_says_why(tmp_path: Path, need_models) -> None:
    """Also beside clients that read nothing, and that say nothing; the server ends all the same.

    A server is started, and ended.
    """
    need_models("embedder")
    async with answering_server(tmp_path) as server:
        events = [asyncio.Event() for _ in range(STREAMS)]
        streams = [asyncio.create_task(told(server, begun=event)) for event in events]
        body = json.dumps({"question": QUESTION, "use_library": False}).encode()
        head = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head += b"Content-Length: %d\r\n\r\n"
        page = httpx.get(f"{server.url}/", trust_env=False).text
        script = page.partition('src="/assets/')[2].partition('"')[0]
        others = [
            deaf(server, head % (b"/query/stream", len(body)) + body),
            deaf(server, f"GET /assets/{script} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()),
            deaf(server, head % (b"/query", 1000)),
            deaf(server, b"GET / HTTP/1.1\r\n"),
        ]
        whole = asyncio.create_task(
            httpx.AsyncClient(base_url=server.url, trust_env=False, timeout=PATIENCE_S).post(
                "/query", json={"question": QUESTION, "use_library": False}
            )
        )
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(event.wait() for event in events))
            assert others[0].recv(15) == b"HTTP/1.1 200 OK"
        assert await ended(server) == 0
        for stream in streams:
            *before, (name, why) = await stream
            assert name == "error", before[-1:]
            assert "being stopped" in why["detail"]  # type: ignore[index]
            assert "done" not in dict(before)
        answer = await whole
        assert answer.status_code == 503
        assert "being stopped" in answer.json()["detail"]
        for connection in others:
            connection.close()
        assert '"level": "error"' not in server.log, server.log[-3000:]


async def test_a_page_keeps_the_answer_so_far_and_says_why_it_ends(
    tmp_path: Path, need_models
) -> None:
    """A server is started twice."""
    need_models("embedder")
    visitor = uuid.uuid4().hex
    async with answering_server(tmp_path) as server:
        async with open_page(server.url, visitor=visitor) as page:
            await page.until(lambda: bool(page.elements))
            await page.type(QUESTION)
            await page.until(lambda: written(page) > 0)
            thread = page.thread_id
            assert await ended(server) == 0
            assert page.answers[-1].endswith(f"*{ENDED}*")
            assert WRITTEN.strip() in page.answers[-1], "what was written stays"
        await asyncio.to_thread(server.start)
        async with open_page(server.url, visitor=visitor, thread=thread) as again:
            await again.until(lambda: bool(again.resumed))
            said = [step["output"] for step in again.resumed["steps"]]
            assert ENDED in said[-1]
            assert WRITTEN.strip() in said[-1]


def written(page: PageClient) -> int:
    """How often the page was sent a piece of an answer."""
    return sum(event in ("stream_start", "stream_token") for event, _ in page.events)
