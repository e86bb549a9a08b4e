"""500 chats of 50 messages: the sidebar's list, a search over all of them, one opened again.

The baseline is Chainlit's own data layer on SQLite with the same chats. Each is measured in the
process, and ours over HTTP and the page's socket through a real server too.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
from sqlalchemy import insert

from bench.rows import BenchRow
from bench.scratch import scratch_folder
from bench.startup import served
from core.settings import Settings
from xoe.chats.store import Threads
from xoe.chats.text import citations_json, element_id
from xoe.chats.types import StoredCitation
from xoe.db import Database, tables

THREADS = 500
TURNS = 25
ROUNDS = 40
PAGE = 35
"""As many chats as Chainlit's page asks for at a time."""
VISITOR = "0" * 31 + "1"
OWNER = f"visitor:{VISITOR}"
_SCHEMA = """
CREATE TABLE users (id TEXT PRIMARY KEY, identifier TEXT, metadata TEXT, "createdAt" TEXT);
CREATE TABLE threads (id TEXT PRIMARY KEY, "createdAt" TEXT, name TEXT, "userId" TEXT,
  "userIdentifier" TEXT, tags TEXT, metadata TEXT);
CREATE TABLE steps (id TEXT PRIMARY KEY, name TEXT, type TEXT, "threadId" TEXT, "parentId" TEXT,
  streaming INT, "waitForAnswer" INT, "isError" INT, metadata TEXT, tags TEXT, input TEXT,
  output TEXT, "createdAt" TEXT, command TEXT, start TEXT, "end" TEXT, generation TEXT,
  "showInput" TEXT, language TEXT, indent INT, "defaultOpen" INT, "autoCollapse" INT, modes TEXT,
  icon TEXT);
CREATE TABLE elements (id TEXT PRIMARY KEY, "threadId" TEXT, type TEXT, url TEXT,
  "chainlitKey" TEXT, name TEXT, display TEXT, "objectKey" TEXT, size TEXT, page INT,
  language TEXT, "forId" TEXT, mime TEXT, props TEXT, "autoPlay" INT, "playerConfig" TEXT);
CREATE TABLE feedbacks (id TEXT PRIMARY KEY, "forId" TEXT, "threadId" TEXT, value INT,
  comment TEXT);
CREATE INDEX steps_thread ON steps("threadId");
CREATE INDEX elements_thread ON elements("threadId");
"""
"""Chainlit's tables as its documentation gives them, with two indexes more."""


async def run(settings: Settings) -> list[BenchRow]:
    """Return the rows of the suite, in milliseconds."""
    with scratch_folder() as folder:
        chats = _chats()
        searches = [chats[7 * n % THREADS][2][0][0].split()[2] for n in range(ROUNDS)]
        opened = [chats[11 * n % THREADS][0] for n in range(ROUNDS)]
        ours = await _ours(settings, folder / "data", chats, searches, opened)
        theirs = await _chainlits(folder, chats, searches, opened)
        served = await _served(folder, settings, searches, opened)
    rows: list[BenchRow] = []
    for name in ("sidebar", "search", "resume"):
        for share, figure in (("p50", median), ("p95", _p95)):
            rows.append(
                BenchRow.against(
                    f"threads_{name}_{share}", figure(ours[name]), "ms", figure(theirs[name])
                )
            )
            rows.append(
                BenchRow.against(
                    f"threads_{name}_http_{share}", figure(served[name]), "ms", figure(theirs[name])
                )
            )
    return rows


Chat = tuple[str, str, list[tuple[str, str]]]
"""Id, name, and turns."""


def _chats() -> list[Chat]:
    chance = random.Random(5)
    letters = "abcdefghijklmnoprstuvwz"
    vocabulary = ["".join(chance.choices(letters, k=chance.randint(3, 10))) for _ in range(20_000)]
    weights = [1 / rank for rank in range(1, len(vocabulary) + 1)]

    def said(count: int) -> str:
        return " ".join(chance.choices(vocabulary, weights, k=count))

    return [
        (
            str(uuid.UUID(int=chance.getrandbits(128), version=4)),
            f"Chat {number} about {said(3)}",
            [
                (f"question {number}x{turn} w{number}z{turn} {said(8)}", said(60))
                for turn in range(TURNS)
            ],
        )
        for number in range(THREADS)
    ]


def _citations(text: str) -> tuple[StoredCitation, ...]:
    return tuple(
        StoredCitation(n, "handbook.pdf", n, text[:80], text, 0, 80, "Handbook") for n in (1, 2)
    )


# ── ours ─────────────────────────────────────────────────────────────────────────────────────


async def _ours(
    settings: Settings,
    data_dir: Path,
    chats: list[Chat],
    searches: list[str],
    opened: list[str],
) -> dict[str, list[float]]:
    db = await Database.open(settings.model_copy(update={"data_dir": data_dir}))
    try:
        async with db.write() as connection:
            for number, (thread_id, name, turns) in enumerate(chats, start=1):
                values = {"number": number, "owner": OWNER, "id": thread_id, "name": name}
                await connection.execute(
                    insert(tables.threads).values(**values, created_at=number, used_at=number)
                )
                await _insert_turns(connection, number, thread_id, turns)
        threads = Threads(db)
        return {
            "sidebar": await _times(lambda _: threads.page(OWNER, limit=PAGE)),
            "search": await _times(
                lambda n: _found(threads.page(OWNER, limit=PAGE, search=searches[n]))
            ),
            "resume": await _times(lambda n: threads.get(OWNER, opened[n], last=200)),
        }
    finally:
        await db.aclose()


