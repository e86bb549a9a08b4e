"""What one account's flood costs another, and how ten that flood share what there is."""

from __future__ import annotations

import asyncio
import multiprocessing
import re
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from multiprocessing.queues import Queue
from statistics import median
from typing import Any, Final

import httpx

from bench.rows import BenchRow
from bench.scratch import scratch_folder
from bench.startup import served
from core.settings import Settings, site_root
from xoe.auth.identity import COOKIE, Role
from xoe.auth.services import AuthServices

WAIT_S = 300.0
FLOODS: Final = (200, 2000)
OWNERS: Final = 10
QUESTIONS: Final = (
    "Which file types can I add?",
    "How do I remove a document?",
    "How do I make a call?",
    "How do I share the assistant with a guest?",
    "How do I export a chat?",
    "What happens when the model fails?",
    "Where are my documents kept?",
    "How do I make a backup?",
    "How do I change the language model?",
    "Which keys does the page know?",
    "How do I interrupt an answer that is spoken?",
    "How large may a file be?",
    "How do I search my chats?",
    "How do I add an account?",
    "What is cited under an answer?",
    "How do I use it in the local network?",
    "What do the settings change?",
    "What happens to my chats when I close the page?",
)
PERSON: Final = "127.0.0.2"
"""Who floods comes from other addresses, one for each, whose connections are counted apart."""
SHARED_S: Final = 30.0
"""How long ten accounts flood a route."""
SETTLES_S: Final = 5.0
LONG: Final = {"use_library": False, "max_tokens": 256}
_PLACE: Final = re.compile(r"\*Place (\d+) in the queue")
PASSWORD: Final = "kettle orbit lantern"  # noqa: S105 - of accounts that live for minutes


async def run(settings: Settings) -> list[BenchRow]:
    """Return the rows of the fairness suite: each a flood against no flood in the same run."""
    rows: list[BenchRow] = []
    async with _served(settings, {}) as (url, logins, operator):
        rows += await _person(url, logins, operator)
    async with _served(settings, {"XOE_LLM_PROFILE": "tiny"}) as (url, logins, _):
        for name, route in ROUTES.items():
            rows += await _shares(url, logins, name, route)
    return rows


# ── a person beside a flood ──────────────────────────────────────────────────────────────────


async def _person(url: str, logins: Sequence[str], operator: str) -> list[BenchRow]:
    person, flooder = logins[0], logins[1]
    # Other questions each time, as what was read once is read no more.
    sets = [QUESTIONS[n :: 1 + len(FLOODS)] for n in range(1 + len(FLOODS))]
    await _first_tokens(url, person, operator, QUESTIONS[:1])  # what is loaded at the first
    alone, _, _ = await _first_tokens(url, person, operator, sets[0])
    rows = [BenchRow("fair_first_token_alone", alone, "ms")]
    for count, questions in zip(FLOODS, sets[1:], strict=True):
        with _flood(url, [(flooder, count)], "query_long") as told:
            await asyncio.to_thread(told.get)  # the first has been refused: it is in full flood
            whole, own, place = await _first_tokens(url, person, operator, questions)
        name = f"fair_first_token_beside_{count}"
        rows += [
            BenchRow.against(name, whole, "ms", alone),
            BenchRow.against(f"{name}_once_taken_up", own, "ms", alone),
            BenchRow(f"fair_place_beside_{count}", place, "places"),
        ]
    return rows


async def _first_tokens(
    url: str, login: str, operator: str, questions: Sequence[str]
) -> tuple[float, float, float]:
    """Return medians: ms to the first words, without the wait for the model; the worst place."""
    whole, own, worst = [], [], 0
    for question in questions:
        before = await _queued_ms(url, operator)
        ms, place = await _asked(url, login, question)
        waited = await _queued_ms(url, operator) - before
        worst = max(worst, place)
        if ms is not None:
            whole.append(ms)
            own.append(ms - waited)
    return median(whole), median(own), worst


