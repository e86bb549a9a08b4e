"""What is limited in number is counted and added in one step, however many come at once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TypeVar, cast

import pytest
from lengths import length
from prometheus_client import CollectorRegistry
from sqlalchemy import delete

from core.allotment import Allotment
from core.errors import (
    AccountError,
    CallBusyError,
    InvitationError,
    LinkError,
    StoreError,
    ThreadLimitError,
)
from core.settings import Settings
from core.share import Share, as_share
from telemetry.metrics import VoiceMetrics
from voice.active_calls import ActiveCalls
from voice.call import Call
from xoe.auth import sessions as logins_module
from xoe.auth import users as users_module
from xoe.auth.identity import Identity
from xoe.auth.invitations import Invitations
from xoe.auth.passwords import Passwords
from xoe.auth.sessions import Sessions
from xoe.auth.users import Users
from xoe.chats import links as links_module
from xoe.chats import rows
from xoe.chats.changes import Ask
from xoe.chats.links import Links
from xoe.chats.store import Threads
from xoe.chats.types import StoredMessage
from xoe.db import Database

TRIES = 50
SOME = length(5, 50)
MOST = 3
COME = 9
T = TypeVar("T")
W = TypeVar("W")
PASSWORD = "kettle orbit lantern"


@pytest.fixture(params=["sqlite", "postgresql"])
async def servers(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Sequence[Database]]:
    """Two connections to one database, as of two servers, or of a server and a command."""
    settings = Settings(data_dir=tmp_path)
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").database(f"counts_{secrets.token_hex(6)}")
        settings = Settings(data_dir=tmp_path, database_url=url)
    databases = [await Database.open(settings) for _ in range(2)]
    yield databases
    for database in databases:
        await database.aclose()


async def at_once(
    ways: Sequence[W], attempt: Callable[[W, int], Awaitable[T]], refusal: type[Exception]
) -> list[T]:
    """Try ``COME`` times at once, in turns by each way; return what those got who came in."""
    tries = (attempt(ways[number % len(ways)], number) for number in range(COME))
    ended = await asyncio.gather(*tries, return_exceptions=True)
    failed = [result for result in ended if isinstance(result, BaseException)]
    assert all(isinstance(failure, refusal) for failure in failed), failed
    return [result for result in ended if not isinstance(result, BaseException)]


async def test_an_invitation_lets_in_as_many_as_it_says(servers: Sequence[Database]) -> None:
    every = [Invitations(db, Sessions(db), "key" * 20) for db in servers]

    async def invite() -> None:
        made = await every[0].create("ask", ttl_s=3600, max_guests=MOST, made_by="user:op")
        came = await at_once(every, lambda by, _: by.redeem(made.token), InvitationError)
        assert sorted(guest.name for guest in came) == ["Guest 1", "Guest 2", "Guest 3"]
        assert len(await every[1].guests(made.id)) == MOST

    for _ in range(TRIES):
        await invite()


async def test_one_owner_has_as_many_links_and_chats_as_are_kept(
    servers: Sequence[Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links_module, "MAX_LINKS", MOST)
    monkeypatch.setattr(rows, "THREADS_MAX", MOST)
    threads, links = [Threads(db) for db in servers], [Links(db) for db in servers]
    asked = StoredMessage("q", "user", "How?", 1.0)

    async def fill(owner: str) -> None:
        def ask(way: Threads, number: int) -> Awaitable[bool]:
            return way.apply(Ask(owner, f"chat-{number}", asked))

        assert len(await at_once(threads, ask, ThreadLimitError)) == MOST
        chats = (await threads[0].page(owner, limit=COME)).threads
        assert len(chats) == MOST

        def link(way: Links, _: int) -> Awaitable[object]:
            return way.create(owner, chats[0].id, "<p>", name="Chat")

        assert len(await at_once(links, link, LinkError)) == MOST
        assert len(await links[1].list(owner)) == MOST

    for number in range(SOME):
        await fill(f"user:{number}")


async def test_a_new_chat_that_is_asked_in_at_once_is_one(servers: Sequence[Database]) -> None:
    threads = [Threads(db) for db in servers]

    async def ask_in(chat: str) -> None:
        def ask(way: Threads, number: int) -> Awaitable[bool]:
            question = StoredMessage(f"q{number}", "user", "How?", 1.0)
            return way.apply(Ask("user:ada", chat, question))

        assert await at_once(threads, ask, ThreadLimitError) == [True] * COME

    for number in range(SOME):
        await ask_in(f"chat-{number}")


async def test_there_are_no_more_accounts_than_may_be_and_one_is_the_first(
    servers: Sequence[Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users_module, "MAX_ACCOUNTS", MOST)
    every = [Users(db, Passwords(memory_kib=8, passes=1)) for db in servers]
    for _ in range(SOME):
        made = await at_once(every, lambda by, n: by.add(f"name{n}", PASSWORD), AccountError)
        assert sorted(account.role for account in made) == ["operator", "user", "user"]
        async with servers[0].write() as connection:
            await connection.execute(delete(users_module.users))
    for users in every:
        users.close()


async def test_no_more_logins_are_kept_than_may_be(
    servers: Sequence[Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins_module, "_PER_IDENTITY", MOST)
    every = [Sessions(db) for db in servers]

    async def log_in(who: Identity) -> None:
        def create(way: Sessions, _: int) -> Awaitable[str]:
            return way.create(who, ttl_s=3600)

        assert len(await at_once(every, create, StoreError)) == COME
        assert len(await every[0].of(who.id)) == MOST

    for number in range(SOME):
        await log_in(Identity(f"user:{number}", "user", "Ada"))


def desk(limit: int = 5) -> ActiveCalls:
    return ActiveCalls(limit, VoiceMetrics(CollectorRegistry()))


def call() -> Call:
    """What a call is to the desk: something that goes on until it is ended."""
    return cast(Call, SimpleNamespace(run=asyncio.Event().wait))


async def test_calls_begun_at_once_are_as_many_as_may_be() -> None:
    async def begin(calls: ActiveCalls, number: int) -> bool:
        place = await calls.reserve(f"user:{number} chat")
        await asyncio.sleep(0)  # the engines are loaded
        return calls.open(place, call())

    for _ in range(TRIES):
        calls = desk(MOST)
        assert await at_once([calls], begin, CallBusyError) == [True] * MOST
        await calls.aclose()


async def test_a_call_whose_making_fails_or_is_given_up_leaves_its_place() -> None:
    calls = desk(1)
    for _ in range(3):
        calls.release(await calls.reserve("user:ada chat"))
    given_up = await calls.reserve("user:ada chat")
    await calls.close("user:ada chat")
    assert not calls.open(given_up, call())
    place = await calls.reserve("user:ben chat")
    calls.release(given_up)  # nobody else's
    with pytest.raises(CallBusyError, match="Too many people"):
        await calls.reserve("user:cy chat")
    assert calls.open(place, call())
    await calls.aclose()


async def test_a_page_has_one_call_and_ends_nobody_elses() -> None:
    calls = desk(2)
    first = await calls.reserve("user:ada chat")
    with pytest.raises(CallBusyError, match="already"):  # twice at once on one page
        await calls.reserve("user:ada chat")
    assert calls.open(first, call())
    again = await calls.reserve("user:ada chat")  # the page was loaded anew
    assert first.task is not None
    assert first.task.done()
    assert calls.open(again, call())
    same_chat_id = await calls.reserve("user:ben chat")
    assert calls.call("user:ada chat") is again.call
    calls.release(same_chat_id)
    await calls.aclose()


async def test_one_persons_calls_leave_a_place_for_others() -> None:
    calls = desk(5)
    with as_share(Share("user:ada")):
        for number in range(3):
            assert calls.open(await calls.reserve(f"user:ada chat{number}"), call())
        with pytest.raises(CallBusyError, match="You are in 3 calls"):
            await calls.reserve("user:ada chat3")
    assert calls.open(await calls.reserve("user:ben chat"), call())
    assert calls.open(await calls.reserve("user:cy chat"), call())
    await calls.aclose()


def test_who_holds_much_gets_no_more_while_others_would_get_less() -> None:
    allotment = Allotment(100)
    assert [allotment.take("ada") for _ in range(60)] == [True] * 50 + [False] * 10
    assert (allotment.held("ada"), allotment.free) == (50, 50)
    assert not allotment.take("ben", 51)
    assert allotment.take("ben", 50)
    assert not allotment.take("cy")
    allotment.give_back("ben", 50)
    allotment.give_back("ada", 50)
    assert allotment.free == 100
