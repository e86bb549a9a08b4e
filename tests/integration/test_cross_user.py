"""Nobody reaches what is somebody else's: every way into the app that takes an id is tried.

The ways are read from the app itself (``tests/ways_in.py``). One that is neither attacked here nor
known to take no id fails the first test, so a new one cannot be forgotten.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil
import pytest
import socketio
from page_client import PageClient
from servers import Server, free_port, xoe

from core.settings import Settings
from xoe import running
from xoe.auth.identity import COOKIE, Identity, Role
from xoe.auth.services import AuthServices

PASSWORD = "kettle orbit lantern"
ACCOUNTS: dict[str, Role] = {"ada": "operator", "ben": "user", "cy": "user", "gil": "guest"}
MARK = "quokka7319"
"""In everything of Ben's; where an attacker reads it, the attack has succeeded."""
PLAN = f"# The plan of {MARK}\n\nThe {MARK} meets its keeper at noon, behind the old mill.\n"
PATIENCE_S = 240

HARMLESS = {
    # What ships with the program, or says nothing of anybody.
    *("* /static-offline-docs", "GET /public/{filename:path}", "GET /assets/{filename:path}"),
    *("GET /favicon", "GET /logo", "GET /avatars/{avatar_id:str}", "GET /auth/config"),
    *("GET /project/translations", "GET /project/settings", "GET /health", "GET /page/standing"),
    # Chainlit's own logins, which are not set up; its sticky sessions.
    *("POST /auth/jwt", "POST /auth/header", "GET /auth/oauth/{provider_id}"),
    *("GET /auth/oauth/{provider_id}/callback", "POST /auth/oauth/azure-ad-hybrid/callback"),
    *("POST /set-session-cookie",),
    # They act on whoever asks, by the cookie alone.
    *("GET /login", "POST /login", "POST /logout", "GET /account", "POST /account/password"),
    "POST /account/transfer",
    *("GET /user", "GET /visit", "POST /voice/dictation", "GET /page/measurement"),
    # Secrets of their own, tested with the invitations and the links.
    *("GET /invitation/{token}", "GET /shared/{token}"),
    "GET /documents",
    # The page itself, and the socket, whose events are attacked one by one.
    *("GET /{full_path:path}", "* /ws/socket.io"),
}
HARMLESS_EVENTS = {
    # They act on the page that the socket is connected as; "connect" is what is attacked.
    *("connection_successful", "disconnect", "clear_session", "stop", "window_message"),
    *("audio_start", "audio_chunk", "audio_end", "chat_settings_change", "chat_settings_edit"),
    *("fetch_favorites",),
}
HARMLESS_ELEMENTS = {"Files", "Library", "Passage", "Sources", "Welcome"}
"""What they ask for are the actions below."""


@dataclass
class Ben:
    """Whom the others are after, and the ids of what is his."""

    cookie: str
    page: PageClient
    thread: str = ""
    question: str = ""
    answer: str = ""
    element: str = ""
    feedback: str = ""
    document: int = 0
    item: int = 0
    waiting_file: str = ""
    login: str = ""
    link: str = ""


@dataclass
class House:
    """The server, and everybody's cookies."""

    server: Server
    cookies: dict[str, str]
    ben: Ben
    attempts: int = 0
    statuses: dict[int, int] = field(default_factory=dict)

    def client(self, who: str) -> httpx.AsyncClient:
        cookies = {COOKIE: self.cookies[who]} if self.cookies[who] else {}
        return httpx.AsyncClient(
            base_url=self.server.url, cookies=cookies, trust_env=False, timeout=60
        )

    def count(self, status: int) -> None:
        self.attempts += 1
        self.statuses[status] = self.statuses.get(status, 0) + 1


@dataclass(frozen=True)
class Attack:
    """A request with an id of Ben's in it."""

    way: str
    make: Callable[[Ben], dict[str, Any]]
    """``url``, and what else the request has."""

    @property
    def method(self) -> str:
        return self.way.partition(" ")[0]


def at(way: str, **parts: Callable[[Ben], Any] | Any) -> Attack:
    """Return an attack on a route; ``path`` fills its braces, the rest is the request's."""

    def make(ben: Ben) -> dict[str, Any]:
        request = {name: part(ben) if callable(part) else part for name, part in parts.items()}
        path = way.partition(" ")[2]
        for name, value in request.pop("path", {}).items():
            path = path.replace("{" + name + "}", str(value))
        return {"url": path, **request}

    return Attack(way, make)


