"""A power cut while people ask, drop files and add to the library: what was told stays.

``make long`` kills a hundred times; the suite does it twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
import redis
import socketio
from lengths import LONG, length
from page_client import PageClient, open_page
from servers import Server

from ingest.swap import DATABASE_NAME
from state.history import history_key

pytestmark = pytest.mark.faults

KILLS = length(2, 100)
VISITOR = "0123456789abcdef0123456789abcdef"
SESSIONS = 2
SLOWEST_S = 120


CUT_OFF = (
    *(httpx.HTTPError, socketio.exceptions.SocketIOError, TimeoutError),
    asyncio.CancelledError,
)
"""How work ends whose server is killed."""


@dataclass
class Told:
    """What somebody was told is done, which nothing may undo."""

    turns: dict[str, list[str]] = field(default_factory=dict)
    """Questions by session, in order."""
    uploads: set[str] = field(default_factory=set)
    library: set[str] = field(default_factory=set)


async def test_killed_at_any_moment_it_starts_again_with_all_that_was_told(
    tmp_path: Path, need_models
) -> None:
    need_models("tiny", "embedder")
    server = Server(
        tmp_path,
        {
            "XOE_VOICE": "false",
            "XOE_LLM_PROFILE": "tiny",
            "XOE_LLM_MAX_TOKENS": "16",
            "XOE_LIMIT_QUESTIONS": "1000000",
        },
    )
    (server.library / "shed.md").write_text("# Shed\n\nThe roof was laid by Ingrid in 2019.\n")
    told = Told()
    chance = random.Random(7)
    for kill in range(KILLS):
        await asyncio.to_thread(server.start)
        try:
            check(server, told)
            busy = [asyncio.ensure_future(one) for one in work(server, told, kill)]
            await asyncio.sleep(chance.uniform(0.5, 12.0))
            if kill == KILLS - 1:
                await something(told)
        finally:
            await asyncio.to_thread(server.kill)
        _, working = await asyncio.wait(busy, timeout=5)
        for task in working:
            task.cancel()
        for task in busy:
            with contextlib.suppress(*CUT_OFF):
                await task
    await asyncio.to_thread(server.start)
    try:
        check(server, told)
        assert told.library
        assert told.turns or told.uploads
        if LONG:
            assert told.turns
            assert told.uploads
        print(
            f"{KILLS} kills; kept: {told.turns and sum(map(len, told.turns.values()))} turns, ",
            end="",
        )
        print(f"{len(told.uploads)} uploads, {len(told.library)} files of the library")
    finally:
        await asyncio.to_thread(server.stop)


async def something(told: Told) -> None:
    """Wait until there is something to lose, on a machine where a few kills came before it."""
    async with asyncio.timeout(SLOWEST_S):
        while not (told.library and (told.turns or told.uploads)):
            await asyncio.sleep(0.1)


def work(server: Server, told: Told, kill: int):
    """Chats, an upload and an ingest, all until the server is gone."""
    for number in range(SESSIONS):
        yield chat(server, told, f"chat-{number}", kill)
    yield upload(server, told, kill)
    yield add(server, told, kill)


async def chat(server: Server, told: Told, session: str, kill: int) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        for number in range(1000):
            question = f"Who laid roof number {kill}-{number}?"
            body = {"question": question, "session_id": session}
            response = await client.post(f"{server.url}/query", json=body)
            assert response.status_code == 200, response.text
            told.turns.setdefault(session, []).append(question)


async def upload(server: Server, told: Told, kill: int) -> None:
    async with open_page(server.url, visitor=VISITOR) as page:
        for number in range(1000):
            name = f"upload-{kill}-{number}.md"
            response = await page.upload(name, document(name))
            assert response.status_code == 200, response.text
            await page.type("", files=[response.json()["id"]])
            await gone_or(page, lambda name=name: page.has_read(name))
            told.uploads.add(name)


async def add(server: Server, told: Told, kill: int) -> None:
    """Add to the library by the command line, beside the server."""
    for number in range(1000):
        name = f"added-{kill}-{number}.md"
        path = server.home / name
        path.write_bytes(document(name))
        process = await asyncio.create_subprocess_exec(
            *server.command()[:3],
            "ingest",
            str(path),
            "--data-dir",
            str(server.data_dir),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **server.environment},
        )
        try:
            _, complaint = await process.communicate()
        finally:
            if process.returncode is None:  # cancelled: the server it worked beside is gone
                process.kill()
                await process.wait()
        assert process.returncode == 0, complaint.decode()[-500:]
        told.library.add(name)
        if server.process is None or server.process.poll() is not None:
            return


def document(name: str) -> bytes:
    rows = "".join(f"Row {n} of {name} is painted in the colour {n * 7}.\n\n" for n in range(40))
    return f"# About {name}\n\n{rows}".encode()


async def gone_or(page: PageClient, done) -> None:
    await page.until(lambda: done() or not page.socket.connected)
    if not done():
        raise TimeoutError


def check(server: Server, told: Told) -> None:
    """Compare what is there with what was told."""
    health = server.health()
    assert health["ready"], health
    assert health["level"] == "full", health
    assert not (server.data_dir / "quarantine").exists()
    with contextlib.closing(sqlite3.connect(server.data_dir / DATABASE_NAME)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        stored = {
            name
            for (name,) in database.execute("SELECT source FROM documents WHERE status = 'ready'")
        }
    assert told.library <= {Path(name).name for name in stored}
    assert told.uploads <= stored
    with redis.Redis(unix_socket_path=str(server.data_dir / "redis" / "redis.sock")) as store:
        for session, questions in told.turns.items():
            key = history_key(f"session:{session}", session)
            kept = b"\n".join(store.lrange(key, 0, -1)).decode()
            places = [kept.find(f'"{question}"') for question in questions[-90:]]
            assert -1 not in places, f"a turn of {session} is lost"
            assert places == sorted(places), f"the turns of {session} are out of order"