async def _asked(url: str, login: str, question: str) -> tuple[float | None, int]:
    """Ask in a new page; return the ms to the first words, and the worst place that was told.

    ``None`` where the answer was settled without the model.
    """
    import aiohttp
    import socketio  # type: ignore[import-untyped]

    connector = aiohttp.TCPConnector(local_addr=(PERSON, 0))
    session = aiohttp.ClientSession(connector=connector)
    page = socketio.AsyncClient(reconnection=False, http_session=session)
    over = asyncio.Event()
    place, first_at = 0, 0.0

    def take(event: str, data: Any = None) -> None:
        nonlocal place, first_at
        if event == "stream_start":
            first_at = first_at or time.perf_counter()
        elif event == "action":
            over.set()
        elif event.endswith("_message") and (told := _PLACE.match(str(data.get("output")))):
            place = max(place, int(told[1]))

    page.on("*", take)
    await page.connect(
        url,
        {"Cookie": f"{COOKIE}={login}"},
        auth={
            "sessionId": str(uuid.uuid4()),
            "userEnv": None,
            "clientType": "webapp",
            "chatProfile": None,
            "threadId": None,
        },
        socketio_path="/ws/socket.io",
        transports=["websocket"],
        wait_timeout=60,
    )
    try:
        await page.emit("connection_successful")
        await asyncio.sleep(1)  # it is greeted; a person types for longer
        message = {
            "id": str(uuid.uuid4()),
            "name": "user",
            "type": "user_message",
            "output": question,
            "createdAt": datetime.now(UTC).isoformat(),
        }
        begun = time.perf_counter()
        await page.emit("client_message", {"message": message, "fileReferences": []})
        await asyncio.wait_for(over.wait(), WAIT_S)
    finally:
        await page.disconnect()
        await session.close()
    return (first_at - begun) * 1000 if first_at else None, place


async def _queued_ms(url: str, operator: str) -> float:
    """Return how long typed questions have waited for the model so far, by the metrics."""
    async with _client(url, operator) as client:
        told = (await client.get("/metrics")).text
    name = "xoe_turn_stage_seconds_sum{"
    return sum(
        float(line.rpartition(" ")[2]) * 1000
        for line in told.splitlines()
        if line.startswith(name) and 'kind="typed"' in line and 'stage="queue"' in line
    )


# ── ten that flood ───────────────────────────────────────────────────────────────────────────


async def _shares(url: str, logins: Sequence[str], name: str, route: str) -> list[BenchRow]:
    """Ten accounts ask all the time, the last with ten times as many programs as the first."""
    floods = [(login, 16 * (n + 1)) for n, login in enumerate(logins[1 : OWNERS + 1])]
    served: Counter[str] = Counter()
    others: Counter[int] = Counter()
    await asyncio.sleep(SETTLES_S)  # the connections of the flood before are gone by then
    with _flood(url, floods, route) as told:
        await asyncio.sleep(SETTLES_S)
        while not told.empty():  # until all ten are there, the first have it to themselves
            told.get()
        until = time.monotonic() + SHARED_S
        while time.monotonic() < until:
            others[await _other(url, logins[0], name)] += 1
            await asyncio.sleep(0.5)
        while not told.empty():
            served[told.get()] += 1
    counts = [served[login] for login, _ in floods]
    equal = sum(counts) / len(counts)
    apart = max(abs(count - equal) for count in counts) / equal * 100 if equal else 100.0
    refused = sum(count for status, count in others.items() if status != 200)
    return [
        BenchRow(f"fair_shares_{name}_served", float(sum(counts)), "requests"),
        BenchRow(f"fair_shares_{name}_furthest_from_equal", apart, "%"),
        BenchRow.against(f"fair_shares_{name}_another_refused", refused, "", others.total()),
    ]


async def _other(url: str, login: str, name: str) -> int:
    """Ask the same once, as an account that does not flood; its answer need not be awaited."""
    method, path, body = REQUESTS[ROUTES[name]]
    async with _client(url, login) as client:
        if not path.startswith("/query"):
            return (await client.request(method, path, json=body)).status_code
        async with client.stream(method, "/query/stream", json=body) as response:
            return response.status_code