def action(name: str, session: str, payload: Callable[[Ben], dict[str, Any]]) -> Attack:
    def body(ben: Ben) -> dict[str, Any]:
        made = {"id": str(uuid.uuid4()), "name": name, "label": "", "tooltip": ""}
        return {
            "action": made | {"payload": payload(ben), "forId": ben.answer},
            "sessionId": ben.page.session_id if session == "ben" else session,
        }

    return at("POST /project/action", json=body)


def _export(kind: str) -> Callable[[Ben], dict[str, str]]:
    return lambda ben: {"thread": ben.thread, "message": ben.answer, "kind": kind}


ACTIONS = {
    "remove_document": lambda ben: {"document_id": ben.document},
    "share_document": lambda ben: {"document_id": ben.document},
    "cancel_file": lambda ben: {"id": ben.item},
    "retry_file": lambda ben: {"id": ben.item},
    "ask_again": lambda ben: {"question": "What is behind the mill?", "asked": ben.question},
    "regenerate": lambda ben: {"question": "What is behind the mill?", "asked": ben.question},
    "read_aloud": lambda ben: {},
    "share_answer": lambda ben: {"thread": ben.thread, "message": ben.answer},
}
ATTACKS = [
    at("GET /project/thread/{thread_id}", path=lambda b: {"thread_id": b.thread}),
    at("GET /project/share/{thread_id}", path=lambda b: {"thread_id": b.thread}),
    at(
        "GET /project/thread/{thread_id}/element/{element_id}",
        path=lambda b: {"thread_id": b.thread, "element_id": b.element},
    ),
    at("PUT /project/thread", json=lambda b: {"threadId": b.thread, "name": "taken over"}),
    at("PUT /project/thread/share", json=lambda b: {"threadId": b.thread, "isShared": True}),
    at("DELETE /project/thread", json=lambda b: {"threadId": b.thread}),
    at(
        "POST /project/threads",
        json={"pagination": {"first": 50}, "filter": {"userId": "user:ben", "search": MARK}},
    ),
    at(
        "PUT /feedback",
        json=lambda b: {
            "feedback": {"forId": b.answer, "value": 0, "threadId": b.thread},
            "sessionId": b.page.session_id,
        },
    ),
    at(
        "DELETE /feedback",
        json=lambda b: {"feedbackId": b.feedback, "sessionId": b.page.session_id},
    ),
    at(
        "POST /project/file",
        params=lambda b: {"session_id": b.page.session_id},
        files={"file": ("planted.txt", b"planted by somebody else")},
    ),
    at(
        "GET /project/file/{file_id}",
        path=lambda b: {"file_id": b.waiting_file},
        params=lambda b: {"session_id": b.page.session_id},
    ),
    *(action(name, "ben", payload) for name, payload in ACTIONS.items()),
    at("POST /account/end", data=lambda b: {"login": b.login, "token": "0" * 64}),
    at("GET /voice/read/{token}", path={"token": "A" * 22}),
    *(
        at(way, json=lambda b: {"question": "What did I ask you?", "session_id": b.thread})
        for way in ("POST /query", "POST /query/stream")
    ),
    *(
        at(f"GET /export/{{thread}}{one}.{{kind}}", path=_export(kind))
        for one in ("", "/{message}")
        for kind in ("html", "md", "json")
    ),
    at("GET /links"),
    at("POST /links", json=lambda b: {"thread": b.thread, "message": b.answer}),
    at("DELETE /links/{link}", path=lambda b: {"link": b.link}),
    at("GET /library/{document_id}/original", path=lambda b: {"document_id": b.document}),
    at(
        "GET /library/{document_id}/pages/{number}.png",
        path=lambda b: {"document_id": b.document, "number": 1},
    ),
    at("GET /library/{document_id}", path=lambda b: {"document_id": b.document}),
    at("GET /library/{document_id}/text", path=lambda b: {"document_id": b.document}),
    at("DELETE /library/{document_id}", path=lambda b: {"document_id": b.document}),
    at(
        "PATCH /library/{document_id}",
        path=lambda b: {"document_id": b.document},
        json={"tags": ["taken over"]},
    ),
    at(
        "POST /library/{document_id}/move",
        path=lambda b: {"document_id": b.document},
        json={"to": "shared"},
    ),
    at("POST /library/{document_id}/reindex", path=lambda b: {"document_id": b.document}),
    at("PATCH /library", json=lambda b: {"ids": [b.document], "tags": ["taken over"]}),
    at("POST /library/delete", json=lambda b: {"ids": [b.document]}),
    at("GET /library/queue"),
    at("POST /library/queue", files={"file": ("planted.txt", b"planted by somebody else")}),
    at("DELETE /library/queue"),
    at("DELETE /library/queue/{item_id}", path=lambda b: {"item_id": b.item}),
    at("POST /library/queue/{item_id}/retry", path=lambda b: {"item_id": b.item}),
    at("POST /library/pages", json={"address": "https://pages.example/"}),
    at("POST /library/undo", json={"undo": "A" * 22}),
    at("GET /library", params={"q": MARK}),
    at(
        "POST /library/cited",
        json=lambda b: {"source": f"{MARK}.md", "passage": MARK, "start": 0, "end": len(MARK)},
    ),
    # What is the operators' alone.
    *(at(f"GET {path}") for path in ("/status", "/metrics", "/health/circuits", "/health/turns")),
    *(at(f"GET {path}") for path in ("/docs", "/openapi.json")),
    *(at(f"GET /share/{path}") for path in ("state", "events", "code.svg")),
    at("POST /share/start", json={"scope": "upload"}),
    at("POST /share/end", json={}),
    at("POST /accounts/changed"),
    at("POST /accounts/forget", json={"account": "ben"}),
    at("POST /page/measurement"),
    at("DELETE /page/measurement"),
]
OTHERS = ("other", "guest account", "invited guest", "nobody", "forged")
OWN = {
    "GET /library",
    "PATCH /library",
    "GET /library/queue",
    "POST /library/queue",
    "DELETE /library/queue",
    "POST /library/delete",
    "POST /query",
    "POST /query/stream",
    "GET /links",
    "POST /project/threads",
}
"""Answered, to whoever has come in, with what is their own: of Ben's nothing may be in it."""


