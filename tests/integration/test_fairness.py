"""One account's flood delays another by one answer, and is refused by itself: a real server."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from page_client import PageClient, open_page
from servers import Server

from core.settings import Settings
from xoe.auth.identity import COOKIE
from xoe.auth.services import AuthServices

pytestmark = pytest.mark.integration

PATIENCE_S = 300
"""A net for what would otherwise hang; nothing is measured against it."""
OF_OWNER = Settings().llm_queue_limit // 8
PASSWORD = "kettle orbit lantern"
SHED = "# The shed\n\nThe key of the shed hangs behind the green door.\n"
STORY = "Tell a long story of {} sheep, and count each of them."
ASKED = "Where does the key of the shed hang?"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, need_models) -> Iterator[Server]:
    need_models("tiny", "embedder")
    environment = {"XOE_LLM_PROFILE": "tiny", "XOE_VOICE": "false"}
    server = Server(tmp_path_factory.mktemp("fairness"), environment)
    (server.library / "shed.md").write_text(SHED)
    server.add_account("op", PASSWORD, "operator")
    for name in ("ada", "ben"):
        server.add_account(name, PASSWORD, "user")
    with server.running():
        yield server


@asynccontextmanager
async def auth_of(server: Server) -> AsyncIterator[AuthServices]:
    auth = await AuthServices.open(Settings(data_dir=server.data_dir))
    try:
        yield auth
    finally:
        await auth.aclose()


async def login_of(server: Server, name: str) -> str:
    async with auth_of(server) as auth:
        identity = (await auth.users.get(name)).identity()
        return await auth.sessions.create(identity, ttl_s=3600)


async def guests_of(server: Server, count: int) -> list[str]:
    """The logins of all the guests of one invitation."""
    async with auth_of(server) as auth:
        invitation = await auth.invitations.create(
            "ask", ttl_s=3600, max_guests=count, made_by="user:op"
        )
        guests = [await auth.invitations.redeem(invitation.token) for _ in range(count)]
        return [await auth.sessions.create(guest, ttl_s=3600) for guest in guests]


@dataclass
class Flood:
    """Many questions at once, with long answers, and what has become of them."""

    server: Server
    login: str
    answered: int = 0
    refused: list[httpx.Response] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def begin(self, count: int, *, tokens: int, session: str | None = None) -> None:
        self.tasks += [asyncio.create_task(self._ask(n, tokens, session)) for n in range(count)]

    async def _ask(self, number: int, tokens: int, session: str | None) -> None:
        body: dict[str, Any] = {
            "question": STORY.format(number),
            "use_library": False,
            "max_tokens": tokens,
        }
        if session is not None:
            body["session_id"] = session
        async with client_of(self.server, self.login) as client:
            response = await client.post("/query", json=body)
        if response.status_code == 200:
            self.answered += 1
        else:
            self.refused.append(response)

    @property
    def under_way(self) -> int:
        return sum(not task.done() for task in self.tasks)

    async def end(self) -> None:
        """Go away, as a program that is stopped does."""
        for task in self.tasks:
            task.cancel()
        for ended in await asyncio.gather(*self.tasks, return_exceptions=True):
            assert ended is None or isinstance(ended, asyncio.CancelledError)


@asynccontextmanager
async def flooding(server: Server, login: str, count: int, **options: Any) -> AsyncIterator[Flood]:
    """A flood, once all that find no room have been refused."""
    flood = Flood(server, login)
    flood.begin(count, **options)
    try:
        await until(lambda: len(flood.refused) + flood.answered >= count - OF_OWNER)
        yield flood
    finally:
        await flood.end()


def client_of(server: Server, login: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=server.url, cookies={COOKIE: login}, trust_env=False, timeout=PATIENCE_S
    )


async def is_let_in(server: Server, login: str, **options: Any) -> bool:
    """Whether a question is taken; its answer is not waited for."""
    body = {"question": ASKED, **options}
    async with (
        client_of(server, login) as client,
        client.stream("POST", "/query/stream", json=body) as response,
    ):
        return response.status_code == 200


async def until(so: Any) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not so():
            await asyncio.sleep(0.01)


async def waiting(server: Server, operator: str) -> int:
    """How many questions wait for the model, as the operator's metrics tell."""
    async with client_of(server, operator) as client:
        told = await client.get("/metrics")
    if told.status_code == 503:  # it is still being loaded
        return 0
    depth = re.search(r'^xoe_queue_depth{queue="llm"} (.+)$', told.text, re.MULTILINE)
    assert depth is not None, (told.status_code, told.text[:500])
    return round(float(depth[1]))


