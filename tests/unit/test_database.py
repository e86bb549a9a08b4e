"""The database of people and chats."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest
from postgres import Postgres
from pydantic import SecretStr
from sqlalchemy import insert, select, text

from core.errors import SettingsError, StoreDamagedError, StoreError
from core.settings import Settings
from xoe.auth.users import Users
from xoe.chats.store import Threads
from xoe.db import Database, schema, tables
from xoe.db.database import FILE_NAME
from xoe.db.schema import Change
from xoe.db.unfinished import Unfinished, note, strike, unfinished

VERSIONS = tables.schema_version


def settings(folder: Path, **more: object) -> Settings:
    return Settings(data_dir=folder, **more)


async def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    database = await Database.open(settings(tmp_path / "data"))
    await database.aclose()
    assert stat.S_IMODE((tmp_path / "data" / FILE_NAME).stat().st_mode) == 0o600


async def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    database = await Database.open(settings(tmp_path))
    with pytest.raises(RuntimeError):
        async with database.write() as connection:
            await connection.execute(text("UPDATE schema_version SET version = 0"))
            raise RuntimeError
    async with database.read() as connection:
        assert (await connection.execute(select(VERSIONS.c.version))).scalar() == 1 + len(
            schema.STEPS
        )
    await database.aclose()


async def test_writers_wait_for_each_other(tmp_path: Path) -> None:
    """Twenty read-then-write transactions at once: each sees what the one before it wrote."""
    database = await Database.open(settings(tmp_path))
    async with database.write() as connection:
        await connection.execute(text("CREATE TABLE counts (n INTEGER)"))
        await connection.execute(text("INSERT INTO counts VALUES (0)"))

    async def add() -> None:
        async with database.write() as connection:
            n = (await connection.execute(text("SELECT n FROM counts"))).scalar_one()
            await asyncio.sleep(0.001)
            await connection.execute(text("UPDATE counts SET n = :n"), {"n": n + 1})

    await asyncio.gather(*(add() for _ in range(20)))
    async with database.read() as connection:
        assert (await connection.execute(text("SELECT n FROM counts"))).scalar() == 20
    await database.aclose()


async def test_a_newer_form_is_refused_and_left_alone(tmp_path: Path) -> None:
    database = await Database.open(settings(tmp_path))
    async with database.write() as connection:
        await connection.execute(text("UPDATE schema_version SET version = 99"))
    await database.aclose()
    with pytest.raises(StoreError, match="newer Xoe-NovAi"):
        await Database.open(settings(tmp_path))
    with sqlite3.connect(tmp_path / FILE_NAME) as plain:
        assert plain.execute("SELECT version FROM schema_version").fetchone() == (99,)


FIRST = Path(__file__).parent.parent / "people_version_1.sql"


def first_version(folder: Path) -> None:
    """Write the file as the first version left it."""
    with sqlite3.connect(folder / FILE_NAME) as plain:
        plain.executescript(FIRST.read_text())


async def test_the_first_versions_file_is_opened_and_all_of_it_is_there(tmp_path: Path) -> None:
    first_version(tmp_path)
    database = await Database.open(settings(tmp_path))
    [account] = await Users(database).list()
    assert (account.name, account.role) == ("anna", "operator")
    page = await Threads(database).page("user:anna", limit=9, search="descaled")
    assert [found.name for found in page.threads] == ["Coffee"]
    async with database.read() as connection:
        begun = await unfinished(connection)
        outcomes = (await connection.execute(select(tables.messages.c.outcome))).scalars().all()
    assert begun == [Unfinished("transfer", "visitor:1", name="user:anna")]
    assert set(outcomes) == {""}, "what an answer of the first version was is not known"
    await database.aclose()


def step(statement: str, table: str = "users") -> tuple[Change, ...]:
    return (Change(table, {"sqlite": (statement,), "postgresql": (statement,)}),)


QUOTA = "ALTER TABLE users ADD COLUMN quota INTEGER NOT NULL DEFAULT 7"


@pytest.fixture(params=["sqlite", "postgresql"])
async def old(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """A database of version 1 in which there is an account."""
    monkeypatch.setattr(schema, "STEPS", [])
    if request.param == "sqlite":
        first_version(tmp_path)
        return settings(tmp_path)
    server = request.getfixturevalue("postgres")
    url = SecretStr(server.database(f"steps_{secrets.token_hex(6)}"))
    made = settings(tmp_path, database_url=url)
    database = await Database.open(made)
    async with database.write() as connection:
        rows = "INSERT INTO users VALUES ('anna', 'Anna', 'operator', 'hash', 1, false)"
        await connection.execute(text(rows))
    await database.aclose()
    return made


async def found(where: Settings, query: str) -> list[tuple[Any, ...]]:
    database = await Database.open(where)
    async with database.read() as connection:
        rows = [tuple(row) for row in (await connection.execute(text(query))).all()]
    await database.aclose()
    return rows


async def test_each_step_is_taken_once_and_in_order(
    old: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "STEPS", [step(QUOTA)])
    assert await found(old, "SELECT name, quota FROM users") == [("anna", 7)]
    later = [step("UPDATE users SET quota = quota * 2"), step("UPDATE users SET quota = quota + 1")]
    elsewhere = step("UPDATE not_there SET quota = 1", "not_there")
    monkeypatch.setattr(schema, "STEPS", [step(QUOTA), *later, elsewhere])
    for _ in range(2):
        assert await found(old, "SELECT quota FROM users") == [(15,)]
        assert await found(old, "SELECT version FROM schema_version") == [(5,)]


async def test_a_step_that_fails_leaves_all_as_it_was(
    old: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "STEPS", [step(QUOTA), step("UPDATE users SET nothing = 1")])
    with pytest.raises(StoreError):
        await Database.open(old)
    monkeypatch.setattr(schema, "STEPS", [])
    assert await found(old, "SELECT version FROM schema_version") == [(1,)]
    monkeypatch.setattr(schema, "STEPS", [step(QUOTA)])
    assert await found(old, "SELECT quota FROM users") == [(7,)]


async def test_two_servers_that_start_at_once_take_a_step_once(
    old: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "STEPS", [step(QUOTA), step("UPDATE users SET quota = quota + 1")])
    for database in await asyncio.gather(*(Database.open(old) for _ in range(4))):
        await database.aclose()
    assert await found(old, "SELECT quota FROM users") == [(8,)]


async def test_a_damaged_file_is_said_and_kept(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database" * 500)
    with pytest.raises(StoreDamagedError, match="damaged"):
        await Database.open(settings(tmp_path))
    assert (tmp_path / FILE_NAME).read_bytes() == b"this is no database" * 500


@pytest.mark.parametrize("url", ["mysql://me@host/x", "nonsense", "sqlite:///elsewhere.db"])
async def test_another_kind_of_url_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError, match="postgresql://"):
        await Database.open(settings(tmp_path, database_url=SecretStr(url)))


async def test_a_server_that_is_down_is_a_sentence(tmp_path: Path) -> None:
    url = SecretStr("postgresql://me:secret@127.0.0.1:9/xoe")
    with pytest.raises(StoreError, match="cannot be reached") as raised:
        await Database.open(settings(tmp_path, database_url=url))
    assert "secret" not in str(raised.value)


async def test_a_second_row_for_the_version_is_impossible(tmp_path: Path) -> None:
    database = await Database.open(settings(tmp_path))
    with pytest.raises(StoreError):
        async with database.write() as connection:
            await connection.execute(insert(VERSIONS).values(only=2, version=1))
    await database.aclose()


async def test_servers_on_one_postgresql_do_not_take_each_others_notes_for_their_own(
    tmp_path: Path, postgres: Postgres
) -> None:
    """Each has documents of its own: what one has to delete, the other cannot."""
    url = SecretStr(postgres.database(f"homes_{secrets.token_hex(6)}"))
    task = Unfinished("document", "user:anna", name="plan.pdf")
    for folder, expected in (("a", [task]), ("b", []), ("a", [task])):
        settings = Settings(data_dir=tmp_path / folder, database_url=url)
        database = await Database.open(settings)
        async with database.write() as connection:
            if expected:
                await note(connection, task)
            else:
                assert not await strike(connection, task)
            assert await unfinished(connection) == expected
        await database.aclose()