def test_every_way_that_takes_an_id_is_attacked(ways: dict[str, Any]) -> None:
    routes = {f"{method} {path}" for method, path in ways["routes"]}
    attacked = {attack.way for attack in ATTACKS}
    assert routes - attacked - HARMLESS == set(), "new routes: attack them, or say why not"
    assert attacked - routes == set(), "routes that are gone"
    events = {"connect", "edit_message", "client_message", "message_favorite"}
    assert set(ways["events"]) == events | HARMLESS_EVENTS
    assert set(ways["actions"]) == set(ACTIONS)
    assert set(ways["elements"]) == HARMLESS_ELEMENTS
    assert len(ATTACKS) * len(OTHERS) >= 60


# ── the house ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, need_models) -> Iterator[Server]:
    need_models("embedder")
    server = Server(
        tmp_path_factory.mktemp("people"),
        # No model answers there: passages are quoted, at once.
        {"XOE_VOICE": "false", "XOE_LLM_BASE_URL": f"http://127.0.0.1:{free_port()}/v1"},
    )
    for name, role in ACCOUNTS.items():
        server.add_account(name, PASSWORD, role)
    server.start(wait=False)
    try:
        server.wait_until(lambda health: bool(health.get("ready")))
        yield server
    finally:
        server.stop()


@asynccontextmanager
async def page_of(
    server: Server, cookie: str, *, session: str | None = None, thread: str | None = None
) -> AsyncIterator[PageClient]:
    """A page as its browser has it; raises where it is not let in."""
    socket = socketio.AsyncClient(reconnection=False)
    page = PageClient(socket, server.url, session or str(uuid.uuid4()))
    socket.on("*", page.take)
    auth = {"sessionId": page.session_id, "userEnv": None, "clientType": "webapp"}
    try:
        await socket.connect(
            server.url,
            {"Cookie": f"{COOKIE}={cookie}"} if cookie else {},
            auth=auth | {"chatProfile": None, "threadId": thread},
            socketio_path="/ws/socket.io",
            transports=["websocket"],
            wait_timeout=30,
        )
        await socket.emit("connection_successful")
        yield page
    finally:
        await socket.disconnect()
        if socket.eio.http is not None:  # it keeps this where it was not let in
            await socket.eio.http.close()


