"""What of Chainlit is patched: each test says what breaks without the patch.

A new minor version of Chainlit is taken when they pass. The reload of an edited page is in
``tests/integration/test_reload.py``.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chainlit as cl
import pytest
from chainlit import data as chainlit_data
from chainlit import server, socket
from chainlit.auth import decode_jwt, get_token_from_cookies, require_login
from chainlit.chat_context import chat_context, chat_contexts
from chainlit.config import config
from chainlit.context import init_ws_context
from chainlit.logger import logger
from chainlit.markdown import get_markdown_str
from chainlit.session import BaseSession, WebsocketSession, ws_sessions_id, ws_sessions_sid
from chainlit.user_session import user_sessions
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.requests import Request, cookie_parser
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from ways_in import routes_of

from core.settings import Settings
from xoe.auth.identity import visitor
from xoe.page import chainlit_patches as patches
from xoe.web.chainlit_routes import SESSION_COOKIE, take_over
from xoe.web.offline import OfflinePage
from xoe.web.problems import tell_in_sentences

ME = visitor("0" * 32)
JSON = {"content-type": "application/json"}


async def ours(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("ours")


@pytest.fixture
def client() -> TestClient:
    """Chainlit's own routes, and ours in front of them."""
    app = FastAPI()
    app.include_router(server.router)
    tell_in_sentences(app)
    routes = [Route("/links", ours), Route("/login", ours, methods=["GET", "POST"])]
    take_over(app, routes)
    app.add_middleware(OfflinePage)
    return TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


