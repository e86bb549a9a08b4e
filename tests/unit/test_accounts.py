"""Accounts: the same promises on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from core.errors import AccountError, LoginError, StoreError, WeakPasswordError
from core.settings import Settings
from xoe.auth.login import LoginService
from xoe.auth.passwords import Passwords
from xoe.auth.sessions import Sessions
from xoe.auth.users import MAX_ACCOUNTS, Account, Users, normalised, users
from xoe.db import Database
from xoe.db.unfinished import Unfinished, unfinished

GOOD = "kettle orbit lantern"
OTHER = "saddle pillow fourteen"


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    settings = Settings(data_dir=tmp_path)
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").database(f"accounts_{secrets.token_hex(6)}")
        settings = Settings(data_dir=tmp_path, database_url=url)
    database = await Database.open(settings)
    yield database
    await database.aclose()


@pytest.fixture
def accounts(database: Database) -> Users:
    return Users(database, Passwords(memory_kib=64, passes=1))


async def test_the_first_account_is_an_operator_and_the_others_are_users(accounts: Users) -> None:
    assert not await accounts.any_account()
    with pytest.raises(AccountError, match="must be an operator"):
        await accounts.add("ada", GOOD, role="user")
    ada = await accounts.add(" Ada ", GOOD, shown="Ada  L.\x00\u202e")
    assert (ada.name, ada.shown, ada.role, ada.id) == ("ada", "Ada L.", "operator", "user:ada")
    assert await accounts.any_account()
    assert (await accounts.add("ben", GOOD)).role == "user"
    assert (await accounts.add("cy", GOOD, role="guest")).identity().is_guest
    assert [account.name for account in await accounts.list()] == ["ada", "ben", "cy"]


async def test_a_name_is_taken_in_whatever_letters(accounts: Users) -> None:
    await accounts.add("ada", GOOD)
    for name in ("ADA", "ａｄａ", " ada "):
        with pytest.raises(AccountError, match="already"):
            await accounts.add(name, GOOD)


@pytest.mark.parametrize(
    "name",
    ["", "a/b", "../a", ".", "-rf", "a" * 33, "a b", "а", "a\x00", "user:ada", "é", "_"],
)
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(AccountError, match="1 to 32 letters"):
        normalised(name)


async def test_an_operator_always_remains(accounts: Users) -> None:
    await accounts.add("ada", GOOD)
    for attempt in (
        accounts.remove("ada"),
        accounts.set_role("ada", "user"),
        accounts.set_disabled("ada", True),
    ):
        with pytest.raises(AccountError, match="only operator"):
            await attempt
    await accounts.add("ben", GOOD, role="operator")
    await accounts.set_disabled("ben", True)
    with pytest.raises(AccountError, match="only operator"):  # one who is off does not count
        await accounts.remove("ada")
    await accounts.set_disabled("ben", False)
    await accounts.remove("ada")
    assert [account.name for account in await accounts.list()] == ["ben"]


async def test_two_operators_cannot_remove_each_other_at_once(accounts: Users) -> None:
    for _ in range(5):
        await accounts.add("ada", GOOD, role="operator")
        if await accounts.find("ben") is None:
            await accounts.add("ben", GOOD, role="operator")
        ended = await asyncio.gather(
            accounts.remove("ada"), accounts.remove("ben"), return_exceptions=True
        )
        assert sum(isinstance(one, AccountError) for one in ended) == 1
        left = await accounts.list()
        assert len(left) == 1
        if left[0].name == "ada":
            await accounts.add("ben", GOOD, role="operator")
            await accounts.remove("ada")


async def test_a_password_is_verified_and_only_its_hash_kept(
    accounts: Users, database: Database
) -> None:
    await accounts.add("ada", GOOD)
    assert (await accounts.verify("ADA", GOOD)).name == "ada"
    for name, password in (("ada", GOOD + "x"), ("nobody", GOOD), ("a/b", GOOD), ("ada", "")):
        with pytest.raises(LoginError, match="name or the password is wrong"):
            await accounts.verify(name, password)
    with pytest.raises(LoginError):
        await accounts.verify("ada", GOOD + "x" * 100_000)
    async with database.read() as connection:
        kept = (await connection.execute(select(users.c.password))).scalar_one()
    assert kept.startswith("$argon2id$")
    assert GOOD not in kept


async def test_a_password_typed_on_another_keyboard_is_the_same(accounts: Users) -> None:
    await accounts.add("ada", "cafe\u0301 orbit lantern")
    assert await accounts.verify("ada", "caf\u00e9 orbit lantern")


async def test_a_change_of_costs_rehashes_at_the_next_login(
    accounts: Users, database: Database
) -> None:
    await accounts.add("ada", GOOD)
    dearer = Users(database, Passwords(memory_kib=128, passes=2))
    assert await dearer.verify("ada", GOOD)
    async with database.read() as connection:
        kept = (await connection.execute(select(users.c.password))).scalar_one()
    assert "m=128,t=2" in kept
    assert await accounts.verify("ada", GOOD)


async def test_who_is_switched_off_is_told_so_only_with_the_password(accounts: Users) -> None:
    await accounts.add("ada", GOOD)
    await accounts.add("ben", GOOD)
    await accounts.set_disabled("ben", True)
    with pytest.raises(LoginError, match="switched off"):
        await accounts.verify("ben", GOOD)
    with pytest.raises(LoginError, match="wrong"):
        await accounts.verify("ben", OTHER)
    await accounts.set_disabled("ben", False)
    assert await accounts.verify("ben", GOOD)


@pytest.mark.parametrize(
    ("change", "is_kept"),
    [
        (lambda accounts, _: accounts.remove("ada"), False),
        (lambda accounts, _: accounts.set_role("ada", "user"), False),
        (lambda accounts, _: accounts.set_disabled("ada", True), False),
        (lambda accounts, _: accounts.set_password("ada", OTHER), False),
        (lambda accounts, mine: accounts.set_password("ada", OTHER, but=mine), True),
    ],
)
async def test_a_change_ends_the_logins_or_does_not_happen(
    accounts: Users,
    database: Database,
    change: Callable[[Users, str], Awaitable[Account]],
    is_kept: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sessions = Sessions(database)
    ada = await accounts.add("ada", GOOD)
    await accounts.add("ben", GOOD, role="operator")
    tokens = [await sessions.create(ada.identity(), ttl_s=3600) for _ in range(2)]
    mine, other = [found.id for found in reversed(await sessions.of(ada.id))]

    def cut_off(*_: object, **__: object) -> None:
        raise RuntimeError("the server was killed here")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError):
        patched.setattr("xoe.auth.users.end_logins", cut_off)
        await change(accounts, mine)
    assert await accounts.verify("ada", GOOD) == ada
    assert {login.id for login in await sessions.of(ada.id)} == {mine, other}

    await change(accounts, mine)
    assert [login.id for login in await sessions.of(ada.id)] == ([mine] if is_kept else [])
    sessions.look_again()
    assert await sessions.find(tokens[1]) == "ended"


async def test_a_new_password_takes_the_place_of_the_old_one(accounts: Users) -> None:
    await accounts.add("ada", GOOD)
    with pytest.raises(WeakPasswordError):
        await accounts.set_password("ada", "short")
    with pytest.raises(AccountError, match="no account named ben"):
        await accounts.set_password("ben", OTHER)
    await accounts.set_password("ada", OTHER)
    with pytest.raises(LoginError):
        await accounts.verify("ada", GOOD)
    assert await accounts.verify("ada", OTHER)


async def test_an_account_that_goes_while_it_logs_in_gets_no_login(
    accounts: Users, database: Database
) -> None:
    await accounts.add("ada", GOOD)
    await accounts.add("ben", GOOD)
    sessions = Sessions(database)
    create = sessions.create

    async def created(*arguments, **options) -> str:
        await accounts.remove("ben")
        return await create(*arguments, **options)

    sessions.create = created
    with pytest.raises(LoginError, match="changed just now"):
        await LoginService(accounts, sessions, "s" * 64).log_in("ben", GOOD, address="192.0.2.1")
    assert await sessions.of("user:ben") == ()


async def test_a_role_that_a_hand_has_written_is_not_believed(
    accounts: Users, database: Database
) -> None:
    await accounts.add("ada", GOOD)
    with pytest.raises(StoreError):
        async with database.write() as connection:
            await connection.execute(update(users).values(role="root"))
    with pytest.raises(AccountError, match="no role"):
        await accounts.set_role("ada", "root")  # type: ignore[arg-type]


async def test_there_are_so_many_accounts_and_no_more(accounts: Users, database: Database) -> None:
    await accounts.add("ada", GOOD)
    series = {
        "sqlite": "WITH RECURSIVE s(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM s WHERE n < :most)",
        "postgresql": "WITH s AS (SELECT generate_series(2, :most) AS n)",
    }[database.dialect]
    off = {"sqlite": "0", "postgresql": "false"}[database.dialect]
    insert = (
        f"INSERT INTO users(name, shown, role, password, created_at, disabled) {series}"
        f" SELECT 'u' || n, 'U', 'user', '', 0, {off} FROM s"
    )
    async with database.write() as connection:
        await connection.execute(text(insert), {"most": MAX_ACCOUNTS})
    with pytest.raises(AccountError, match="may be no more"):
        await accounts.add("ben", GOOD)


async def test_what_is_to_go_is_noted_with_the_account_and_kept_for_one_of_that_name(
    accounts: Users, database: Database
) -> None:
    async def left() -> list[Unfinished]:
        async with database.read() as connection:
            return await unfinished(connection)

    await accounts.add("ada", GOOD)
    for with_data in (False, True):
        await accounts.add("ben", GOOD)
        await accounts.remove("ben", with_data=with_data)
        assert await left() == [Unfinished("owner", "user:ben")] * with_data
    await accounts.add("ben", GOOD)
    assert await left() == []
