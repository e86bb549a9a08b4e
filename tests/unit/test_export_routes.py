"""Exports and links over HTTP, authenticated for real: one's own chats, and what a link shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from authenticated import Authenticated, authenticated_client
from hostile_text import Tags, everything
from starlette.applications import Starlette
from starlette.testclient import TestClient

from xoe.auth.identity import COOKIE, Identity
from xoe.chats.changes import Ask, Keep
from xoe.chats.store import Threads
from xoe.chats.types import StoredCitation, StoredMessage
from xoe.net.listeners import Listener
from xoe.web import exports
from xoe.web.problems import tell_in_sentences
from xoe.web.visitor import VisitorCookie

CITED = StoredCitation(1, "keys.md", 2, "It costs 45 euros.", "Lost? It costs 45 euros.", 6, 24)
ANA, BERT = "user:ana", "user:bert"
GUEST = "guest:0123456789abcdef"
EVERY = [
    f"/export/{chat}.{kind}" for chat in ("chat", "chat/a1", "chat/q1") for kind in exports.KINDS
]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[TestClient, Authenticated]]:
    app = Starlette(routes=exports.routes())
    tell_in_sentences(app)
    app.add_middleware(VisitorCookie)
    with authenticated_client(app, tmp_path) as (client, authenticated):
        app.state.startup = authenticated
        yield client, authenticated


@pytest.fixture
def client(house) -> TestClient:
    """With accounts, and one chat each of two people and a guest."""
    client, authenticated = house
    auth = client.portal.call(authenticated.auth)
    client.portal.call(auth.users.add, "ana", "lantern-osprey-gravel-41")
    threads = Threads(auth.db)
    for owner in (ANA, BERT, GUEST):
        asked = StoredMessage("q1", "user", f"What does a key of {owner} cost?", 1.8e9)
        told = StoredMessage("a1", "assistant", "It costs 45 euros [1].", 1.8e9, citations=(CITED,))
        client.portal.call(threads.apply, Ask(owner, "chat", asked))
        client.portal.call(threads.apply, Keep(owner, "chat", "q1", told))
    return client


def be(house, owner: str | None, role: str = "user") -> TestClient:
    client, authenticated = house
    client.cookies.clear()
    if owner is not None:
        auth = client.portal.call(authenticated.auth)

        async def log_in() -> str:
            return await auth.sessions.create(Identity(owner, role, "x"), ttl_s=3600.0)

        client.cookies.set(COOKIE, client.portal.call(log_in))
    return client


def say_more(house, owner: str, text: str) -> None:
    client, authenticated = house
    threads = Threads(client.portal.call(authenticated.auth).db)
    asked, told = (
        StoredMessage("q2", "user", "And?", 1.9e9),
        StoredMessage("a2", "assistant", text, 2e9),
    )
    client.portal.call(threads.apply, Ask(owner, "chat", asked))
    client.portal.call(threads.apply, Keep(owner, "chat", "q2", told))


@pytest.mark.usefixtures("client")
def test_ones_own_chat_comes_as_each_kind_of_file(house) -> None:
    client = be(house, ANA)
    for path in EVERY:
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert "45 euros" in answer.text
        kept = answer.headers["content-disposition"]
        assert kept.startswith('attachment; filename="')
        assert kept.endswith(f'.{path.rpartition(".")[2]}"')
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
    assert client.get("/export/chat.pdf").status_code == 404
    assert client.get("/export/chat/other.html").status_code == 404


@pytest.mark.usefixtures("client")
def test_nobody_elses_chat_is_exported(house) -> None:
    """Ids are the same here for all: it is the owner in the query that tells them apart."""
    for owner, role in ((BERT, "user"), ("user:root", "operator"), (GUEST, "guest")):
        client = be(house, owner, role)
        for path in EVERY:
            answer = client.get(path)
            assert ANA not in answer.text
            assert (answer.status_code == 404) == (owner == "user:root")
    nobody = be(house, None)
    assert {nobody.get(path).status_code for path in EVERY} == {401}


@pytest.mark.usefixtures("client")
def test_a_link_shows_what_was_there_to_who_has_it_and_nothing_later(house) -> None:
    client = be(house, ANA)
    made = client.post("/links", json={"thread": "chat"})
    assert made.status_code == 201
    path = made.json()["path"]
    say_more(house, ANA, "A later secret.")
    anybody = be(house, None)
    shown = anybody.get(path)
    assert shown.status_code == 200
    assert "45 euros" in shown.text
    assert "later secret" not in shown.text
    assert ANA not in shown.text.replace("What does a key of user:ana cost?", "")
    assert "noindex" in shown.headers["x-robots-tag"]
    assert shown.headers["cache-control"] == "no-store"
    assert shown.headers["referrer-policy"] == "no-referrer"
    policy = shown.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "script" not in policy.replace("script-src 'none'", "")
    assert "set-cookie" not in shown.headers
    assert {tag for tag, _ in Tags(shown.text).tags}.isdisjoint({"script", "img", "link", "form"})


@pytest.mark.usefixtures("client")
def test_a_link_to_one_answer_shows_that_alone(house) -> None:
    say_more(house, ANA, "The other answer.")
    made = be(house, ANA).post("/links", json={"thread": "chat", "message": "a1", "days": 1})
    shown = be(house, None).get(made.json()["path"]).text
    assert "45 euros" in shown
    assert "The other answer" not in shown


@pytest.mark.usefixtures("client")
def test_what_leads_nowhere_looks_the_same_whatever_the_reason(house) -> None:
    client = be(house, ANA)
    made = client.post("/links", json={"thread": "chat"}).json()
    ended = client.post("/links", json={"thread": "chat", "days": 0.001}).json()
    (listed,) = [link for link in client.get("/links").json()["links"] if link["id"] == made["id"]]
    assert "path" not in listed
    assert be(house, BERT).delete(f"/links/{made['id']}").status_code == 404
    assert be(house, BERT).get("/links").json() == {"links": []}
    assert be(house, None).delete(f"/links/{made['id']}").status_code == 401
    assert be(house, None).get(made["path"]).status_code == 200
    assert be(house, ANA).delete(f"/links/{made['id']}").status_code == 204
    client, authenticated = house
    db = client.portal.call(authenticated.auth).db

    async def end() -> None:
        from xoe.chats.links import links

        async with db.write() as connection:
            await connection.execute(links.update().values(ends_at=1.0))

    client.portal.call(end)
    anybody = be(house, None)
    token = made["path"].rpartition("/")[2]
    paths = [made["path"], ended["path"], f"/shared/{token[:-1]}", f"/shared/{token}x"]
    answers = [anybody.get(path) for path in [*paths, "/shared/x", "/shared/%00", "/shared/%2e%2e"]]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert "leads nowhere" in answers[0].text
    assert all("set-cookie" not in answer.headers for answer in answers)


@pytest.mark.usefixtures("client")
def test_a_link_that_cannot_be_made_says_why(house) -> None:
    client = be(house, ANA)
    for body, status in (
        ({"thread": "other"}, 404),
        ({"thread": "chat", "message": "other"}, 404),
        ({"thread": "chat", "days": 1000}, 409),
        ({"thread": "chat", "days": -1}, 409),
        ({"thread": "chat", "days": "7"}, 422),
        ({"thread": "chat", "days": True}, 422),
        ({"thread": 7}, 422),
        ({"thread": "chat", "message": ["a1"]}, 422),
        ({}, 422),
        ([], 422),
        ("x" * 10_000, 422),
    ):
        answer = client.post("/links", json=body)
        assert answer.status_code == status, body
        assert len(answer.json()["detail"]) > 20
    for noise in (b"", b"{", b"\xff", b"[" * 4000):
        assert client.post("/links", content=noise).status_code == 422
    assert client.get("/links").json() == {"links": []}


@pytest.mark.usefixtures("client")
def test_guests_may_keep_their_chat_but_make_no_link(house) -> None:
    client = be(house, GUEST, "guest")
    assert client.get("/export/chat.html").status_code == 200
    refused = client.post("/links", json={"thread": "chat"})
    assert refused.status_code == 403
    assert "Export the chat as a file" in refused.json()["detail"]


@pytest.mark.usefixtures("client")
def test_another_site_makes_no_link(house) -> None:
    client = be(house, ANA)
    crossed = client.post(
        "/links", json={"thread": "chat"}, headers={"Origin": "https://evil.example"}
    )
    assert crossed.status_code == 403
    assert client.get("/links").json() == {"links": []}


def test_without_accounts_a_visitor_exports_and_shares_their_own(house) -> None:
    client, authenticated = house
    threads = Threads(client.portal.call(authenticated.auth).db)
    cookie = "0123456789abcdef0123456789abcdef"
    worst = everything()
    asked, told = worst.messages[0], replace(worst.messages[1], level="extractive")
    client.portal.call(threads.apply, Ask(f"visitor:{cookie}", "chat", asked))
    client.portal.call(threads.apply, Keep(f"visitor:{cookie}", "chat", asked.id, told))
    assert client.get("/export/chat.html").status_code == 404, "no cookie, nobody's chats"
    client.cookies.set("xoe_visitor", cookie)
    page = client.get("/export/chat.html")
    assert page.status_code == 200
    path = client.post("/links", json={"thread": "chat"}).json()["path"]
    client.cookies.clear()
    shown = client.get(path)
    assert shown.status_code == 200
    assert "set-cookie" not in shown.headers
    for text in (page.text, shown.text):
        tags = Tags(text)
        assert tags.odd == []
        assert {tag for tag, _ in tags.tags}.isdisjoint({"script", "img", "iframe", "svg", "link"})


@pytest.mark.usefixtures("client")
def test_a_link_is_read_at_the_doors_to_others_too(house) -> None:
    """By who has no login: the link is all they have."""
    path = be(house, ANA).post("/links", json={"thread": "chat"}).json()["path"]
    _, authenticated = house
    for name in ("lan", "share"):
        authenticated.listener = Listener(name, frozenset({"testserver", "127.0.0.1"}))
        anybody = be(house, None)
        assert anybody.get(path).status_code == 200
        assert anybody.get("/links").status_code == 401