@pytest.fixture
def code(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The callbacks of a page, which are taken away again."""
    monkeypatch.setattr(config, "code", type(config.code)(action_callbacks={}))
    monkeypatch.setattr(chainlit_data, "_data_layer", None)
    monkeypatch.setattr(chainlit_data, "_data_layer_initialized", True)
    return config.code


class OpenPage:
    """A page that is open, and what it was told."""

    def __init__(self, session_id: str = "") -> None:
        self.told: list[tuple[str, Any]] = []
        self.sid = uuid.uuid4().hex
        self.session = WebsocketSession(
            id=session_id or str(uuid.uuid4()),
            socket_id=self.sid,
            emit=self._take,  # type: ignore[arg-type]
            emit_call=self._take,  # type: ignore[arg-type]
            user_env={},
            client_type="webapp",
        )

    def enter(self) -> None:
        """Go on as what is called by this page."""
        init_ws_context(self.session)

    async def _take(self, event: str, data: Any) -> None:
        self.told.append((event, data))

    def events(self, name: str) -> list[Any]:
        return [data for event, data in self.told if event == name]


@pytest.fixture
def opened(code: Any) -> Iterator[OpenPage]:
    page = OpenPage()
    yield page
    ws_sessions_id.pop(page.session.id, None)
    ws_sessions_sid.pop(page.sid, None)
    chat_contexts.pop(page.session.id, None)


# ── The app ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("method", "path"), [("GET", "/links"), ("POST", "/login")])
def test_without_it_chainlits_routes_would_answer_for_ours(
    client: TestClient, method: str, path: str
) -> None:
    assert client.request(method, path).text == "ours"


def test_our_own_route_keeps_a_page_with_its_server(client: TestClient) -> None:
    answer = client.post("/set-session-cookie", json={"session_id": "ab-12"})
    assert answer.status_code == 200
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith(f"{SESSION_COOKIE}=ab-12;".lower())
    assert "httponly" in cookie


@pytest.mark.parametrize(
    "body", ["", "[]", "{", '{"session_id": 1}', '{"session_id": "\\ud800"}', "NaN"]
)
def test_without_it_an_odd_session_cookie_is_an_error_of_the_server(
    client: TestClient, body: str
) -> None:
    answer = client.post("/set-session-cookie", content=body, headers=JSON)
    assert answer.status_code == 422
    assert answer.json()["detail"].endswith(".")


def test_without_it_a_button_of_a_closed_page_is_an_error_of_the_server(
    client: TestClient,
) -> None:
    body = {"action": {"name": "x", "payload": {}}, "sessionId": "gone"}
    answer = client.post("/project/action", json=body)
    assert answer.status_code == 404
    assert "reload" in answer.json()["detail"]


def test_without_it_an_odd_button_is_an_error_of_the_server(
    client: TestClient, opened: OpenPage
) -> None:
    body = {"action": {"payload": 7}, "sessionId": opened.session.id}
    answer = client.post("/project/action", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("action.")


@pytest.mark.parametrize("name", ["%00", "a" * 300])
@pytest.mark.parametrize("folder", ["public", "assets"])
def test_without_it_an_odd_file_name_is_an_error_of_the_server(
    client: TestClient, folder: str, name: str
) -> None:
    assert client.get(f"/{folder}/{name}").status_code == 404


def test_without_it_the_page_asks_other_hosts() -> None:
    html = server.get_html_template("")
    assert re.search(r"<link[^>]*https://", html), "Chainlit's page needs this no more"
    assert not re.search(r"<link[^>]*https?://", patches.without_foreign_links(html))
    assert patches.without_foreign_links(html).count("<script") == html.count("<script")


def test_without_it_the_policy_stops_the_pages_own_scripts() -> None:
    html = patches.with_named_scripts(server.get_html_template(""), "abc")
    inline = [tag for tag in re.findall(r"<script[^>]*>", html) if "src=" not in tag]
    assert inline
    assert all('nonce="abc"' in tag for tag in inline)


@pytest.mark.parametrize("path", patches.CLOSED)
def test_without_it_parts_of_chainlit_would_answer_that_nobody_uses(
    client: TestClient, path: str
) -> None:
    there = {path for _, path, _ in routes_of(server.app.routes)}
    assert any(known.startswith(path) for known in there), "Chainlit has this no more"
    for method in ("GET", "POST", "PUT", "DELETE"):
        answer = client.request(method, path, json={})
        assert answer.status_code == 404
        assert answer.json()["detail"].endswith(".")


def test_without_it_the_page_offers_what_would_be_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "features", config.features.model_copy(deep=True))
    settings = Settings(data_dir=tmp_path, upload_max_mb=3, upload_max_files=2, voice=False)
    patches.offer_no_more(settings)
    upload, audio = config.features.spontaneous_file_upload, config.features.audio
    assert upload is not None
    assert (upload.max_size_mb, upload.max_files) == (3, 2)
    assert audio is not None
    assert audio.enabled is False


async def test_without_it_each_request_leaves_a_warning(
    tmp_path: Path, opened: OpenPage, code: Any
) -> None:
    async def set_chat_profiles(*_: Any) -> list[Any]:
        return []

    lines: list[str] = []
    seen = logging.Handler()
    seen.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(seen)
    (tmp_path / "chainlit.md").write_text("hello")
    code.set_chat_profiles = set_chat_profiles
    opened.session.chat_profile = "Fast"
    opened.session.language = "en-US"
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            patches.quieten()
            patches.quieten()
            assert get_markdown_str(str(tmp_path), "xx-XX") == "hello"
            opened.session.get_config()
            gc.collect()
        logger.warning("Something else")
    finally:
        logger.removeHandler(seen)
    assert lines == ["Something else"]
    assert [str(one.message) for one in warned if "set_chat_profiles" in str(one.message)] == []
    assert logger.filters.count(patches.is_worth_a_line) == 1


# ── Who somebody is ──────────────────────────────────────────────────────────────────────────


def test_without_it_nobody_has_a_list_of_chats(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CHAINLIT_CUSTOM_AUTH", "CHAINLIT_AUTH_SECRET"):
        monkeypatch.setenv(name, "")
    assert not require_login()
    patches.trust_our_login()
    assert require_login()


def test_without_it_chainlit_believes_whatever_login_a_browser_brings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHAINLIT_AUTH_SECRET", "only for tests " * 3)
    brought = b"access_token=forged; other=kept; access_token_0=forged"
    headers = [(b"cookie", brought), (b"authorization", b"Bearer forged")]
    scope = {"type": "http", "headers": headers}
    inner = Headers(scope=patches.as_known(scope, ME))
    cookies = cookie_parser(inner["cookie"])
    token = get_token_from_cookies(cookies)
    assert token is not None
    assert decode_jwt(token).identifier == ME.id
    assert cookies["other"] == "kept"
    assert "authorization" not in inner
    nobody = Headers(scope=patches.as_nobody(scope))
    assert get_token_from_cookies(cookie_parser(nobody["cookie"])) is None
    assert "authorization" not in nobody
    assert headers[0] == (b"cookie", brought)


# ── Open pages ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("given", ["../../../escape", "half \ud800", "a" * 5000])
async def test_without_it_a_session_deletes_whatever_folder_its_browser_names(
    given: str, code: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BaseSession, "files_dir", BaseSession.files_dir)
    patches.keep_files_in(tmp_path)
    session = OpenPage(given).session
    assert session.files_dir.parent == tmp_path
    session.files_dir.mkdir()
    await session.delete()
    assert list(tmp_path.iterdir()) == []
    assert tmp_path.is_dir()


async def test_without_it_a_guest_is_on_whose_page_is_closed(opened: OpenPage) -> None:
    assert opened.session in patches.open_sessions()
    assert not patches.is_connected(opened.session)
    opened.session.socket_id = await server.sio.manager.connect(uuid.uuid4().hex, "/")
    assert patches.is_connected(opened.session)


async def test_without_it_messages_of_who_was_sent_out_stay_in_memory(opened: OpenPage) -> None:
    session = opened.session
    opened.enter()
    chat_context.add(cl.Message("a secret"))
    user_sessions[session.id] = {"a": "secret"}
    await patches.end_session(session)
    assert session.id not in {*chat_contexts, *user_sessions}
    assert session not in patches.open_sessions()


async def test_without_it_every_message_is_kept_for_ever(opened: OpenPage) -> None:
    gone = OpenPage()
    gone.enter()
    chat_context.add(cl.Message("old"))
    await gone.session.delete()
    assert gone.session.id in chat_contexts, "Chainlit forgets them by itself now"
    opened.enter()
    for number in range(patches.KEPT_MESSAGES + 5):
        chat_context.add(cl.Message(str(number)))
    patches.drop_old_messages(opened.session)
    assert gone.session.id not in chat_contexts
    kept = chat_context.get()
    assert len(kept) == patches.KEPT_MESSAGES
    assert kept[0].content == "5"


async def test_without_it_a_page_that_connects_twice_is_left_without_a_greeting(
    opened: OpenPage, code: Any
) -> None:
    greeted = []

    async def on_chat_start() -> None:
        patches.greet_at_each_connection(opened.session)
        greeted.append(True)

    code.on_chat_start = on_chat_start
    for _ in range(2):
        await socket.connection_successful(opened.sid)
        await asyncio.sleep(0)
        opened.session.restored = True
    assert len(greeted) == 2


async def test_without_it_a_kept_chat_is_shown_again_at_each_connection(
    opened: OpenPage, code: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Layer:
        async def get_thread(self, thread_id: str) -> dict[str, Any]:
            return {"id": thread_id, "userIdentifier": ME.id, "metadata": {}, "steps": []}

    async def on_chat_resume(_thread: dict[str, Any]) -> None:
        patches.resume_once(opened.session)

    async def on_chat_start() -> None:
        pytest.fail("a kept chat was greeted as a new one")

    monkeypatch.setattr(chainlit_data, "_data_layer", Layer())
    code.on_chat_resume, code.on_chat_start = on_chat_resume, on_chat_start
    opened.session.user = cl.User(identifier=ME.id)  # type: ignore[assignment]
    opened.session.thread_id_to_resume = "kept"
    for _ in range(2):
        await socket.connection_successful(opened.sid)
        opened.session.restored = True
    await asyncio.sleep(0)
    assert len(opened.events("resume_thread")) == 1


async def test_without_it_stop_does_not_stop_a_question_that_was_changed(
    opened: OpenPage, code: Any
) -> None:
    old = asyncio.create_task(asyncio.sleep(60))
    opened.session.current_task = old
    begun = asyncio.Event()

    async def on_message(_message: cl.Message) -> None:
        task = asyncio.current_task()
        assert task is not None
        patches.let_stop_reach(opened.session, task)
        begun.set()
        await asyncio.sleep(60)

    code.on_message = on_message
    opened.enter()
    message = cl.Message("first", type="user_message")
    chat_context.add(message)
    changed: Any = {"message": {"id": message.id, "output": "second"}}
    edit = asyncio.create_task(socket.edit_message(opened.sid, changed))
    await asyncio.wait_for(begun.wait(), 30)
    await socket.stop(opened.sid)
    await asyncio.wait_for(edit, 30)
    assert not old.cancelling()
    old.cancel()


async def test_without_it_stop_leaves_a_remark_of_chainlits_own(
    opened: OpenPage, code: Any
) -> None:
    code.on_stop = patches.take_stop_remark_away
    opened.enter()
    answer = await cl.Message("An answer.").send()
    await socket.stop(opened.sid)
    said = [data["output"] for data in opened.events("new_message")]
    assert len(said) == 2, "Chainlit says nothing of its own any more"
    assert chat_context.get() == [answer]
    assert len(opened.events("delete_message")) == 1


async def test_without_it_files_alone_are_read_without_a_stop_button(opened: OpenPage) -> None:
    opened.enter()
    message = {"id": str(uuid.uuid4()), "type": "user_message", "output": "", "name": "User"}
    sent: Any = {"message": message | {"createdAt": "2026-01-01T00:00:00Z"}, "fileReferences": []}
    await cl.context.emitter.process_message(sent)
    await asyncio.sleep(0.05)
    named = [told["interaction"] for told in opened.events("first_interaction")]
    assert named == [""], "Chainlit names them by itself now"
    await patches.name_first_interaction("handbook.pdf")
    told = opened.events("first_interaction")[-1]
    assert told == {"interaction": "handbook.pdf", "thread_id": opened.session.thread_id}