async def cookies_of(server: Server) -> dict[str, str]:
    """Log everybody in, beside the running server."""
    auth = await AuthServices.open(Settings(data_dir=server.data_dir))
    try:
        made = {}
        for who, name in (("operator", "ada"), ("ben", "ben"), ("other", "cy")):
            identity = (await auth.users.get(name)).identity()
            made[who] = await auth.sessions.create(identity, ttl_s=3600)
        account = (await auth.users.get("gil")).identity()
        made["guest account"] = await auth.sessions.create(account, ttl_s=3600)
        invited = Identity("guest:0123456789abcdef", "guest", "Guest 1", ends_at=time.time() + 3600)
        made["invited guest"] = await auth.sessions.create(invited, ttl_s=3600)
    finally:
        await auth.aclose()
    cut = made["ben"]
    return {**made, "nobody": "", "forged": cut[:-1] + ("A" if cut[-1] != "A" else "B")}


async def settle(ben: Ben, server: Server) -> None:
    """Have Ben upload, ask, judge; note the ids of all that comes of it."""
    page, cookies = ben.page, {COOKIE: ben.cookie}
    async with httpx.AsyncClient(
        base_url=server.url, cookies=cookies, trust_env=False, timeout=PATIENCE_S
    ) as client:

        async def upload(name: str) -> str:
            answer = await client.post(
                "/project/file",
                params={"session_id": page.session_id},
                files={"file": (name, PLAN.encode())},
            )
            return str(answer.json()["id"])

        ben.question = str(uuid.uuid4())
        message = {"id": ben.question, "name": "user", "type": "user_message"}
        message |= {"output": f"When does the {MARK} meet its keeper?"}
        message |= {"createdAt": "2026-01-01T00:00:00Z"}
        files = [{"id": await upload(f"{MARK}.md")}]
        await page.socket.emit("client_message", {"message": message, "fileReferences": files})
        async with asyncio.timeout(PATIENCE_S):
            while not page.buttons:
                await asyncio.sleep(0.1)
        ben.answer = page.buttons[0]["forId"]
        ben.waiting_file = await upload(f"waiting-{MARK}.md")
        listed = await client.post(
            "/project/threads", json={"pagination": {"first": 5}, "filter": {}}
        )
        ben.thread = listed.json()["data"][0]["id"]
        whole = (await client.get(f"/project/thread/{ben.thread}")).json()
        assert MARK in json.dumps(whole)
        ben.element = next(one["id"] for one in whole["elements"] if one.get("forId") == ben.answer)
        judged = {"forId": ben.answer, "value": 1, "threadId": ben.thread, "comment": MARK}
        told = {"feedback": judged, "sessionId": page.session_id}
        ben.feedback = (await client.put("/feedback", json=told)).json()["feedbackId"]
        made = await client.post("/links", json={"thread": ben.thread})
        ben.link = made.json()["id"]
        [item] = (await client.get("/library/queue")).json()["items"]
        ben.item = item["id"]
    auth = await AuthServices.open(Settings(data_dir=server.data_dir))
    login, *_ = await auth.sessions.of("user:ben")
    ben.login = login.id
    await auth.aclose()
    ben.document = await document_id(ben, server)


async def document_id(ben: Ben, server: Server) -> int:
    """Ask for the library's list, and return the id of Ben's one document; 0 where it is gone."""

    def lists() -> list[dict[str, Any]]:
        elements = (data for event, data in ben.page.events if event == "element")
        return [data for data in elements if data["name"] == "Library"]

    known = len(lists())
    await ben.page.type("/library")
    async with asyncio.timeout(60):
        while len(lists()) == known:
            await asyncio.sleep(0.05)
    element = lists()[-1]
    documents = element["props"]["documents"]
    documents = json.loads(documents) if isinstance(documents, str) else documents
    return next((one["id"] for one in documents if one["own"]), 0)


@asynccontextmanager
async def house(server: Server) -> AsyncIterator[House]:
    cookies = await cookies_of(server)
    async with page_of(server, cookies["ben"]) as page:
        ben = Ben(cookies["ben"], page)
        await settle(ben, server)
        yield House(server, cookies, ben)


