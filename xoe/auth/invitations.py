"""Invitations: links that let a number of guests in, for a while, for some things only."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from itsdangerous import BadData, URLSafeSerializer
from sqlalchemy import RowMapping, delete, func, insert, select, update

from core.errors import InvitationError
from xoe.auth.identity import GUEST, Identity
from xoe.auth.sessions import Sessions
from xoe.db import Database, lock
from xoe.db.tables import guests, invitations

Scope = Literal["ask", "upload"]
"""``upload``: ask, and add documents of one's own."""

MAX_HOURS: Final = 24 * 7
MAX_GUESTS: Final = 50
_TOKEN_CHARS: Final = 500
_CLOCK_SLACK_S: Final = 300.0
_KEPT_S: Final = 30 * 24 * 3600.0
_SALT: Final = "invitation"

_CHANGED: Final = "This invitation was changed or is incomplete. Please ask for the whole link."
_OVER: Final = "This invitation has ended. Please ask whoever gave it to you for a new one."
_REVOKED: Final = "This invitation was taken back by whoever gave it."
_FULL: Final = "This invitation is for {n}, and all of them have come already."


@dataclass(frozen=True)
class Invitation:
    """What a link allows."""

    id: str
    scope: Scope
    created_at: float
    """Unix seconds, as is ``ends_at``."""
    ends_at: float
    max_guests: int
    made_by: str
    is_revoked: bool
    token: str
    """Signed; what follows ``/invitation/`` in the link."""

    @property
    def lasts_s(self) -> float:
        """Seconds from its making to its end."""
        return self.ends_at - self.created_at


@dataclass(frozen=True)
class Guest:
    """Somebody who came by an invitation."""

    id: str
    """As in the identity's id, without ``guest:``."""
    invitation: str
    number: int
    """From 1, in the order in which they came."""
    came_at: float
    ended_at: float | None

    @property
    def identity_id(self) -> str:
        """The owner of what the guest uploads and asks."""
        return f"{GUEST}{self.id}"


