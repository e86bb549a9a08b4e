"""What the doors need to know who is who: the database, logins, invitations and the secret."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass

from accounts.desk import LoginDesk
from accounts.identity import Identity
from accounts.invitations import Invitations
from accounts.secret import server_secret
from accounts.sessions import Sessions
from accounts.users import Users
from database import Database
from threads.store import Threads
from xoe.settings import Settings

CONSOLE = Identity("console", "operator", "Console")
"""The command line of whoever may read the data folder."""


@dataclass(frozen=True)
class People:
    """Those who may come in. Made before the engines, since the page is served before them."""

    db: Database
    users: Users
    sessions: Sessions
    desk: LoginDesk
    invitations: Invitations
    threads: Threads
    secret: str
    console_token: str
    """What the command line sends; new at each start, and in the data folder meanwhile."""

    @classmethod
    async def open(cls, settings: Settings) -> People:
        """Open the database. Raises ``StoreError`` or ``SettingsError`` with what to do."""
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
            secret=secret,
            console_token=secrets.token_urlsafe(32),
        )

    async def aclose(self) -> None:
        """Close the database."""
        self.users.close()
        await self.db.aclose()
