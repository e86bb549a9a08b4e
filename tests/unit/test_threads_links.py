"""Read-only links: a snapshot, for a while, that its owner alone takes back."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text

from core.errors import LinkError
from core.settings import Settings
from xoe.chats.changes import Ask, Keep
from xoe.chats.deletion import delete_thread
from xoe.chats.links import MAX_DAYS, MAX_PAGE_CHARS, Links
from xoe.chats.store import Threads
from xoe.chats.types import LINK_DAYS, StoredMessage
from xoe.db import Database

ANNA, BERT = "user:anna", "guest:0123456789abcdef"
DAY_S = 24 * 3600.0


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgresql"])
async def db(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    settings = Settings(data_dir=tmp_path)
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").database(f"links_{secrets.token_hex(6)}")
        settings = Settings(data_dir=tmp_path, database_url=url)
    database = await Database.open(settings)
    for owner in (ANNA, BERT):
        asked = StoredMessage("q", "user", "How?", 1.0)
        told = StoredMessage("a", "assistant", "So.", 2.0)
        await Threads(database).apply(Ask(owner, "chat", asked))
        await Threads(database).apply(Keep(owner, "chat", "q", told))
    yield database
    await database.aclose()


@pytest.fixture
def links(db: Database, clock: Clock) -> Links:
    return Links(db, clock=clock)


async def test_a_link_shows_the_page_for_a_week(links: Links, clock: Clock) -> None:
    link, token = await links.create(ANNA, "chat", "<p>then</p>", name="Chat", message="a")
    assert len(token) == 32, "192 bits"
    assert await links.page(token) == "<p>then</p>"
    assert await links.list(ANNA) == (link,)
    assert (link.thread, link.message, link.name) == ("chat", "a", "Chat")
    assert link.ends_at - clock.now == LINK_DAYS * DAY_S
    clock.now = link.ends_at - 1
    assert await links.page(token) == "<p>then</p>"
    clock.now += 1
    assert await links.page(token) is None
    assert await links.list(ANNA) == ()


async def test_a_token_that_is_not_the_whole_one_leads_nowhere(links: Links) -> None:
    _, token = await links.create(ANNA, "chat", "page", name="Chat")
    other = token[:-1] + ("A" if token[-1] != "A" else "B")
    for wrong in ("", token[:-1], f"{token}A", other, token.swapcase(), "%", "x" * 10_000, "\x00"):
        assert await links.page(wrong) is None


async def test_the_database_does_not_hold_the_token(db: Database, links: Links) -> None:
    _, token = await links.create(ANNA, "chat", "page", name="Chat")
    async with db.read() as connection:
        rows = (await connection.execute(text("SELECT * FROM thread_links"))).all()
    assert len(rows) == 1
    assert token not in repr(rows)


async def test_its_owner_alone_sees_it_and_takes_it_back(links: Links) -> None:
    link, token = await links.create(ANNA, "chat", "page", name="Chat")
    assert await links.list(BERT) == ()
    for owner in (BERT, "", "user:anna ", "USER:ANNA"):
        assert await links.revoke(owner, link.id) is False
    assert await links.page(token) == "page"
    assert await links.revoke(ANNA, link.id) is True
    assert await links.page(token) is None
    assert await links.revoke(ANNA, link.id) is False


async def test_a_chat_of_somebody_else_cannot_be_shared(db: Database, links: Links) -> None:
    await delete_thread(db, BERT, "chat", 3.0)
    for owner, thread in ((BERT, "chat"), (ANNA, "other"), ("", "chat")):
        with pytest.raises(LinkError, match="no such chat of yours"):
            await links.create(owner, thread, "page", name="Chat")


async def test_a_link_goes_with_its_chat_and_no_other_does(db: Database, links: Links) -> None:
    _, annas = await links.create(ANNA, "chat", "annas", name="Chat")
    _, berts = await links.create(BERT, "chat", "berts", name="Chat")
    await delete_thread(db, ANNA, "chat", 3.0)
    assert await links.page(annas) is None
    assert await links.page(berts) == "berts"


async def test_a_clock_that_was_set_back_gives_no_more_time(links: Links, clock: Clock) -> None:
    _, token = await links.create(ANNA, "chat", "page", name="Chat")
    clock.now -= 200
    assert await links.page(token) == "page"
    clock.now -= 200
    assert await links.page(token) is None


async def test_links_are_bounded(
    links: Links, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for days in (0, -1, MAX_DAYS + 1, float("inf"), float("nan")):
        with pytest.raises(LinkError, match="lasts from"):
            await links.create(ANNA, "chat", "page", name="Chat", days=days)
    with pytest.raises(LinkError, match="too long"):
        await links.create(ANNA, "chat", "x" * (MAX_PAGE_CHARS + 1), name="Chat")
    monkeypatch.setattr("xoe.chats.links.MAX_LINKS", 3)
    for _ in range(3):
        await links.create(ANNA, "chat", "page", name="Chat", days=1)
    with pytest.raises(LinkError, match="Take one back"):
        await links.create(ANNA, "chat", "page", name="Chat")
    await links.create(BERT, "chat", "page", name="Chat")
    clock.now += 2 * DAY_S
    await links.create(ANNA, "chat", "page", name="Chat")
    assert len(await links.list(ANNA)) == 1, "those that ended are gone"
