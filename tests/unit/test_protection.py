"""Whatever leaves the server carries the headers that protect it: errors and refusals too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from authenticated import authenticated_client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket

HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


async def page(_request: Request) -> HTMLResponse:
    return HTMLResponse("<html><script>1</script></html>")


async def data(_request: Request) -> JSONResponse:
    return JSONResponse({"private": True})


async def script(_request: Request) -> Response:
    return Response("1", media_type="text/javascript")


async def picture(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("<svg/>", media_type="image/svg+xml")


async def broken(_request: Request) -> Response:
    raise RuntimeError("on purpose")


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    app = Starlette(
        routes=[
            Route("/", page, methods=["GET", "POST"]),
            Route("/data", data),
            Route("/assets/worker.js", script),
            Route("/public/logo.svg", picture),
            Route("/broken", broken),
            WebSocketRoute("/ws", socket),
        ]
    )
    with authenticated_client(app, tmp_path) as (client, _):
        yield client


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/data", 200),
        ("/assets/worker.js", 200),
        ("/public/logo.svg", 200),
        ("/nowhere", 404),
        ("/mcp", 404),
        ("/broken", 500),
        ("/" + "x" * 9000, 414),
    ],
)
def test_every_answer_is_protected(client: TestClient, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    for name, value in HEADERS.items():
        assert answer.headers.get_list(name) == [value]
    assert "microphone=(self)" in answer.headers["permissions-policy"]
    assert "camera=()" in answer.headers["permissions-policy"]
    (policy,) = answer.headers.get_list("content-security-policy")
    assert "frame-ancestors 'none'" in policy
    assert "default-src" in policy


def test_a_refused_request_is_protected_too(client: TestClient) -> None:
    for answer in (
        client.get("/", headers={"host": "evil.example"}),
        client.post("/", headers={"content-length": str(1 << 40)}),
    ):
        assert answer.status_code in (403, 413)
        assert answer.headers["x-frame-options"] == "DENY"


def test_what_is_somebodys_own_is_not_kept_by_a_cache(client: TestClient) -> None:
    assert client.get("/").headers["cache-control"] == "no-store"
    assert client.get("/data").headers["cache-control"] == "no-store"
    assert "no-store" not in client.get("/public/logo.svg").headers.get("cache-control", "")


def test_a_picture_opened_by_itself_runs_nothing_and_a_worker_runs(client: TestClient) -> None:
    svg = client.get("/public/logo.svg").headers["content-security-policy"]
    assert "default-src 'none'" in svg
    assert "sandbox" in svg
    assert "sandbox" not in client.get("/assets/worker.js").headers["content-security-policy"]
    assert "'nonce-" in client.get("/").headers["content-security-policy"]


def test_a_websocket_is_protected_whether_it_opens_or_not(client: TestClient) -> None:
    url = "ws://127.0.0.1:8000/ws"
    with client.websocket_connect(url) as opened:
        headers = dict(opened.extra_headers)  # type: ignore[arg-type]
    assert headers[b"x-content-type-options"] == b"nosniff"
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect(url, headers={"origin": "http://evil.example"}),
    ):
        pass
    assert refused.value.status_code == 403
    assert refused.value.headers["x-frame-options"] == "DENY"