async def state_of(house: House) -> dict[str, Any]:
    """What Ben has, as he sees it."""
    async with house.client("ben") as client:
        thread = (await client.get(f"/project/thread/{house.ben.thread}")).json()
        listed = await client.post(
            "/project/threads", json={"pagination": {"first": 5}, "filter": {}}
        )
        waiting = await client.get(
            f"/project/file/{house.ben.waiting_file}",
            params={"session_id": house.ben.page.session_id},
        )
        links = (await client.get("/links")).json()
    return {
        "links": links,
        "thread": thread,
        "names": [one["name"] for one in listed.json()["data"]],
        "waiting": waiting.text,
        "document": await document_id(house.ben, house.server),
        "connected": house.ben.page.socket.connected,
    }


# ── the attempts ─────────────────────────────────────────────────────────────────────────────


async def test_nobody_reaches_what_is_bens(server: Server) -> None:
    async with house(server) as auth:
        before = await state_of(auth)
        assert before["document"]
        succeeded = []
        for who in OTHERS:
            async with auth.client(who) as client:
                for attack in ATTACKS:
                    succeeded += await attempt(auth, client, who, attack)
        for who in OTHERS:
            succeeded += await over_the_socket(auth, who)
        assert not succeeded, "\n".join(succeeded)
        assert await state_of(auth) == before
        print(f"\n{auth.attempts} attempts, 0 succeeded; answered: {auth.statuses}")
        assert auth.attempts >= 60


async def attempt(house: House, client: httpx.AsyncClient, who: str, attack: Attack) -> list[str]:
    answer = await client.request(attack.method, **attack.make(house.ben))
    house.count(answer.status_code)
    is_own = attack.way in OWN and who not in ("nobody", "forged")
    if MARK in answer.text:
        return [f"{who} reads by {attack.way}: {answer.text[:200]}"]
    if answer.status_code < 400 and not is_own:
        return [f"{who}: {attack.way} is answered with {answer.status_code}: {answer.text[:200]}"]
    return []


async def over_the_socket(house: House, who: str) -> list[str]:
    """Take Ben's page over, open his chat, change his question, send his file, from a socket."""
    ben, cookie, found = house.ben, house.cookies[who], []
    for session, thread in ((ben.page.session_id, None), (None, ben.thread)):
        house.count(0)
        try:
            async with page_of(house.server, cookie, session=session, thread=thread) as page:
                if session is not None:
                    found.append(f"{who} has Ben's page")
                if who in ("nobody", "forged"):
                    found.append(f"{who} has a page")
                found += await as_a_page(house, page, who)
        except socketio.exceptions.ConnectionError:
            continue
    return found


async def as_a_page(house: House, page: PageClient, who: str) -> list[str]:
    ben = house.ben
    await asyncio.sleep(0.5)
    question = {"id": ben.question, "output": "taken over", "threadId": ben.thread}
    question |= {"name": "user", "type": "user_message", "createdAt": "2026-01-01T00:00:00Z"}
    await page.socket.emit("edit_message", {"message": question})
    await page.socket.emit("message_favorite", {"message": question})
    files = [{"id": ben.waiting_file}]
    again = question | {"id": str(uuid.uuid4()), "output": "/library"}
    await page.socket.emit("client_message", {"message": again, "fileReferences": files})
    async with house.client(who) as client:
        for name, payload in ACTIONS.items():
            attack = action(name, page.session_id, payload)
            answer = await client.request(attack.method, **attack.make(ben))
            house.count(answer.status_code)
            if name in ("remove_document", "share_document") and answer.json().get("response"):
                return [f"{who} does {name} with Ben's document"]
    for _ in range(3):
        house.count(0)
    await asyncio.sleep(1)
    told = json.dumps(page.events, default=str)
    return [f"{who} is told {told[:300]}"] if MARK in told else []


