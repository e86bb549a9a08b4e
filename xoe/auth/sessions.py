"""Logins: who holds which cookie, until when, and whether it was taken back."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import RowMapping, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from xoe.auth.identity import GUEST, Identity, Refusal
from xoe.db import Database, lock
from xoe.db.tables import guests, logins

_TOKEN_CHARS: Final = (20, 100)
_KNOWN_S: Final = 2.0
"""How long an answer of the database is believed: the command line may revoke a login too."""
_KNOWN_MAX: Final = 1024
_KEPT_S: Final = 7 * 24 * 3600.0
"""How long a login that is over is remembered, to say why it is refused."""
_PER_IDENTITY: Final = 50
"""Logins of one account; the oldest goes."""


@dataclass(frozen=True)
class Login:
    """One browser that is logged in, to show."""

    id: str
    identity: str
    created_at: float
    """Unix seconds, as is ``ends_at``."""
    ends_at: float
    address: str


class Sessions:
    """Gives out and looks up cookies. Only a cookie's SHA-256 is kept."""

    def __init__(self, db: Database, *, clock: Callable[[], float] = time.time) -> None:
        """``clock`` gives Unix seconds."""
        self._db = db
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, Identity | Refusal]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Identity | Refusal]] = {}
        self._changed = asyncio.Event()

    async def create(self, identity: Identity, *, ttl_s: float, address: str = "") -> str:
        """Log ``identity`` in for ``ttl_s`` seconds and return the cookie's value."""
        token, now = secrets.token_urlsafe(32), self._clock()
        async with self._db.write() as connection:
            await lock(connection, f"logins:{identity.id}")
            await connection.execute(delete(logins).where(logins.c.ends_at < now - _KEPT_S))
            mine = select(logins.c.id).where(logins.c.identity == identity.id)
            newest = mine.order_by(logins.c.created_at.desc()).limit(_PER_IDENTITY - 1)
            kept = [row.id for row in await connection.execute(newest)]
            await connection.execute(
                delete(logins).where(logins.c.identity == identity.id, logins.c.id.not_in(kept))
            )
            await connection.execute(
                insert(logins).values(
                    id=secrets.token_hex(16),
                    token_hash=_hashed(token),
                    identity=identity.id,
                    role=identity.role,
                    name=identity.name[:120],
                    may_upload=identity.may_upload,
                    created_at=now,
                    ends_at=min(now + ttl_s, identity.ends_at or now + ttl_s),
                    is_guest=identity.is_guest,
                    address=address[:64],
                )
            )
        return token

    async def find(self, token: str) -> Identity | Refusal:
        """Return who holds a cookie, or why it is refused."""
        if not _TOKEN_CHARS[0] <= len(token) <= _TOKEN_CHARS[1]:
            return "unknown"
        hashed, now = _hashed(token), time.monotonic()
        asked_at, found = self._known.get(hashed, (-_KNOWN_S, "unknown"))
        if now - asked_at >= _KNOWN_S:
            changed = self._changed
            found = await self._looked_up(hashed)
            if changed is self._changed:
                self._known[hashed] = (now, found)
                self._known.move_to_end(hashed)
            while len(self._known) > _KNOWN_MAX:
                self._known.popitem(last=False)
        return found

    async def _looked_up(self, hashed: str) -> Identity | Refusal:
        """Ask the database, once for all requests of a cookie that come meanwhile."""
        asking = self._asking.get(hashed)
        if asking is None:
            asking = self._asking[hashed] = asyncio.create_task(self._look_up(hashed))
            asking.add_done_callback(lambda task: self._forget(hashed, task))
        return await asyncio.shield(asking)

    def _forget(self, hashed: str, task: asyncio.Task[Identity | Refusal]) -> None:
        if self._asking.get(hashed) is task:
            del self._asking[hashed]
        if not task.cancelled():
            task.exception()  # who waited has it; they may all have gone

    async def revoke(self, login_id: str) -> None:
        """End one login: its cookie is refused and its sockets close."""
        await self._revoke(logins.c.id == login_id)

    async def revoke_all(self, identity_id: str) -> None:
        """End all logins of somebody."""
        await self._revoke(logins.c.identity == identity_id)

    async def of(self, identity_id: str) -> tuple[Login, ...]:
        """Return somebody's logins that hold, the latest first."""
        query = (
            select(logins)
            .where(logins.c.identity == identity_id, logins.c.revoked_at.is_(None))
            .where(logins.c.ends_at > self._clock())
            .order_by(logins.c.created_at.desc())
        )
        async with self._db.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return tuple(
            Login(row["id"], row["identity"], row["created_at"], row["ends_at"], row["address"])
            for row in rows
        )

    async def wait_for_change(self) -> None:
        """Return soon after a login was revoked here; within two seconds in any case."""
        try:
            await asyncio.wait_for(self._changed.wait(), _KNOWN_S)
        except TimeoutError:
            return

    def look_again(self) -> None:
        """Believe nothing that is known: another process has changed something just now."""
        self._known.clear()
        self._asking.clear()
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _revoke(self, which: Any) -> None:
        async with self._db.write() as connection:
            await _end(connection, which, self._clock())
        self.look_again()

    async def _look_up(self, hashed: str) -> Identity | Refusal:
        async with self._db.read() as connection:
            # A guest's login knows the guest, and the guest knows the invitation.
            came_by = logins.outerjoin(guests, logins.c.identity == GUEST + guests.c.id)
            query = (
                select(logins, guests.c.invitation)
                .select_from(came_by)
                .where(logins.c.token_hash == hashed)
            )
            row = (await connection.execute(query)).mappings().first()
        if row is None:
            return "unknown"
        if row["revoked_at"] is not None:
            return "ended"
        now = self._clock()
        # A clock that was set back must not make a login live longer than it was given.
        if now >= row["ends_at"] or now < row["created_at"] - _CLOCK_SLACK_S:
            return "expired"
        return _identity(row)


_CLOCK_SLACK_S: Final = 300.0


async def end_logins(
    connection: AsyncConnection, identity_id: str, *, but: str | None = None
) -> None:
    """End all logins of somebody, except the one with the id ``but``, in a transaction.

    For a change after which they must not hold. ``Sessions.look_again`` is to be called after it.
    """
    which = logins.c.identity == identity_id
    await _end(connection, which if but is None else which & (logins.c.id != but), time.time())


async def _end(connection: AsyncConnection, which: Any, now: float) -> None:
    still = logins.c.revoked_at.is_(None)
    await connection.execute(update(logins).where(which, still).values(revoked_at=now))


def _identity(row: RowMapping) -> Identity:
    return Identity(
        id=row["identity"],
        role=row["role"],
        name=row["name"],
        may_upload=row["may_upload"],
        ends_at=row["ends_at"] if row["is_guest"] else None,
        login=row["id"],
        invitation=row["invitation"],
    )


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
