"""Who may come in: users, logins, invitations and the secret; and what needs none of it.

Where there are no accounts, that is all a first page has to know, and it is found out without the
database's library, which takes longer to load than the page.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from core.settings import PEOPLE_FILE, Settings
from xoe.auth.identity import Identity
from xoe.auth.secret import server_secret

if TYPE_CHECKING:
    from xoe.auth.invitations import Invitations
    from xoe.auth.login import LoginService
    from xoe.auth.sessions import Sessions
    from xoe.auth.users import Users
    from xoe.db import Database

CONSOLE = Identity("console", "operator", "Console")
"""The command line of whoever may read the data folder."""


class AuthProvider(Protocol):
    """What is asked about each request."""

    @property
    def console_token(self) -> str:
        """What the command line sends; new at each start, and in the data folder meanwhile."""

    async def any_account(self) -> bool:
        """Return whether there is an account, so that everybody has to log in."""

    async def auth(self) -> AuthServices:
        """Return who may come in, when it is known."""


@dataclass(frozen=True)
class AuthServices:
    """Accounts, logins and invitations, in one database, which is opened for them."""

    db: Database
    users: Users
    sessions: Sessions
    login: LoginService
    invitations: Invitations
    secret: str

    @classmethod
    async def open(cls, settings: Settings) -> AuthServices:
        """Open the database. Raises ``StoreError`` or ``SettingsError`` with what to do."""
        # What takes long is imported in a thread, so that requests are served meanwhile.
        await asyncio.to_thread(import_module, "xoe.auth.login")
        from xoe.auth.invitations import Invitations
        from xoe.auth.login import LoginService
        from xoe.auth.sessions import Sessions
        from xoe.auth.users import Users
        from xoe.db import Database

        secret = await asyncio.to_thread(server_secret, settings.data_dir)
        db = await Database.open(settings)
        sessions, users = Sessions(db), Users(db)
        return cls(
            db=db,
            users=users,
            sessions=sessions,
            login=LoginService(users, sessions, secret),
            invitations=Invitations(db, sessions, secret),
            secret=secret,
        )

    async def aclose(self) -> None:
        """Close the database."""
        self.users.close()
        await self.db.aclose()


def is_without_accounts(settings: Settings) -> bool:
    """Return whether there is certainly no account: true only where SQLite itself says so.

    Blocking, a millisecond.
    """
    path = settings.data_dir / PEOPLE_FILE
    if settings.database_url is not None:
        return False
    try:
        if not path.exists():
            return True
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            tables = "SELECT 1 FROM sqlite_master WHERE name = 'users'"
            if database.execute(tables).fetchone() is None:
                return True
            return database.execute("SELECT 1 FROM users LIMIT 1").fetchone() is None
    except (OSError, sqlite3.Error):
        return False
