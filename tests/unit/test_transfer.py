"""Chats and documents from before there were accounts become those of an account."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from authenticated import GOOD, PAGE, Authenticated, authenticated_client, call, field, log_in, said
from starlette.applications import Starlette
from starlette.testclient import TestClient
from store_model import FINGERPRINT, passages, put

from ingest.catalog import Catalog
from ingest.store import Store
from xoe.auth.identity import visitor
from xoe.chats.changes import Ask, Files
from xoe.chats.store import Threads
from xoe.chats.transfer import owned_data, transfer
from xoe.chats.types import StoredFile, StoredMessage
from xoe.serve import install as web
from xoe.web import account
from xoe.web.visitor import COOKIE

VISITOR = "5" * 32
OWNER, ADA = visitor(VISITOR).id, "user:ada"


async def chat(auth, owner: str, thread: str, document: str) -> None:
    question = StoredMessage(f"{thread}-q", "user", "How old is the oak?", 1.0)
    await Threads(auth.db).apply(Ask(owner, thread, question))
    files = (StoredFile(document, "ready"),)
    await Threads(auth.db).apply(Files(owner, thread, question.id, files))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[TestClient, Authenticated, Store]]:
    app = Starlette(routes=web.account_routes())
    folder = tmp_path / "store"
    folder.mkdir()
    store = Store(folder, FINGERPRINT)
    with authenticated_client(app, tmp_path) as (client, authenticated):
        app.state.startup = authenticated
        authenticated.services = SimpleNamespace(store=Catalog(store))
        call(client, authenticated, lambda auth: auth.users.add("ada", GOOD))
        yield client, authenticated, store
    store.close()


def counted(client: TestClient, authenticated: Authenticated, owner: str) -> tuple[int, int]:
    documents = authenticated.services.store
    found = call(client, authenticated, lambda auth: owned_data(owner, Threads(auth.db), documents))
    return found.chats, found.documents


def test_who_has_the_browser_takes_over_what_was_made_in_it(
    house: tuple[TestClient, Authenticated, Store],
) -> None:
    client, authenticated, store = house
    put(store, "oak.md", passages("oak", 0), OWNER)
    put(store, "foreign.md", passages("foreign", 0), visitor("6" * 32).id)
    call(client, authenticated, lambda auth: chat(auth, OWNER, "t1", "oak.md"))
    call(client, authenticated, lambda auth: chat(auth, visitor("6" * 32).id, "t2", "foreign.md"))
    log_in(client, "ada", GOOD)
    assert "no account" not in client.get(account.PATH, headers=PAGE).text
    client.cookies.set(COOKIE, VISITOR)
    page = client.get(account.PATH, headers=PAGE)
    assert "of no account yet: 1 chat and 1 document." in page.text
    forged = client.post(account.TRANSFER_PATH, data={"token": "x"}, headers=PAGE)
    assert forged.status_code == 403
    assert counted(client, authenticated, ADA) == (0, 0)
    form = {"token": field(page.text, "token")}
    done = client.post(account.TRANSFER_PATH, data=form, headers=PAGE)
    assert said(done.text) == "They are yours now."
    assert "no account" not in done.text
    assert counted(client, authenticated, ADA) == (1, 1)
    assert counted(client, authenticated, OWNER) == (0, 0)
    assert counted(client, authenticated, visitor("6" * 32).id) == (1, 1)
    kept = call(client, authenticated, lambda auth: Threads(auth.db).get(ADA, "t1"))
    assert kept.messages[0].text == "How old is the oak?"


def test_a_document_of_the_same_name_stays_and_no_chat_takes_another_along(
    house: tuple[TestClient, Authenticated, Store],
) -> None:
    client, authenticated, store = house
    put(store, "oak.md", passages("oak", 0), OWNER)
    put(store, "same.md", passages("same", 0), OWNER)
    put(store, "oak.md", passages("another oak", 1), ADA)
    put(store, "same.md", passages("same", 0), ADA)
    call(client, authenticated, lambda auth: chat(auth, OWNER, "t1", "oak.md"))
    documents = authenticated.services.store
    for _ in range(2):  # it can be repeated
        left = call(
            client, authenticated, lambda auth: transfer(OWNER, ADA, Threads(auth.db), documents)
        )
        assert (left.chats, left.documents) == (0, 1)
    assert counted(client, authenticated, ADA) == (1, 2)
    from xoe.chats.deletion import delete_thread

    gone = call(client, authenticated, lambda auth: delete_thread(auth.db, ADA, "t1", 2.0))
    assert gone == [], "Ada's own oak.md did not come in by that chat"


def test_a_guest_and_one_without_the_cookie_take_over_nothing(
    house: tuple[TestClient, Authenticated, Store],
) -> None:
    client, authenticated, _ = house
    call(client, authenticated, lambda auth: chat(auth, OWNER, "t1", "oak.md"))
    call(client, authenticated, lambda auth: auth.users.add("gil", GOOD, role="guest"))
    for name, cookie in (("ada", None), ("ada", "6" * 32), ("gil", VISITOR)):
        client.cookies.clear()
        log_in(client, name, GOOD)
        page = client.get(account.PATH, headers=PAGE)
        if cookie:
            client.cookies.set(COOKIE, cookie)
        done = client.post(
            account.TRANSFER_PATH, data={"token": field(page.text, "token")}, headers=PAGE
        )
        assert done.status_code == (200 if cookie == "6" * 32 else 403)
        assert counted(client, authenticated, OWNER) == (1, 0)
