"""``xoe user``: accounts from a terminal, where no server runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from core.settings import Settings
from ingest.loaders import LoadedDocument
from ingest.splitter import Chunk
from ingest.store import Fingerprint, Store
from xoe.auth.identity import Identity
from xoe.auth.passwords import Passwords
from xoe.auth.sessions import Sessions
from xoe.chats.changes import Ask
from xoe.chats.store import Threads
from xoe.chats.types import StoredMessage
from xoe.cli import app
from xoe.db import Database

GOOD = "kettle orbit lantern"


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hash quickly, and reach no server of somebody else's."""
    monkeypatch.setattr(Passwords.__init__, "__kwdefaults__", {"memory_kib": 64, "passes": 1})


class Terminal:
    def __init__(self, data: Path) -> None:
        self.data = data

    def __call__(self, *arguments: str, said: str = "") -> Result:
        command = ["user", *arguments, "--data-dir", str(self.data)]
        return CliRunner().invoke(app, command, input=said)

    def accounts(self) -> dict[str, dict[str, object]]:
        listed = json.loads(self("list", "--json").stdout)["accounts"]
        return {account["name"]: account for account in listed}

    def find(self, token: str) -> Identity | str:
        async def find() -> Identity | str:
            database = await Database.open(Settings(data_dir=self.data))
            try:
                return await Sessions(database).find(token)
            finally:
                await database.aclose()

        return asyncio.run(find())


@pytest.fixture
def user(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path / "data")


def add(user: Terminal, name: str, *options: str, password: str = GOOD) -> Result:
    return user("add", name, "--password-stdin", *options, said=f"{password}\n")


def test_accounts_are_made_listed_and_changed(user: Terminal) -> None:
    assert "no accounts" in user("list").stderr
    assert "as an operator" in add(user, "Ada", "--role", "operator").stderr
    assert "as a user" in add(user, "ben", "--display", "Ben B.").stderr
    accounts = user.accounts()
    assert {name: account["role"] for name, account in accounts.items()} == {
        "ada": "operator",
        "ben": "user",
    }
    assert "ben (Ben B.): user, since" in user("list").stdout
    assert user("role", "ben", "guest").exit_code == 0
    assert user("disable", "ben").exit_code == 0
    ben = user.accounts()["ben"]
    assert (ben["role"], ben["disabled"]) == ("guest", True)
    assert "switched off" in user("token", "ben").stderr
    assert user("enable", "ben").exit_code == 0
    assert user("remove", "ben").exit_code == 0
    assert list(user.accounts()) == ["ada"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("remove", "ada"), "only operator"),
        (("role", "ada", "user"), "only operator"),
        (("role", "ada", "root"), "no role"),
        (("remove", "nobody"), "no account named nobody"),
        (("passwd", "nobody", "--password-stdin"), "no account named nobody"),
        (("add", "ADA", "--password-stdin"), "already"),
        (("add", "a/b", "--password-stdin"), "1 to 32 letters"),
        (("add", "ben"), "--password-stdin"),
        (("forget", "ada"), "is there still"),
    ],
)
def test_what_cannot_be_is_a_sentence(user: Terminal, arguments: tuple[str, ...], why: str) -> None:
    add(user, "ada")
    refused = user(*arguments, said=f"{GOOD}\n")
    assert refused.exit_code == 1
    assert why in refused.stderr.replace("\n", " ")
    assert "Traceback" not in refused.output
    assert user.accounts()["ada"]["role"] == "operator"


def test_a_weak_password_or_none_makes_no_account(user: Terminal) -> None:
    assert "too short" in add(user, "ada", password="short").stderr
    assert "no password" in user("add", "ada", "--password-stdin").stderr
    assert user.accounts() == {}


@pytest.mark.parametrize(
    "change",
    [
        ("passwd", "ben", "--password-stdin"),
        ("role", "ben", "operator"),
        ("disable", "ben"),
        ("logout", "ben"),
        ("remove", "ben"),
    ],
)
def test_a_token_holds_until_the_account_changes(user: Terminal, change: tuple[str, ...]) -> None:
    add(user, "ada")
    add(user, "ben")
    token = user("token", "ben", "--label", "nightly notes").stdout.strip()
    found = user.find(token)
    assert isinstance(found, Identity)
    assert (found.id, found.role) == ("user:ben", "user")
    assert user(*change, said="saddle pillow fourteen\n").exit_code == 0
    assert user.find(token) == "ended"
    assert token not in (user.data / "people.sqlite").read_text(errors="replace")


def leave_something(data: Path, owner: str) -> None:
    async def ask() -> None:
        database = await Database.open(Settings(data_dir=data))
        message = StoredMessage("m1", "user", "Where is the key?", 1.0)
        await Threads(database).apply(Ask(owner, "t1", message))
        await database.aclose()

    asyncio.run(ask())
    store = Store(data, Fingerprint("e", 4, "s"))
    store.put_document(
        *(owner, "plan.txt"),
        origin="upload",
        sha256="0",
        size_bytes=4,
        document=LoadedDocument(text="plan", title="plan", kind="text", pages=(), headings=()),
        chunks=[Chunk(0, 4, "plan", "")],
        vectors=np.ones((1, 4), dtype=np.float32),
    )
    store.close()


def test_what_an_account_leaves_is_said_and_deleted_when_that_is_wanted(user: Terminal) -> None:
    add(user, "ada")
    add(user, "ben")
    leave_something(user.data, "user:ben")
    leave_something(user.data, "user:ada")
    removed = user("remove", "ben").stderr.replace("\n", " ")
    assert "1 chat and 1 document of theirs remain" in removed
    again = add(user, "ben")
    assert again.exit_code == 1
    assert "--take-over" in again.stderr
    assert "1 chat and 1 document deleted" in user("forget", "ben").stderr.replace("\n", " ")
    assert add(user, "ben").exit_code == 0
    leave_something(user.data, "user:ben")
    gone = user("remove", "ben", "--delete-data").stderr.replace("\n", " ")
    assert "1 chat and 1 document deleted" in gone
    assert "0 chats and 0 documents" in user("forget", "ben").stderr.replace("\n", " ")
    store = Store(user.data, Fingerprint("e", 4, "s"))
    assert [document.owner for document in store.documents(("user:ada", "user:ben"))] == [
        "user:ada"
    ]
    store.close()


def test_no_password_is_ever_an_argument() -> None:
    from xoe.cli import user as module

    for command in module.app.registered_commands:
        names = command.callback.__code__.co_varnames[: command.callback.__code__.co_argcount]
        assert "password" not in names