class Invitations:
    """Makes, redeems and takes back invitations.

    A link is checked by its signature first and by the database then: neither alone lets in.
    """

    def __init__(
        self,
        db: Database,
        sessions: Sessions,
        secret: str,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``secret`` signs the links; ``clock`` gives Unix seconds."""
        self._db = db
        self._sessions = sessions
        self._signer = URLSafeSerializer(secret, salt=_SALT)
        self._clock = clock

    async def create(
        self, scope: Scope, *, ttl_s: float, max_guests: int, made_by: str
    ) -> Invitation:
        """Return a new invitation. Raises ``InvitationError`` outside of the limits."""
        if scope not in ("ask", "upload"):
            raise InvitationError("An invitation is to ask, or to ask and upload.")
        if not 60 <= ttl_s <= MAX_HOURS * 3600:
            raise InvitationError(f"An invitation lasts from a minute to {MAX_HOURS} hours.")
        if not 1 <= max_guests <= MAX_GUESTS:
            raise InvitationError(f"An invitation is for 1 to {MAX_GUESTS} guests.")
        now = self._clock()
        row = {
            "id": secrets.token_hex(16),
            "scope": scope,
            "created_at": now,
            "ends_at": now + ttl_s,
            "max_guests": max_guests,
            "made_by": made_by[:120],
            "revoked_at": None,
        }
        async with self._db.write() as connection:
            await connection.execute(
                delete(invitations).where(invitations.c.ends_at < now - _KEPT_S)
            )
            await connection.execute(insert(invitations).values(**row))
        return self._invitation(row)

    async def look(self, token: str) -> Invitation:
        """Return what a link invites to. Raises ``InvitationError`` with the reason why not."""
        invitation_id = self._claimed(token)
        async with self._db.read() as connection:
            row = await _row(connection, invitation_id)
        return self._checked(row, token)

    async def redeem(self, token: str) -> Identity:
        """Let one more guest in. Raises ``InvitationError`` with the reason why not."""
        invitation_id = self._claimed(token)
        async with self._db.write() as connection:
            await lock(connection, f"guests:{invitation_id}")
            invitation = self._checked(await _row(connection, invitation_id), token)
            mine = guests.c.invitation == invitation.id
            came = (await connection.execute(select(func.count()).where(mine))).scalar_one()
            if came >= invitation.max_guests:
                n = "one guest" if invitation.max_guests == 1 else f"{invitation.max_guests} guests"
                raise InvitationError(_FULL.format(n=n))
            guest_id = secrets.token_hex(8)
            await connection.execute(
                insert(guests).values(
                    id=guest_id,
                    invitation=invitation.id,
                    number=came + 1,
                    came_at=self._clock(),
                )
            )
        return Identity(
            id=f"{GUEST}{guest_id}",
            role="guest",
            name=f"Guest {came + 1}",
            may_upload=invitation.scope == "upload",
            ends_at=invitation.ends_at,
            invitation=invitation.id,
        )

    async def revoke(self, invitation_id: str) -> tuple[Guest, ...]:
        """Take an invitation back and end its guests, who are returned."""
        async with self._db.write() as connection:
            await connection.execute(
                update(invitations)
                .where(invitations.c.id == invitation_id, invitations.c.revoked_at.is_(None))
                .values(revoked_at=self._clock())
            )
        all_of_it = await self.guests(invitation_id)
        for guest in all_of_it:
            await self.end_guest(guest.id)
        return all_of_it

    async def end_guest(self, guest_id: str) -> None:
        """Send one guest out. Their place is not given to somebody else."""
        async with self._db.write() as connection:
            await connection.execute(
                update(guests)
                .where(guests.c.id == guest_id, guests.c.ended_at.is_(None))
                .values(ended_at=self._clock())
            )
        await self._sessions.revoke_all(f"{GUEST}{guest_id}")

    async def list(self) -> tuple[Invitation, ...]:
        """Return all that are remembered, the latest first."""
        query = select(invitations).order_by(invitations.c.created_at.desc())
        async with self._db.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return tuple(self._invitation(row) for row in rows)

    async def guests(self, invitation_id: str) -> tuple[Guest, ...]:
        """Return who came by an invitation, in their order, those who were ended included."""
        query = select(guests).where(guests.c.invitation == invitation_id).order_by(guests.c.number)
        async with self._db.read() as connection:
            rows = (await connection.execute(query)).mappings().all()
        return tuple(
            Guest(row["id"], row["invitation"], row["number"], row["came_at"], row["ended_at"])
            for row in rows
        )

    async def of_guest(self, guest_id: str) -> Invitation | None:
        """Return the invitation by which a guest came."""
        query = (
            select(invitations)
            .join(guests, guests.c.invitation == invitations.c.id)
            .where(guests.c.id == guest_id)
        )
        async with self._db.read() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else self._invitation(row)

    def _claimed(self, token: str) -> str:
        if not 0 < len(token) <= _TOKEN_CHARS:
            raise InvitationError(_CHANGED)
        try:
            claim = self._signer.loads(token)
        except BadData as exc:
            raise InvitationError(_CHANGED) from exc
        return str(claim["id"])

    def _checked(self, row: RowMapping | None, token: str) -> Invitation:
        if row is None:
            raise InvitationError(_OVER)
        invitation = self._invitation(row)
        if not secrets.compare_digest(invitation.token.encode(), token.encode()):
            raise InvitationError(_CHANGED)
        if invitation.is_revoked:
            raise InvitationError(_REVOKED)
        now = self._clock()
        # With a clock that was set back the link would hold longer than was meant.
        if now >= invitation.ends_at or now < invitation.created_at - _CLOCK_SLACK_S:
            raise InvitationError(_OVER)
        return invitation

    def _invitation(self, row: Any) -> Invitation:
        claim = {
            "id": row["id"],
            "scope": row["scope"],
            "until": round(row["ends_at"]),
            "guests": row["max_guests"],
        }
        return Invitation(
            id=row["id"],
            scope=row["scope"],
            created_at=row["created_at"],
            ends_at=row["ends_at"],
            max_guests=row["max_guests"],
            made_by=row["made_by"],
            is_revoked=row["revoked_at"] is not None,
            token=self._signer.dumps(claim),
        )


async def _row(connection: Any, invitation_id: str) -> RowMapping | None:
    query = select(invitations).where(invitations.c.id == invitation_id)
    row: RowMapping | None = (await connection.execute(query)).mappings().first()
    return row
