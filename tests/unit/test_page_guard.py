"""The page answers its own visitors only, asks no other host, and knows its browsers apart."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from xoe.net.reach import LOOPBACK_NAMES
from xoe.web.host_guard import HostGuard
from xoe.web.offline import OfflinePage, without_foreign_links
from xoe.web.visitor import VisitorCookie, visitor_of

PAGE = """<!doctype html><html><head>
<link rel="preconnect" href="https://fonts.gstatic.com" crossorigin />
<link
  rel="stylesheet"
  href="https://cdn.example/katex.css"
/>
<link href='//cdn.example/other.css' rel=stylesheet>
<link rel="stylesheet" href="/public/xoe.css">
<!-- a placeholder --><script>window.theme = {};</script>
<script src="/assets/index.js"></script></head></html>"""


async def page(_request: Request) -> HTMLResponse:
    return HTMLResponse(PAGE)


async def asset(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.headers.get("accept-encoding", "none"))


async def echo(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("open")
    await socket.close()


@pytest.fixture
def client() -> TestClient:
    routes = [
        Route("/", page, methods=["GET", "POST"]),
        Route("/assets/{name}", asset),
        WebSocketRoute("/ws/socket.io/", echo),
    ]
    app = Starlette(routes=routes)
    app.add_middleware(VisitorCookie)
    app.add_middleware(OfflinePage)
    app.add_middleware(HostGuard, names=LOOPBACK_NAMES)
    return TestClient(app, base_url="http://127.0.0.1:8000")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "LOCALHOST:9", "[::1]:8000"])
def test_own_names_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8000", "", "[::1"])
def test_a_foreign_name_for_this_address_is_refused(client: TestClient, host: str) -> None:
    assert client.get("/", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:9999", "null"])
def test_another_site_may_change_nothing(client: TestClient, origin: str) -> None:
    assert client.post("/", headers={"origin": origin}).status_code == 403
    assert client.get("/ws/socket.io/", headers={"origin": origin}).status_code == 403


def test_the_page_itself_and_programs_may(client: TestClient) -> None:
    assert client.post("/", headers={"origin": "http://127.0.0.1:8000"}).status_code == 200
    assert client.post("/").status_code == 200


def test_a_socket_opens_for_the_page_and_not_for_another_site(client: TestClient) -> None:
    url = "ws://127.0.0.1:8000/ws/socket.io/"
    with client.websocket_connect(url, headers={"origin": "http://127.0.0.1:8000"}) as socket:
        assert socket.receive_text() == "open"
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect(url, headers={"origin": "http://evil.example"}),
    ):
        pass


def test_links_to_other_hosts_leave_the_page_and_own_ones_stay() -> None:
    html = without_foreign_links(PAGE)
    assert "//" not in html.replace("<!doctype", "")
    assert "/public/xoe.css" in html
    assert "<!--" not in html


def test_the_policy_lets_only_the_page_own_scripts_run(client: TestClient) -> None:
    first, second = client.get("/"), client.get("/")
    policy = first.headers["content-security-policy"]
    nonce = policy.split("'nonce-")[1].split("'")[0]
    assert f'<script nonce="{nonce}">window.theme' in first.text
    assert "img-src 'self' data: blob:" in policy
    assert "default-src 'self'" in policy
    assert policy != second.headers["content-security-policy"]
    assert int(first.headers["content-length"]) == len(first.content)


@pytest.mark.parametrize("path", ["/mcp", "/project/element", "/copilot/index.js"])
def test_what_the_page_does_not_use_is_closed(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_assets_are_kept_by_the_browser_and_not_compressed_for_it(client: TestClient) -> None:
    answer = client.get("/assets/index.js", headers={"accept-encoding": "gzip"})
    assert answer.text == "none"
    assert "immutable" in answer.headers["cache-control"]


def test_a_browser_keeps_its_visitor_id(client: TestClient) -> None:
    cookie = client.get("/").headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    visitor = visitor_of(cookie.split(";")[0])
    assert visitor
    assert len(visitor) == 32
    assert "set-cookie" not in client.get("/").headers