async def _insert_turns(
    connection: Any, number: int, thread_id: str, turns: list[tuple[str, str]]
) -> None:
    rows, shown = [], []
    for turn, (question, answer) in enumerate(turns):
        first = (number - 1) * TURNS * 2 + turn * 2 + 1
        common = {"thread": number, "turn": float(turn), "remembered": True, "at": float(turn)}
        asked, told = f"{thread_id}-q{turn}", f"{thread_id}-a{turn}"
        rows.append({**common, "number": first, "id": asked, "role": "user", "text": question})
        rows.append(
            {**common, "number": first + 1, "id": told, "role": "assistant", "text": answer}
        )
        content = citations_json(_citations(answer))
        element = {"message": first + 1, "kind": "citations", "id": element_id(told, "citations")}
        shown.append({**element, "content": content})
    await connection.execute(insert(tables.messages), rows)
    await connection.execute(insert(tables.elements), shown)


# ── Chainlit's own ───────────────────────────────────────────────────────────────────────────


async def _chainlits(
    folder: Path, chats: list[Chat], searches: list[str], opened: list[str]
) -> dict[str, list[float]]:
    from chainlit.data.sql_alchemy import SQLAlchemyDataLayer
    from chainlit.types import Pagination, ThreadFilter

    path = folder / "chainlit.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(_SCHEMA)
        connection.execute("INSERT INTO users VALUES (?, ?, '{}', '')", (OWNER, OWNER))
        for number, chat in enumerate(chats):
            _insert_chainlits(connection, number, chat)
    layer = SQLAlchemyDataLayer(f"sqlite+aiosqlite:///{path}")

    def listed(search: str | None = None) -> Awaitable[Any]:
        filters = ThreadFilter(userId=OWNER, search=search)
        return layer.list_threads(Pagination(first=PAGE), filters)

    try:
        return {
            "sidebar": await _times(lambda _: listed(), rounds=6),
            "search": await _times(lambda n: listed(searches[n]), rounds=6),
            "resume": await _times(lambda n: layer.get_thread(opened[n])),
        }
    finally:
        await layer.close()


def _insert_chainlits(connection: sqlite3.Connection, number: int, chat: Chat) -> None:
    thread_id, name, turns = chat
    at = f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z"
    connection.execute(
        "INSERT INTO threads VALUES (?, ?, ?, ?, ?, NULL, '{}')",
        (thread_id, at, name, OWNER, OWNER),
    )
    for turn, (question, answer) in enumerate(turns):
        for kind, text in (("user_message", question), ("assistant_message", answer)):
            step = f"{thread_id}-{kind}{turn}"
            values = (step, kind, kind, thread_id, text, at, at, at)
            connection.execute(
                'INSERT INTO steps (id, name, type, "threadId", output, "createdAt", start, "end") '
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )
        card = (str(uuid.uuid4()), thread_id, step, citations_json(_citations(answer)))
        connection.execute(
            'INSERT INTO elements (id, "threadId", "forId", props, type, name, display) '
            "VALUES (?, ?, ?, ?, 'custom', 'Sources', 'inline')",
            card,
        )


# ── through a server ─────────────────────────────────────────────────────────────────────────


async def _served(
    folder: Path, settings: Settings, searches: list[str], opened: list[str]
) -> dict[str, list[float]]:
    (folder / "library").mkdir()
    with served(folder, settings, folder / "library") as (url, _):
        async with httpx.AsyncClient(
            base_url=url, cookies={"xoe_visitor": VISITOR}, trust_env=False, timeout=60
        ) as client:

            async def listed(search: str | None) -> None:
                body = {"pagination": {"first": PAGE}, "filter": {"search": search}}
                answer = await client.post("/project/threads", json=body)
                assert answer.raise_for_status().json()["data"]

            return {
                "sidebar": await _times(lambda _: listed(None)),
                "search": await _times(lambda n: listed(searches[n])),
                "resume": await _times(lambda n: _opened(url, opened[n])),
            }


async def _opened(url: str, thread_id: str) -> None:
    """Open a chat as the page does: its socket, until the chat has come."""
    import socketio  # type: ignore[import-untyped]

    page = socketio.AsyncClient(reconnection=False)
    came = asyncio.Event()
    page.on("resume_thread", lambda _thread: came.set())
    auth = {
        "sessionId": str(uuid.uuid4()),
        "userEnv": None,
        "clientType": "webapp",
        "chatProfile": None,
        "threadId": thread_id,
    }
    await page.connect(
        url,
        {"Cookie": f"xoe_visitor={VISITOR}"},
        auth=auth,
        socketio_path="/ws/socket.io",
        transports=["websocket"],
    )
    try:
        await page.emit("connection_successful")
        await asyncio.wait_for(came.wait(), 60)
    finally:
        await page.disconnect()


# ── figures ──────────────────────────────────────────────────────────────────────────────────


async def _found(asked: Awaitable[Any]) -> None:
    assert (await asked).threads


async def _times(act: Callable[[int], Awaitable[Any]], rounds: int = ROUNDS) -> list[float]:
    """Return the milliseconds of each round, after one that is not counted."""
    await act(0)
    taken = []
    for number in range(rounds):
        begun = time.perf_counter()
        await act(number)
        taken.append((time.perf_counter() - begun) * 1000)
    return taken


def _p95(values: list[float]) -> float:
    return quantiles(values, n=20, method="inclusive")[-1]
