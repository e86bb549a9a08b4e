"""Chats that are kept, on a real server: opened again after it ended, and agreeing with Redis."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from page_client import PageClient, open_page
from servers import FaultyServer

from ingest.swap import DATABASE_NAME
from state.history import history_key
from xoe.chats.changes import RECOVERED
from xoe.chats.recorder import UNSAVED
from xoe.db.database import FILE_NAME

ANNA, BERT = "a" * 32, "b" * 32
COFFEE = """# The coffee machine

## Descaling

Descale the machine every eight weeks, or when the orange lamp blinks three times.
Use one sachet of citric acid in a full tank of water. The whole run takes 25 minutes.

## How to order beans

Beans are ordered from Rossi in Verona on the first Monday of the month.
"""
OFTEN = "How often must the coffee machine be descaled?"
BEANS = "Where are beans ordered from?"
FOLLOW_UP = "And why?"
"""By itself there is nothing to be found about it."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, need_models) -> Iterator[FaultyServer]:
    need_models("tiny", "embedder")
    settings = {
        "XOE_VOICE": "false",
        "XOE_LLM_MAX_TOKENS": "24",
        "XOE_LLM_PROFILE": "tiny",
        "XOE_LIMIT_QUESTIONS": "10000",
    }
    server = FaultyServer(tmp_path_factory.mktemp("chats"), settings)
    (server.library / "coffee.md").write_text(COFFEE)
    server.set_faults()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def quick(server: FaultyServer) -> Iterator[FaultyServer]:
    """The server with a model that fails, so that passages are quoted at once."""
    server.set_faults(llm="error")
    yield server
    server.set_faults()


async def start_again(server: FaultyServer) -> None:
    """As after a power cut; the model must work while it is loaded."""
    await asyncio.to_thread(server.kill)
    faults = server.faults.read_text()
    server.set_faults()
    await asyncio.to_thread(server.start)
    server.faults.write_text(faults)


def history(server: FaultyServer, owner: str, thread: str) -> list[dict[str, Any]]:
    with closing(server.redis_client()) as client:
        values = client.lrange(history_key(owner, thread), 0, -1)
    return [json.loads(value) for value in values]


def database(server: FaultyServer) -> sqlite3.Connection:
    return sqlite3.connect(server.data_dir / FILE_NAME, timeout=30, isolation_level=None)