REQUESTS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "query_long": ("POST", "/query", LONG | {"question": "Tell a long story of a sheep."}),
    "query_short": ("POST", "/query", LONG | {"question": "Say yes.", "max_tokens": 16}),
    "query_stream": ("POST", "/query/stream", LONG | {"question": "Say no.", "max_tokens": 16}),
    "query_search": ("POST", "/query", {"question": "How tall is the tallest giraffe of Chad?"}),
    "threads": (
        "POST",
        "/project/threads",
        {"pagination": {"first": 50}, "filter": {"search": "sheep"}},
    ),
}
ROUTES: Final = {
    "answers": "query_short",
    "streams": "query_stream",
    "document_searches": "query_search",
    "chat_searches": "threads",
}
"""What a row is called, and what is asked."""


# ── the flood, in a process of its own ───────────────────────────────────────────────────────


class _flood:  # noqa: N801 - used as a function
    """Floods while the body runs; the queue tells whose request was served, or refused first."""

    def __init__(self, url: str, floods: Sequence[tuple[str, int]], route: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._told: Queue[str] = context.Queue()
        self._process = context.Process(
            target=_run_flood, args=(url, list(floods), route, self._told), daemon=True
        )

    def __enter__(self) -> Queue[str]:
        self._process.start()
        return self._told

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()


def _run_flood(url: str, floods: Sequence[tuple[str, int]], route: str, told: Queue[str]) -> None:
    asyncio.run(_all_of_them(url, floods, route, told))


async def _all_of_them(
    url: str, floods: Sequence[tuple[str, int]], route: str, told: Queue[str]
) -> None:
    limits = httpx.Limits(max_connections=None)
    async with asyncio.TaskGroup() as group:
        for number, (login, count) in enumerate(floods, 3):
            client = httpx.AsyncClient(
                base_url=url,
                cookies={COOKIE: login},
                timeout=None,  # noqa: S113 - it is killed
                transport=httpx.AsyncHTTPTransport(
                    local_address=f"127.0.0.{number}", limits=limits
                ),
            )
            for _ in range(count):
                group.create_task(_ask_for_ever(client, login, route, told))


async def _ask_for_ever(
    client: httpx.AsyncClient, login: str, route: str, told: Queue[str]
) -> None:
    """Ask again as soon as it is answered, or may be by what the refusal says."""
    method, path, body = REQUESTS[route]
    while True:
        try:
            response = await client.request(method, path, json=body)
        except httpx.HTTPError:  # more connections than one address may have
            await asyncio.sleep(1)
            continue
        is_served = response.status_code == 200
        if route == "query_stream":  # what cannot be answered is told in the stream
            is_served = is_served and "event: done" in response.text
        if is_served or route == "query_long":
            told.put(login)
        await asyncio.sleep(float(response.headers.get("Retry-After", 0)))


# ── the server ───────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def _served(
    settings: Settings, environment: dict[str, str]
) -> AsyncIterator[tuple[str, list[str], str]]:
    """Yield the address of a server, the logins of its users and its operator's."""
    with scratch_folder() as folder:
        logins = await _accounts(settings.model_copy(update={"data_dir": folder / "data"}))
        with served(folder, settings, site_root() / "library", **environment) as (url, _):
            yield url, logins[1:], logins[0]


async def _accounts(settings: Settings) -> list[str]:
    """Make an operator and the users, and return the cookie of each."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    auth = await AuthServices.open(settings)
    try:
        logins = []
        for number in range(OWNERS + 2):
            role: Role = "user" if number else "operator"
            account = await auth.users.add(f"somebody{number}", PASSWORD, role=role)
            logins.append(await auth.sessions.create(account.identity(), ttl_s=24 * 3600))
        return logins
    finally:
        await auth.aclose()


def _client(url: str, login: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url,
        cookies={COOKIE: login},
        timeout=WAIT_S,
        transport=httpx.AsyncHTTPTransport(local_address=PERSON),
    )