def tokens_seen(page: PageClient) -> bool:
    return any(event in ("stream_start", "stream_token") for event, _ in page.events)


def places_told(page: PageClient) -> list[str]:
    told = [json.dumps(data) for event, data in page.events if "message" in event]
    return [one for one in told if "in the queue" in one]


async def test_a_person_waits_for_one_answer_of_anothers_flood_at_most(server: Server) -> None:
    """Long: it waits for two answers of 250 tokens, as any less would not tell turns apart."""
    ada, ben = await login_of(server, "ada"), await login_of(server, "ben")
    async with (
        flooding(server, ada, 200, tokens=250) as flood,
        open_page(server.url, login=ben) as page,
    ):
        before = flood.answered
        await until(lambda: flood.answered > before)  # the next of ada's has just begun
        asked_at = flood.answered
        await page.type(ASKED)
        await until(lambda: tokens_seen(page) or bool(page.buttons))
        assert flood.answered <= asked_at + 1
        assert flood.under_way > 0, "ada still has questions that wait"
        await until(lambda: bool(page.buttons))
        assert places_told(page) == [], "nobody stood before ben"
        assert "green door" in page.answers[-1]


async def test_a_flood_is_refused_with_a_sentence_and_when_to_come_back(server: Server) -> None:
    ada, ben = await login_of(server, "ada"), await login_of(server, "ben")
    async with flooding(server, ada, 60, tokens=2048, session="my-notebook") as flood:
        assert flood.under_way <= OF_OWNER
        for response in flood.refused:
            assert response.status_code == 429, response.text
            assert 1 <= int(response.headers["Retry-After"]) <= 300
            assert response.json()["detail"].endswith(".")
        assert any("You have 16 questions under way" in r.text for r in flood.refused)
        assert await is_let_in(server, ben, session_id="my-notebook")


@pytest.mark.parametrize("route", ["/query", "/query/stream"])
async def test_who_goes_away_leaves_nothing_behind(server: Server, route: str) -> None:
    ada, operator = await login_of(server, "ada"), await login_of(server, "op")

    async def ask(client: httpx.AsyncClient, number: int, tokens: int) -> int:
        body = {"question": STORY.format(number), "use_library": False, "max_tokens": tokens}
        return (await client.post(route, json=body)).status_code

    async def keep_asking(client: httpx.AsyncClient, number: int) -> None:
        while True:
            await ask(client, number, 2048)
            await asyncio.sleep(0.05)

    async with client_of(server, ada) as client:
        asked = [asyncio.create_task(keep_asking(client, n)) for n in range(OF_OWNER)]
        async with asyncio.timeout(PATIENCE_S):
            while await waiting(server, operator) < OF_OWNER - 1:
                await asyncio.sleep(0.05)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    # All of them would take minutes to answer; what is asked now waits for none.
    async with asyncio.timeout(60), client_of(server, ada) as client:
        while await waiting(server, operator) > 0:
            await asyncio.sleep(0.05)
        while await ask(client, 0, 16) == 429:
            await asyncio.sleep(0.05)


async def test_all_guests_of_one_invitation_together_have_one_owners_share(server: Server) -> None:
    ben, guests = await login_of(server, "ben"), await guests_of(server, 6)
    floods = [Flood(server, guest) for guest in guests]
    for flood in floods:
        flood.begin(6, tokens=2048)
    try:
        await until(lambda: sum(len(flood.refused) for flood in floods) >= 36 - OF_OWNER)
        assert all(flood.under_way <= OF_OWNER // 4 for flood in floods)
        assert sum(flood.under_way > 0 for flood in floods) >= 3, "none uses up what all have"
        refused = [response for flood in floods for response in flood.refused]
        assert {response.status_code for response in refused} == {429}
        assert await is_let_in(server, ben)
    finally:
        for flood in floods:
            await flood.end()
