"""Read-only links to a chat, or to one answer of it, as it was when the link was made.

What is written later is not shown by it: the page is made once and kept. Of the link's token only
a hash is kept, so that who reads the database cannot open what was shared. A link goes with its
chat when that is deleted.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import delete, insert, select

from core.errors import LinkError
from xoe.chats.rows import number_of
from xoe.chats.types import LINK_DAYS
from xoe.db import Database, lock, tables
from xoe.db.tables import links

MAX_DAYS: Final = 90.0
MAX_LINKS: Final = 100
"""Of one owner, at a time."""
MAX_PAGE_CHARS: Final = 2_000_000
_DAY_S: Final = 24 * 3600.0
_CLOCK_SLACK_S: Final = 300.0
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{32}")
_TOKEN_BYTES: Final = 24


@dataclass(frozen=True)
class SharedLink:
    """A link, without its token, which nobody knows any more but who has it."""

    id: str
    name: str
    """Of what is shown."""
    thread: str
    message: str | None
    """The answer that is shown; ``None``: the whole chat."""
    created_at: float
    """Seconds since 1970, as is ``ends_at``."""
    ends_at: float


class Links:
    """Makes links, shows what they lead to, and takes them back."""

    def __init__(self, db: Database, *, clock: Callable[[], float] = time.time) -> None:
        """Keep them in ``db``; ``clock`` gives seconds since 1970."""
        self._db = db
        self._clock = clock

    async def create(
        self,
        owner: str,
        thread_id: str,
        page: str,
        *,
        name: str,
        message: str | None = None,
        days: float = LINK_DAYS,
    ) -> tuple[SharedLink, str]:
        """Return a new link to ``page`` and its token.

        Raises ``LinkError`` when ``owner`` has no such chat, has too many links already, or when
        the page is too long or the time out of bounds.
        """
        if not 1 / 1440 <= days <= MAX_DAYS:
            raise LinkError(f"A link lasts from a minute to {MAX_DAYS:.0f} days.")
        if len(page) > MAX_PAGE_CHARS:
            raise LinkError(
                "This chat is too long for a link. Share one answer, or export it as a file."
            )
        now, token = self._clock(), secrets.token_urlsafe(_TOKEN_BYTES)
        row: dict[str, Any] = {
            "id": secrets.token_hex(16),
            "token_hash": _hash(token),
            "message": message,
            "name": name,
            "page": page,
            "created_at": now,
            "ends_at": now + days * _DAY_S,
        }
        async with self._db.write() as connection:
            await lock(connection, f"links:{owner}")
            await connection.execute(delete(links).where(links.c.ends_at <= now))
            number = await number_of(connection, owner, thread_id)
            if number is None:
                raise LinkError("There is no such chat of yours, or it is not saved yet.")
            if len((await connection.execute(_of(owner))).all()) >= MAX_LINKS:
                raise LinkError(
                    f"You have {MAX_LINKS} links already. Take one back to make another."
                )
            await connection.execute(insert(links).values(thread=number, **row))
        link = SharedLink(row["id"], name, thread_id, message, now, row["ends_at"])
        return link, token

    async def page(self, token: str) -> str | None:
        """Return what a link shows; ``None`` for one that is unknown, has ended or was taken back.

        All of these are one question to the database, so that none is told from another.
        """
        now = self._clock()
        wanted = token if _TOKEN.fullmatch(token) else ""
        found = select(links.c.page).where(
            links.c.token_hash == _hash(wanted),
            links.c.ends_at > now,
            # With a clock that was set back a link would last longer than was meant.
            links.c.created_at <= now + _CLOCK_SLACK_S,
        )
        async with self._db.read() as connection:
            page: str | None = (await connection.execute(found)).scalar()
        return page

    async def list(self, owner: str) -> tuple[SharedLink, ...]:
        """Return the links of ``owner`` that still lead somewhere, the latest first."""
        query = _of(owner).where(links.c.ends_at > self._clock())
        async with self._db.read() as connection:
            rows = (await connection.execute(query.order_by(links.c.created_at.desc()))).all()
        return tuple(
            SharedLink(row.id, row.name, row.thread_id, row.message, row.created_at, row.ends_at)
            for row in rows
        )

    async def revoke(self, owner: str, link_id: str) -> bool:
        """Take a link of ``owner`` back; return whether there was one of that id."""
        theirs = select(tables.threads.c.number).where(tables.threads.c.owner == owner)
        gone = delete(links).where(links.c.id == link_id, links.c.thread.in_(theirs))
        async with self._db.write() as connection:
            return (await connection.execute(gone)).rowcount > 0


def _of(owner: str) -> Any:
    wanted = (links.c.id, links.c.name, links.c.message, links.c.created_at, links.c.ends_at)
    return (
        select(*wanted, tables.threads.c.id.label("thread_id"))
        .join(tables.threads, tables.threads.c.number == links.c.thread)
        .where(tables.threads.c.owner == owner)
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
