"""Authentication: who comes in by which listener, as whom, and what the others are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from authenticated import Authenticated, authenticated_client
from chainlit.auth import create_jwt, decode_jwt
from chainlit.user import User
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from xoe.auth.identity import COOKIE, SCOPE_KEY, Identity, current
from xoe.net.listeners import Listener
from xoe.web import invitation

HOUR = 3600.0
SHARE = Listener("share", frozenset({"testserver", "127.0.0.1"}))
LAN = Listener("lan", frozenset({"127.0.0.1"}))
PAGE = {"accept": "text/html,*/*"}


async def who(request: Request) -> JSONResponse:
    identity = request.scope.get(SCOPE_KEY)
    token = request.cookies.get("access_token")
    known = current.get()
    return JSONResponse(
        {
            "id": identity and identity.id,
            "role": identity and identity.role,
            "context": known and known.id,
            "chainlit": decode_jwt(token).identifier if token else None,
            "cookies": sorted(request.cookies),
            "authorization": request.headers.get("authorization"),
        }
    )


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(websocket.scope[SCOPE_KEY].id)
    async for text in websocket.iter_text():
        await websocket.send_text(text)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[TestClient, Authenticated]]:
    app = Starlette(
        routes=[
            Route(invitation.PATH, invitation.redeem),
            WebSocketRoute("/ws", socket),
            Route("/{path:path}", who, methods=["GET", "POST"]),
        ]
    )
    with authenticated_client(app, tmp_path) as (client, authenticated):
        app.state.startup = authenticated
        yield client, authenticated


def auth(client: TestClient, authenticated: Authenticated):
    assert client.portal is not None
    return client.portal.call(authenticated.auth)


def log_in(
    client: TestClient, authenticated: Authenticated, name: str = "ada", role: str = "user"
) -> str:
    sessions = auth(client, authenticated).sessions

    async def create() -> str:
        return await sessions.create(Identity(f"user:{name}", role, name), ttl_s=HOUR)

    token = client.portal.call(create)
    client.cookies.set(COOKIE, token)
    return token


def add_account(client: TestClient, authenticated: Authenticated) -> None:
    users = auth(client, authenticated).users

    async def add() -> None:
        await users.add("ada", "a long enough passphrase", role="operator")

    client.portal.call(add)


def invite(client: TestClient, authenticated: Authenticated, scope: str = "ask") -> str:
    invitations = auth(client, authenticated).invitations

    async def create():
        return await invitations.create(scope, ttl_s=HOUR, max_guests=1, made_by="console")

    return client.portal.call(create).token


def test_without_accounts_this_computer_comes_in_as_its_browser(house) -> None:
    client, _ = house
    client.cookies.set("xoe_visitor", "ab" * 16)
    told = client.get("/project/x").json()
    assert told["id"] == told["chainlit"] == told["context"] == "visitor:" + "ab" * 16
    assert told["role"] == "operator"


@pytest.mark.parametrize("listener", [SHARE, LAN])
def test_other_doors_let_no_visitor_in(house, listener: Listener) -> None:
    client, authenticated = house
    authenticated.listener = listener
    answer = client.get("/query", headers={"accept": "application/json"})
    assert answer.status_code == 401
    assert "detail" in answer.json()
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("ws://127.0.0.1:8000/ws"):
        pass


def test_with_an_account_a_login_is_needed_here_too(house) -> None:
    client, authenticated = house
    add_account(client, authenticated)
    answer = client.get("/library?x=1", headers=PAGE, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=/library%3Fx%3D1"
    assert client.get("/library").status_code == 401
    log_in(client, authenticated)
    assert client.get("/library").json()["id"] == "user:ada"


def test_nobody_brings_a_login_of_chainlit_along(house) -> None:
    """Not even one that is signed rightly: what counts is what the authentication has found."""
    client, authenticated = house
    forged = create_jwt(User(identifier="user:root"))
    client.cookies.set("access_token", forged)
    client.cookies.set("access_token_0", forged)
    log_in(client, authenticated)
    told = client.get("/x", headers={"authorization": f"Bearer {forged}"}).json()
    assert told["chainlit"] == "user:ada"
    assert told["cookies"] == ["access_token", COOKIE]
    assert told["authorization"] is None


def test_at_an_entrance_nobody_is_somebody_for_chainlit(house) -> None:
    client, authenticated = house
    add_account(client, authenticated)
    client.cookies.set("access_token", create_jwt(User(identifier="user:root")))
    told = client.get("/login").json()
    assert told["id"] is told["chainlit"] is told["context"] is None


@pytest.mark.parametrize("path", ["/status", "/metrics", "/health/turns", "/share/x", "/docs"])
def test_what_is_the_operators_is_refused_to_users(house, path: str) -> None:
    client, authenticated = house
    log_in(client, authenticated)
    assert client.get(path).status_code == 403
    assert "operator" in client.get(path, headers=PAGE).text
    log_in(client, authenticated, "op", "operator")
    assert client.get(path).json()["role"] == "operator"


def test_the_console_comes_in_here_only(house) -> None:
    client, authenticated = house
    add_account(client, authenticated)
    header = {"authorization": f"Bearer {authenticated.console_token}"}
    assert client.get("/x", headers=header).json()["id"] == "console"
    assert client.get("/x", headers={"authorization": "Bearer no"}).status_code == 401
    authenticated.listener = SHARE
    assert client.get("/x", headers=header).status_code == 401


def test_a_link_becomes_a_cookie_and_leaves_the_address(house) -> None:
    client, authenticated = house
    authenticated.listener = SHARE
    link = f"/invitation/{invite(client, authenticated)}"
    answer = client.get(link, headers={"user-agent": "Firefox"}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert "HttpOnly" in answer.headers["set-cookie"]
    told = client.get("/x").json()
    assert told["id"].startswith("guest:")
    again = client.get(link, headers={"user-agent": "Firefox"}, follow_redirects=False)
    assert (again.status_code, again.headers.get("set-cookie")) == (303, None)
    client.cookies.clear()
    full = client.get(link, headers={"user-agent": "Firefox"})
    assert full.status_code == 403
    assert "for one guest" in full.text


def test_a_messenger_that_looks_at_a_link_uses_no_place_up(house) -> None:
    client, authenticated = house
    authenticated.listener = SHARE
    link = f"/invitation/{invite(client, authenticated)}"
    seen = client.get(link, headers={"user-agent": "WhatsApp/2.23"})
    assert seen.status_code == 200
    assert "set-cookie" not in seen.headers
    assert client.head(link, headers={"user-agent": "Firefox"}).status_code == 200
    client.get(link, headers={"user-agent": "Firefox"})
    assert client.get("/x").json()["role"] == "guest"


@pytest.mark.parametrize("why", ["none", "unknown", "ended"])
def test_who_is_refused_at_a_shared_link_reads_why(house, why: str) -> None:
    client, authenticated = house
    authenticated.listener = SHARE
    if why == "unknown":
        client.cookies.set(COOKIE, "A" * 43)
    if why == "ended":
        log_in(client, authenticated)
        sessions = auth(client, authenticated).sessions
        client.portal.call(sessions.revoke_all, "user:ada")
    answer = client.get("/", headers=PAGE)
    assert answer.status_code == 401
    telling = {"none": "need an invitation", "unknown": "not known", "ended": "was ended"}
    assert telling[why] in answer.text
    assert "<script" not in answer.text


def test_a_socket_ends_with_its_login(house) -> None:
    client, authenticated = house
    log_in(client, authenticated)
    sessions = auth(client, authenticated).sessions
    with client.websocket_connect("ws://127.0.0.1:8000/ws") as open_socket:
        assert open_socket.receive_text() == "user:ada"
        open_socket.send_text("still here")
        assert open_socket.receive_text() == "still here"
        client.portal.call(sessions.revoke_all, "user:ada")
        with pytest.raises(WebSocketDisconnect):
            open_socket.receive_text()


def test_static_files_need_nobody(house) -> None:
    client, authenticated = house
    authenticated.listener = SHARE
    assert client.get("/public/notice.css").json()["id"] is None