def steps(thread: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [step for step in thread["steps"] if step["type"] == kind]


async def resume(page: PageClient) -> dict[str, Any]:
    await page.until(lambda: bool(page.resumed))
    return page.resumed


async def test_a_chat_goes_on_after_a_restart_with_what_was_said_and_its_sources(
    server: FaultyServer,
) -> None:
    """Even where Redis has lost everything: the follow-up needs the turn before it."""
    async with open_page(server.url, visitor=ANNA) as page:
        first = await page.ask(OFTEN)
        server.set_faults(llm="error")
        degraded = await page.ask(BEANS)
        server.set_faults()
        thread = page.thread_id
        buttons = [(button["name"], button["forId"]) for button in page.buttons]
    assert "eight weeks" in first
    with closing(server.redis_client()) as client:
        client.flushall()
    await start_again(server)
    async with open_page(server.url, visitor=ANNA, thread=thread) as page:
        resumed = await resume(page)
        assert [step["output"] for step in steps(resumed, "user_message")] == [OFTEN, BEANS]
        assert [step["output"] for step in steps(resumed, "assistant_message")] == [first, degraded]
        assert "language model" in degraded.splitlines()[-1]
        cards = {card["forId"]: card for card in resumed["elements"]}
        answers = steps(resumed, "assistant_message")
        cited = cards[answers[0]["id"]]["props"]["citations"]
        assert any("eight weeks" in citation["marked"] for citation in cited)
        assert len(history(server, f"visitor:{ANNA}", thread)) == 4
        await page.until(lambda: len(page.buttons) == 2)
        assert [(b["name"], b["forId"]) for b in page.buttons] == buttons
        await page.edit(steps(resumed, "user_message")[1]["id"], FOLLOW_UP)
        await page.until(lambda: len(page.buttons) == 3)
        assert "Descale" in page.elements
    kept = history(server, f"visitor:{ANNA}", thread)
    assert [turn["content"] for turn in kept[::2]] == [OFTEN, FOLLOW_UP]


async def test_a_question_of_the_first_moment_waits_for_library_and_model(
    tmp_path: Path, need_models
) -> None:
    """The library was never read, and the model is not there yet; it takes what a start takes."""
    need_models("tiny", "embedder")
    settings = {"XOE_VOICE": "false", "XOE_LLM_MAX_TOKENS": "24", "XOE_LLM_PROFILE": "tiny"}
    server = FaultyServer(tmp_path, settings)
    server.set_faults()
    (server.library / "coffee.md").write_text(COFFEE)
    server.start(wait=False)
    try:
        await asyncio.to_thread(server.wait_until, lambda health: bool(health))
        async with open_page(server.url, visitor=ANNA) as page:
            assert "eight weeks" in await page.ask(OFTEN)
    finally:
        await asyncio.to_thread(server.stop)


async def test_a_new_chat_is_in_the_list_once_the_page_is_told_of_it(quick: FaultyServer) -> None:
    async with open_page(quick.url, visitor=ANNA) as page, page.http() as client:
        await page.type(OFTEN)
        await page.until(lambda: bool(page.thread_id))
        body = {"pagination": {"first": 20}, "filter": {}}
        listed = (await client.post("/project/threads", json=body)).json()["data"]
        assert page.thread_id in [thread["id"] for thread in listed]


async def test_what_the_database_lost_in_a_crash_comes_from_redis_once(quick: FaultyServer) -> None:
    async with open_page(quick.url, visitor=ANNA) as page:
        for question in (OFTEN, BEANS, OFTEN):
            await page.ask(question)
        thread = page.thread_id
    owner = f"visitor:{ANNA}"
    ids = [entry["id"] for entry in history(quick, owner, thread)]
    await asyncio.to_thread(quick.kill)
    with closing(database(quick)) as connection:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.executemany("DELETE FROM thread_messages WHERE id = ?", [(i,) for i in ids[2:4]])
    await start_again(quick)
    for _ in range(2):
        async with open_page(quick.url, visitor=ANNA, thread=thread) as page:
            resumed = await resume(page)
            assert [s["id"] for s in resumed["steps"] if "message" in s["type"]] == ids
            assert steps(resumed, "user_message")[1]["output"] == BEANS
            assert RECOVERED in steps(resumed, "assistant_message")[1]["output"]
    assert [entry["id"] for entry in history(quick, owner, thread)] == ids


async def test_what_redis_lost_or_should_not_have_is_set_right_before_the_next_question(
    quick: FaultyServer,
) -> None:
    owner = f"visitor:{ANNA}"
    async with open_page(quick.url, visitor=ANNA) as page:
        for question in (OFTEN, BEANS, "Who descales it?"):
            await page.ask(question)
        thread = page.thread_id
        before = [entry["id"] for entry in history(quick, owner, thread)]
        with closing(quick.redis_client()) as client:
            client.ltrim(history_key(owner, thread), 4, -1)
        await page.ask("And then?")
        assert [entry["id"] for entry in history(quick, owner, thread)][:6] == before
        # A turn that was taken back in the database stays in Redis after a crash, say.
        with closing(database(quick)) as connection:
            gone = before[2:4]
            connection.execute("PRAGMA foreign_keys=ON")
            (number,) = connection.execute(
                "SELECT number FROM threads WHERE id=?", (thread,)
            ).fetchone()
            connection.executemany("DELETE FROM thread_messages WHERE id=?", [(i,) for i in gone])
            connection.execute("INSERT INTO thread_removed VALUES (?, ?, 1e12)", (number, gone[1]))
        await page.ask("And after that?")
        kept = [entry["id"] for entry in history(quick, owner, thread)]
        assert kept[:4] == [*before[:2], *before[4:6]]


async def test_a_database_that_is_away_costs_one_line_and_no_answer(quick: FaultyServer) -> None:
    owner = f"visitor:{ANNA}"
    async with open_page(quick.url, visitor=ANNA) as page:
        await page.ask(OFTEN)
        thread = page.thread_id
        with closing(database(quick)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            answer = await page.ask(BEANS)
            assert "Rossi" in answer
            assert answer.count(UNSAVED) == 1
            connection.execute("ROLLBACK")
            for _ in range(200):
                await asyncio.sleep(0.1)
                found = connection.execute(
                    "SELECT count(*) FROM thread_messages m JOIN threads t "
                    "ON t.number = m.thread WHERE t.id = ?",
                    (thread,),
                ).fetchone()
                if found == (4,):
                    break
            assert found == (4,)
        assert UNSAVED not in await page.ask(OFTEN)
    assert len(history(quick, owner, thread)) == 6


async def test_an_edited_and_a_regenerated_answer_take_their_turns_place_in_both(
    quick: FaultyServer,
) -> None:
    owner, first = f"visitor:{ANNA}", str(uuid.uuid4())
    async with open_page(quick.url, visitor=ANNA) as page:
        await page.ask("What is descaled?", message_id=first)
        await page.ask(BEANS)
        thread = page.thread_id
        await page.edit(first, OFTEN)
        await page.until(lambda: len(page.buttons) == 3)
        assert [entry["content"] for entry in history(quick, owner, thread)][::2] == [OFTEN]
        before = history(quick, owner, thread)
        button = {**page.buttons[-1], "name": "regenerate", "payload": {"asked": first}}
        assert (await page.press(button)).json()["success"]
        after = history(quick, owner, thread)
        assert (len(after), after[0]["id"]) == (2, before[0]["id"])
        assert after[1]["id"] != before[1]["id"]

        def answers() -> list[str]:
            told = [m for m in page.messages if m["type"] == "assistant_message"]
            return [m["id"] for m in told if m["output"]]

        # What the button's route says comes by another way than what the page is told.
        await page.until(lambda: answers() == [after[1]["id"]])
    async with open_page(quick.url, visitor=ANNA, thread=thread) as page:
        ids = [s["id"] for s in (await resume(page))["steps"] if "message" in s["type"]]
        assert ids == [entry["id"] for entry in after]


async def test_a_reset_chat_is_not_told_to_the_model_again(quick: FaultyServer) -> None:
    async with open_page(quick.url, visitor=ANNA) as page:
        await page.ask(OFTEN)
        thread = page.thread_id
        await page.type("/reset")
        await page.until(lambda: any("forgotten" in answer for answer in page.answers))
        await page.ask(BEANS)
    assert len(history(quick, f"visitor:{ANNA}", thread)) == 2
    async with open_page(quick.url, visitor=ANNA, thread=thread) as page:
        assert len(steps(await resume(page), "user_message")) == 2


async def test_a_deleted_chat_leaves_nothing(quick: FaultyServer) -> None:
    """Rows, words, its document with its vectors, Redis' keys; other chats keep theirs."""
    secret = b"# Xylophon\n\nThe quetzal nests behind the xylophone in room nine.\n"
    async with open_page(quick.url, visitor=ANNA) as page:
        other = await page.upload(
            "kept.md", b"# Kept\n\nThe kept paper says that lunch is at one.\n"
        )
        await page.ask("When is lunch?", files=[other.json()["id"]])
        kept = page.thread_id
    async with open_page(quick.url, visitor=ANNA) as page:
        upload = await page.upload("secret.md", secret)
        answer = await page.ask("Where does the quetzal nest?", files=[upload.json()["id"]])
        assert "xylophone" in answer
        thread = page.thread_id
        assert b"quetzal" in raw(quick)
        async with page.http() as client:
            found = await client.post(
                "/project/threads",
                json={"pagination": {"first": 20}, "filter": {"search": "quetz"}},
            )
            assert [one["id"] for one in found.json()["data"]] == [thread]
            gone = await client.request("DELETE", "/project/thread", json={"threadId": thread})
            assert gone.json() == {"success": True}
            for search in ("quetzal", "xylophone"):
                body = {"pagination": {"first": 20}, "filter": {"search": search}}
                assert (await client.post("/project/threads", json=body)).json()["data"] == []
            assert (await client.get(f"/project/thread/{thread}")).status_code == 404
        assert history(quick, f"visitor:{ANNA}", thread) == []
        assert b"quetzal" not in raw(quick).lower()
        assert b"xylophone" not in raw(quick).lower()
        await page.type("/library")
        await page.until(lambda: '"Library"' in page.elements)
        library = [e for n, e in page.events if n == "element" and e["name"] == "Library"][-1]
        names = {document["name"] for document in library["props"]["documents"]}
        assert "kept.md" in names
        assert "secret.md" not in names
    async with open_page(quick.url, visitor=ANNA, thread=kept) as page:
        card = next(e for e in (await resume(page))["elements"] if e["name"] == "Files")
        assert card["props"]["files"][0]["state"] == "ready"


async def test_a_deletion_that_a_kill_cut_short_is_finished_by_the_next_start(
    quick: FaultyServer,
) -> None:
    """Its document and what Redis has go too; what was dropped into another chat as well stays."""
    secret, shared = b"# Harp\n\nThe quagga sleeps.\n", b"# Both\n\nThe okapi is awake.\n"
    async with open_page(quick.url, visitor=ANNA) as page:
        upload = await page.upload("both.md", shared)
        await page.ask("Who is awake?", files=[upload.json()["id"]])
        kept = page.thread_id
    async with open_page(quick.url, visitor=ANNA) as page:
        files = [await page.upload("gone.md", secret), await page.upload("both.md", shared)]
        await page.ask("Who sleeps?", files=[one.json()["id"] for one in files])
        thread = page.thread_id
        assert history(quick, f"visitor:{ANNA}", thread)
        quick.set_faults(llm="error", deletion="kill")
        async with page.http() as client:
            with pytest.raises(httpx.HTTPError):
                await client.request("DELETE", "/project/thread", json={"threadId": thread})
    assert quick.process is not None
    assert await asyncio.to_thread(quick.process.wait, 30) == -9
    assert {"gone.md", "both.md"} <= documents(quick)
    quick.set_faults(llm="error")
    await start_again(quick)
    assert "gone.md" not in documents(quick)
    assert "both.md" in documents(quick)
    with closing(quick.redis_client()) as client:
        assert not list(client.scan_iter(f"*{thread}*"))
        assert list(client.scan_iter(f"*{kept}*"))
    assert b"quagga" not in raw(quick).lower()


def documents(server: FaultyServer) -> set[str]:
    with closing(sqlite3.connect(server.data_dir / DATABASE_NAME)) as connection:
        return {name for (name,) in connection.execute("SELECT source FROM documents")}


def raw(server: FaultyServer) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(server.data_dir.glob(f"{FILE_NAME}*")))


async def test_nobody_else_reaches_a_chat_by_any_route(quick: FaultyServer) -> None:
    async with open_page(quick.url, visitor=ANNA) as page:
        await page.ask(OFTEN)
        thread, answer = page.thread_id, page.messages[-1]["id"]
        thumb = {"feedback": {"forId": answer, "threadId": thread, "value": 1, "comment": "Good"}}
        async with page.http() as client:
            given = await client.put("/feedback", json={**thumb, "sessionId": page.session_id})
            assert given.status_code == 200
            element = (await client.get(f"/project/thread/{thread}")).json()["elements"][0]["id"]
            assert (await client.get(f"/project/thread/{thread}/element/{element}")).json()["props"]
            shared = {"threadId": thread, "isShared": True}
            await client.put("/project/thread/share", json=shared)
            assert (await client.get(f"/project/share/{thread}")).status_code == 404
        async with httpx.AsyncClient(
            base_url=quick.url, cookies={"xoe_visitor": BERT}, trust_env=False
        ) as bert:
            refused = [
                await bert.get(f"/project/thread/{thread}"),
                await bert.get(f"/project/share/{thread}"),
                await bert.get(f"/project/thread/{thread}/element/{element}"),
                await bert.put("/project/thread", json={"threadId": thread, "name": "Mine"}),
                await bert.put("/project/thread/share", json=shared),
                await bert.request("DELETE", "/project/thread", json={"threadId": thread}),
                await bert.put("/feedback", json={**thumb, "sessionId": page.session_id}),
            ]
            assert [r.status_code for r in refused if r.status_code < 400] == []
            assert not [r for r in refused if OFTEN in r.text]
            given_id = given.json()["feedbackId"]
            await bert.request("DELETE", "/feedback", json={"feedbackId": given_id})
            forged = {
                "element": {
                    "id": element,
                    "type": "custom",
                    "name": "Sources",
                    "props": {"heading": "Forged"},
                    "display": "inline",
                    "forId": answer,
                },
                "sessionId": page.session_id,
            }
            assert (await bert.put("/project/element", json=forged)).status_code >= 400
        async with page.http() as client:
            await client.put("/project/element", json=forged)  # her own browser may not either
            kept = (await client.get(f"/project/thread/{thread}")).json()
        assert kept["elements"][0]["props"]["heading"] != "Forged"
        assert steps(kept, "run")[0]["feedback"]["comment"] == "Good"
        assert kept["name"] == OFTEN
    async with open_page(quick.url, visitor=BERT, thread=thread) as page:
        await page.until(lambda: any(event == "resume_thread" for event, _ in page.events))
        assert page.resumed["steps"] == []
        assert OFTEN not in json.dumps(page.events)


async def test_a_browser_without_cookies_goes_on_after_a_restart(quick: FaultyServer) -> None:
    """It is known by its chat, whose id is random; there is no list for it."""
    async with open_page(quick.url) as page:
        await page.ask(OFTEN)
        thread = page.thread_id
        async with page.http() as client:
            body = {"pagination": {"first": 20}, "filter": {}}
            assert (await client.post("/project/threads", json=body)).json()["data"] == []
    await asyncio.to_thread(quick.stop)
    await start_again(quick)
    async with open_page(quick.url, thread=thread) as page:
        assert [s["output"] for s in steps(await resume(page), "user_message")] == [OFTEN]
        await page.ask(FOLLOW_UP)
        assert "Descale" in page.elements
