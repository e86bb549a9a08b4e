"""What a reader changes about a chat: its name, and what was thought of an answer."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from xoe.chats.changes import Change
from xoe.chats.text import REASON_MAX_CHARS, clean, name_of
from xoe.db import tables
from xoe.db.dialects import Dialect, upsert

_threads, _messages, _feedback = tables.threads, tables.messages, tables.feedback


@dataclass(frozen=True)
class Rename(Change):
    """A chat is given another name; an empty one changes nothing."""

    name: str

    async def apply(self, connection: AsyncConnection, dialect: Dialect) -> bool:
        """Carry it out; return whether there was such a chat, and a name."""
        name = name_of(self.name)
        if not name:
            return False
        renamed = (
            update(_threads)
            .where(_threads.c.owner == self.owner, _threads.c.id == clean(self.thread_id))
            .values(name=name)
        )
        return (await connection.execute(renamed)).rowcount > 0


@dataclass(frozen=True)
class Judge:
    """A thumb for an answer, up or down; takes the place of the one that is there.

    ``message_id`` is the answer's or its question's.
    """

    owner: str
    message_id: str
    good: bool
    reason: str
    at: float
    id: str = field(default_factory=lambda: secrets.token_hex(16))

    async def apply(self, connection: AsyncConnection, dialect: Dialect) -> bool:
        """Carry it out; return whether ``owner`` has such an answer."""
        named = _messages.alias()
        same_turn = (named.c.thread == _messages.c.thread) & (named.c.turn == _messages.c.turn)
        found = (
            select(_messages.c.number)
            .join(named, same_turn)
            .join(_threads, _threads.c.number == _messages.c.thread)
            .where(
                _threads.c.owner == self.owner,
                named.c.id == clean(self.message_id),
                _messages.c.role == "assistant",
            )
            .limit(1)
        )
        number = (await connection.execute(found)).scalar()
        if number is None:
            return False
        values = {
            "id": self.id,
            "good": self.good,
            "reason": clean(self.reason, REASON_MAX_CHARS),
            "at": self.at,
        }
        judged = upsert(dialect, _feedback).values(message=number, **values)
        await connection.execute(
            judged.on_conflict_do_update(index_elements=["message"], set_=values)
        )
        return True


@dataclass(frozen=True)
class TakeBackJudgement:
    """A thumb is taken back."""

    owner: str
    feedback_id: str

    async def apply(self, connection: AsyncConnection, dialect: Dialect) -> bool:
        """Carry it out; return whether there was one of ``owner``'s."""
        theirs = (
            select(_messages.c.number)
            .join(_threads, _threads.c.number == _messages.c.thread)
            .where(_threads.c.owner == self.owner)
        )
        gone = delete(_feedback).where(
            _feedback.c.id == clean(self.feedback_id), _feedback.c.message.in_(theirs)
        )
        return (await connection.execute(gone)).rowcount > 0
