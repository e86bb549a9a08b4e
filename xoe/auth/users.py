"""The accounts: who they are, what they may, and the hash of each one's password."""

from __future__ import annotations

import asyncio
import re
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, cast

from sqlalchemy import (
    Row,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import AccountError, LoginError, StoreError
from xoe.auth import strength
from xoe.auth.identity import USER, Identity, Role
from xoe.auth.passwords import Passwords
from xoe.auth.sessions import end_logins
from xoe.db import Database, lock
from xoe.db.tables import users
from xoe.db.unfinished import Unfinished, note, strike

ROLES: Final[tuple[Role, ...]] = ("operator", "user", "guest")
MAX_ACCOUNTS: Final = 1000
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
_SHOWN_MAX: Final = 60
_FRESH_S: Final = 2.0
"""How long it is known whether there is any account: the command line may make the first one."""

_WRONG: Final = "The name or the password is wrong."
_LAST: Final = "is the only operator. Make somebody else one first: xoe user role NAME operator"


@dataclass(frozen=True)
class Account:
    """Somebody who may log in."""

    name: str
    shown: str
    """The name to show."""
    role: Role
    created_at: float
    """Unix seconds."""
    disabled: bool = False

    @property
    def id(self) -> str:
        """The owner of what is theirs."""
        return f"{USER}{self.name}"

    def identity(self) -> Identity:
        """Return who this is, once they have logged in."""
        return Identity(self.id, self.role, self.shown)


def normalised(name: str) -> str:
    """Return an account's name in the one form in which it is kept.

    Raises ``AccountError`` for one that cannot be a name.
    """
    text = unicodedata.normalize("NFKC", name[:200]).strip().lower()
    if not _NAME.fullmatch(text):
        raise AccountError(
            "An account's name has 1 to 32 letters from a to z, digits, dots, dashes and "
            "underscores, and begins with a letter or a digit."
        )
    return text


class Users:
    """The accounts of one database."""

    def __init__(
        self,
        database: Database,
        passwords: Passwords | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``clock`` returns seconds."""
        self._database = database
        self._passwords = passwords or Passwords()
        self._clock = clock
        self._any: tuple[float, bool] | None = None

    async def any_account(self) -> bool:
        """Return whether there is an account; known for two seconds, so cheap for each request.

        Once there was one there is always one: the last operator cannot be removed.
        """
        if self._any is not None and (self._any[1] or self._clock() - self._any[0] < _FRESH_S):
            return self._any[1]
        async with self._database.read() as connection:
            found = (await connection.execute(select(users.c.name).limit(1))).first() is not None
        self._any = (self._clock(), found)
        return found

    async def add(
        self, name: str, password: str, *, role: Role | None = None, shown: str | None = None
    ) -> Account:
        """Make an account; without ``role`` the first one is an operator, and all others users.

        Raises ``AccountError`` when there is one of that name, or the first is to be no operator,
        ``WeakPasswordError``.
        """
        name = normalised(name)
        if role is not None:
            _check_role(role)
        await asyncio.to_thread(strength.check, password, name=name)
        hashed = await self._passwords.hash(password)
        async with self._database.write() as connection:
            await lock(connection, "users")
            count = (await connection.execute(select(func.count()).select_from(users))).scalar_one()
            if count >= MAX_ACCOUNTS:
                raise AccountError(f"There are {MAX_ACCOUNTS} accounts; there may be no more.")
            if count == 0 and role not in (None, "operator"):
                raise AccountError(
                    "The first account must be an operator, or nobody could run the server: "
                    f"xoe user add {name} --role operator"
                )
            if await _find(connection, name) is not None:
                raise AccountError(f"There is an account named {name} already.")
            account = Account(
                name, _shown(shown, name), role or ("user" if count else "operator"), time.time()
            )
            await connection.execute(
                insert(users).values(
                    name=name,
                    shown=account.shown,
                    role=account.role,
                    password=hashed,
                    created_at=account.created_at,
                    disabled=False,
                )
            )
            # What an earlier account of that name has left is this one's, and does not go.
            await strike(connection, Unfinished("owner", account.id), anywhere=True)
        self._any = (self._clock(), True)
        return account

    async def list(self) -> tuple[Account, ...]:
        """Return all accounts, by name."""
        async with self._database.read() as connection:
            rows = await connection.execute(select(users).order_by(users.c.name))
            return tuple(_account(row) for row in rows)

    async def find(self, name: str) -> Account | None:
        """Return an account, if there is one of that name."""
        async with self._database.read() as connection:
            row = await _find(connection, normalised(name))
        return None if row is None else _account(row)

    async def get(self, name: str) -> Account:
        """Return an account. Raises ``AccountError`` when there is none."""
        account = await self.find(name)
        if account is None:
            raise _none(normalised(name))
        return account

    async def remove(self, name: str, *, with_data: bool = False) -> Account:
        """Remove an account, end its logins, and return what it was.

        What belongs to it is left or, ``with_data``, noted as what is to go. Raises
        ``AccountError`` when there is none, or it is the only operator.
        """
        async with self._database.write() as connection:
            account = await self._changing(connection, name, stays_operator=False)
            await connection.execute(delete(users).where(users.c.name == account.name))
            await end_logins(connection, account.id)
            if with_data:
                await note(connection, Unfinished("owner", account.id))
        return account

    async def set_role(self, name: str, role: Role) -> Account:
        """Change what an account may, and end its logins. Raises as ``remove`` does."""
        _check_role(role)
        async with self._database.write() as connection:
            account = await self._changing(connection, name, stays_operator=role == "operator")
            changed = update(users).where(users.c.name == account.name)
            await connection.execute(changed.values(role=role))
            await end_logins(connection, account.id)
        return await self.get(account.name)

    async def set_disabled(self, name: str, disabled: bool) -> Account:
        """Switch an account off, which ends its logins, or on again. Raises as ``remove`` does."""
        async with self._database.write() as connection:
            account = await self._changing(connection, name, stays_operator=not disabled)
            changed = update(users).where(users.c.name == account.name)
            await connection.execute(changed.values(disabled=disabled))
            if disabled:
                await end_logins(connection, account.id)
        return await self.get(account.name)

    async def set_password(self, name: str, password: str, *, but: str | None = None) -> Account:
        """Change a password, and end the account's logins except the one with the id ``but``.

        Raises ``AccountError`` when there is no such account, ``WeakPasswordError``.
        """
        account = await self.get(name)
        await asyncio.to_thread(strength.check, password, name=account.name)
        hashed = await self._passwords.hash(password)
        async with self._database.write() as connection:
            account = await self._changing(connection, name, stays_operator=True)
            changed = update(users).where(users.c.name == account.name)
            await connection.execute(changed.values(password=hashed))
            await end_logins(connection, account.id, but=but)
        return account

    async def verify(self, name: str, password: str) -> Account:
        """Return the account whose name and password these are; as slow when there is none.

        Raises ``LoginError``; that an account is switched off is told to who knows its password.
        """
        row: Row[tuple[object, ...]] | None = None
        try:
            name = normalised(name)
        except AccountError:
            name = ""
        async with self._database.read() as connection:
            row = await _find(connection, name)
        kept = None if row is None else cast(str, row._mapping["password"])
        if not await self._passwords.matches(kept, password):
            raise LoginError(_WRONG)
        async with self._database.read() as connection:
            row = await _find(connection, name)
        if kept is None or row is None or row._mapping["password"] != kept:
            raise LoginError(_WRONG)  # changed meanwhile
        account = _account(row)
        if account.disabled:
            raise LoginError("This account is switched off. Ask who runs this server.")
        if self._passwords.is_outdated(kept):
            await self._rehash(name, password, kept)
        return account

    def close(self) -> None:
        """End the threads that hash."""
        self._passwords.close()

    async def _rehash(self, name: str, password: str, kept: str) -> None:
        hashed = await self._passwords.hash(password)
        async with self._database.write() as connection:
            changed = update(users).where(users.c.name == name, users.c.password == kept)
            await connection.execute(changed.values(password=hashed))

    async def _changing(
        self, connection: AsyncConnection, name: str, *, stays_operator: bool
    ) -> Account:
        """Return the account that is to be changed, unless it is the only operator and must stay.

        The operators' rows are locked, so that two of them cannot remove each other.
        """
        name = normalised(name)
        operators = await connection.execute(
            select(users.c.name)
            .where(users.c.role == "operator", users.c.disabled.is_(False))
            .order_by(users.c.name)
            .with_for_update()
        )
        names = set(operators.scalars())
        row = await _find(connection, name)
        if row is None:
            raise _none(name)
        if names == {name} and not stays_operator:
            raise AccountError(f"{name} {_LAST}")
        return _account(row)


async def _find(connection: AsyncConnection, name: str) -> Row[tuple[object, ...]] | None:
    return (await connection.execute(select(users).where(users.c.name == name))).first()


def _account(row: Row[tuple[object, ...]]) -> Account:
    found = row._mapping
    if found["role"] not in ROLES:  # a hand in the database
        raise StoreError(f"The account {found['name']} has a role that is unknown here.")
    return Account(
        name=found["name"],
        shown=found["shown"],
        role=found["role"],
        created_at=found["created_at"],
        disabled=bool(found["disabled"]),
    )


def _shown(shown: str | None, name: str) -> str:
    text = unicodedata.normalize("NFKC", shown or name)
    kept = "".join(c for c in text if unicodedata.category(c)[0] != "C")
    return " ".join(kept.split())[:_SHOWN_MAX] or name


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise AccountError(f"There is no role {role[:20]!r}. There are {', '.join(ROLES)}.")


def _none(name: str) -> AccountError:
    return AccountError(f"There is no account named {name}. See: xoe user list")
