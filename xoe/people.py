"""Who may come in: the database, logins, invitations and the secret; and what needs none of it.

Where there are no accounts, that is all a first page has to know, and it is found out without the
database's library, which takes longer to load than the page.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from accounts.identity import Identity
from accounts.secret import server_secret
from core.settings import PEOPLE_FILE, Settings

if TYPE_CHECKING:
    from accounts.desk import LoginDesk
    from accounts.invitations import Invitations
    from accounts.sessions import Sessions
    from accounts.users import Users
    from database import Database
    from threads.links import Links
    from threads.store import Threads

CONSOLE = Identity("console", "operator", "Console")
"""The command line of whoever may read the data folder."""


class Doorkeeper(Protocol):
    """What is asked about each request."""

    @property
    def console_token(self) -> str:
        """What the command line sends; new at each start, and in the data folder meanwhile."""

    async def any_account(self) -> bool:
        """Return whether there is an account, so that everybody has to log in."""

    async def people(self) -> People:
        """Return who may come in, when it is known."""


@dataclass(frozen=True)
class People:
    """Those who may come in."""

    db: Database
    users: Users
    sessions: Sessions
    desk: LoginDesk
    invitations: Invitations
    threads: Threads
    links: Links
    secret: str

    @classmethod
    async def open(cls, settings: Settings) -> People:
        """Open the database. Raises ``StoreError`` or ``SettingsError`` with what to do."""
        await asyncio.to_thread(_load_libraries)
        from accounts.desk import LoginDesk
        from accounts.invitations import Invitations
        from accounts.sessions import Sessions
        from accounts.users import Users
        from database import Database
        from threads.links import Links
        from threads.store import Threads

        secret = await asyncio.to_thread(server_secret, settings.data_dir)
        db = await Database.open(settings)
        sessions, users = Sessions(db), Users(db)
        return cls(
            db=db,
            users=users,
            sessions=sessions,
            desk=LoginDesk(users, sessions, secret),
            invitations=Invitations(db, sessions, secret),
            threads=Threads(db),
            links=Links(db),
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


def _load_libraries() -> None:
    """Import what takes long in a thread, so that requests are served meanwhile."""
    import threads.links  # noqa: F401 - so that its table is made too