async def test_a_login_that_is_ended_loses_its_page_and_its_cookie(server: Server) -> None:
    cookies = await cookies_of(server)
    async with page_of(server, cookies["other"]) as page:
        done = await asyncio.to_thread(
            xoe, "user", "logout", "cy", "--data-dir", str(server.data_dir), cwd=server.home
        )
        assert done.returncode == 0, done.stderr
        async with asyncio.timeout(30):
            while page.socket.connected:
                await asyncio.sleep(0.05)
        refused = httpx.get(
            f"{server.url}/user", cookies={COOKIE: cookies["other"]}, trust_env=False
        )
        assert refused.status_code == 401
        with pytest.raises(socketio.exceptions.ConnectionError):
            async with page_of(server, cookies["other"]):
                pass


# ── a thousand logins a minute ───────────────────────────────────────────────────────────────

ATTEMPTS = 1000


async def test_a_thousand_attempts_are_slowed_and_the_rightful_user_comes_in(
    server: Server,
) -> None:
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    memory_before = process.memory_info().rss
    waits: list[float] = []
    statuses: dict[int, int] = {}
    began = time.perf_counter()
    # A connection for each: one that is kept may be closed by the server just as it is used again.
    fresh = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(
        base_url=server.url, trust_env=False, timeout=60, limits=fresh
    ) as attacker:
        form = await login_form(attacker)
        slots = asyncio.Semaphore(20)

        async def guess(number: int) -> None:
            async with slots:
                data = form | {"name": "ben", "password": f"guess number {number}"}
                answer = await attacker.post("/login", data=data, headers=PAGE)
                statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
                if answer.status_code == 429:
                    assert int(answer.headers["retry-after"]) >= 1
                    assert "Please try again in" in answer.text

        async def watch() -> None:
            async with httpx.AsyncClient(
                base_url=server.url, trust_env=False, timeout=60, limits=fresh
            ) as other:
                while True:
                    asked = time.perf_counter()
                    await other.get("/health")
                    waits.append(time.perf_counter() - asked)
                    await asyncio.sleep(0.1)

        watching = asyncio.create_task(watch())
        await asyncio.gather(*(guess(number) for number in range(ATTEMPTS)))
        watching.cancel()
    took_s = time.perf_counter() - began
    assert statuses[429] >= ATTEMPTS - 15
    assert set(statuses) == {401, 429}
    transport = httpx.AsyncHTTPTransport(local_address="127.0.0.2")
    async with httpx.AsyncClient(
        base_url=server.url, trust_env=False, timeout=60, transport=transport
    ) as rightful:
        asked = time.perf_counter()
        data = await login_form(rightful) | {"name": "ben", "password": PASSWORD}
        came_in = await rightful.post("/login", data=data, headers=PAGE)
        login_s = time.perf_counter() - asked
        assert came_in.status_code == 303
        assert (await rightful.get("/user")).json()["identifier"] == "user:ben"
    grown = process.memory_info().rss - memory_before
    waits.sort()
    print(
        f"\n{ATTEMPTS} attempts in {took_s:.1f} s: {statuses}; meanwhile /health took "
        f"{waits[len(waits) // 2] * 1000:.0f} ms (median), {waits[-1] * 1000:.0f} ms (longest); "
        f"memory +{grown / 2**20:.1f} MiB; ben from another address: {login_s * 1000:.0f} ms"
    )


PAGE = {"accept": "text/html,*/*"}


async def login_form(client: httpx.AsyncClient) -> dict[str, str]:
    page = (await client.get("/login", headers=PAGE)).text
    return {
        name: page.partition(f'name="{name}" value="')[2].partition('"')[0]
        for name in ("token", "next")
    }


def test_a_running_server_is_told_by_the_console(server: Server) -> None:
    """An account's data are deleted by the server that has them open."""
    found = running.find(server.data_dir)
    assert found is not None
    with found.client(10) as client:
        assert client.get("/health").json()["components"] != []
        there = client.post("/accounts/forget", json={"account": "ben"})
        assert there.status_code == 409
    plain = httpx.get(f"{server.url}/health", trust_env=False).json()
    assert (plain["ready"], plain["components"], plain["version"]) == (True, [], "")
    removed = xoe(
        *("user", "remove", "ben", "--delete-data", "--data-dir", str(server.data_dir)),
        cwd=server.home,
    )
    assert removed.returncode == 0, removed.stderr
    assert "1 chat and 1 document deleted" in removed.stderr.replace("\n", " ")
    again = xoe("user", "forget", "ben", "--data-dir", str(server.data_dir), cwd=server.home)
    assert "0 chats and 0 documents" in again.stderr
