"""The chats in memory: what Redis held when it was asked last, and what they are by now.

Nothing here talks to Redis or waits. Entries go by their ids, so what is to be done to a chat is
read off the difference of the two, and done again it changes nothing.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

log = structlog.get_logger(__name__)

Entries = dict[str, bytes]
"""A chat's encoded entries by their ids, oldest first. Never changed in place."""
EVERYTHING: Final = sys.maxsize


@dataclass(frozen=True)
class BufferLimits:
    """How much is kept in memory. Past it the chats that rested longest go, written ones first."""

    sessions: int = 1000
    size_bytes: int = 32 * 1024 * 1024


@dataclass(eq=False)
class Session:
    """One chat."""

    key: str
    max_entries: int
    view: Entries = field(default_factory=dict)
    """What the chat is by now."""
    base: Entries = field(default_factory=dict)
    """What Redis held when it was asked last."""
    version: int = 0
    """How many writes of all servers Redis had seen then."""
    generation: int = 0
    """Which redis-server process that was."""
    known: bool = False
    """Whether it was asked at all."""
    drop: int = 0
    """While it was not: how many entries go from the end of what it will turn out to hold."""
    sent: set[str] | None = None
    """Ids of a write that was not answered: Redis may hold them. ``None`` for no such write."""
    pending: int = 0
    """How many writes Redis has not confirmed."""
    refused: bool = False
    """Whether Redis answers, and does not take them."""
    recorded: bool = False
    """Whether the database keeps this chat too."""
    deleted: bool = False
    """Whether Redis is to forget that there was such a chat."""
    expires_at: float = 0.0
    """On the buffer's clock."""
    size_bytes: int = 0
    """As last measured."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Whoever asks Redis about this chat holds it."""

    def append(self, entries: Entries) -> None:
        """Add entries at the end; the oldest give way."""
        earlier = {name: value for name, value in self.view.items() if name not in entries}
        self.view = self.newest(earlier | entries)
        self.pending += 1

    def drop_last(self, count: int) -> None:
        """Take back the last ``count`` entries."""
        self.drop += max(0, count - len(self.view))
        self.view = _without_last(self.view, count)
        self.pending += 1

    def clear(self) -> None:
        """Forget what was said, also what is not known here."""
        self.base, self.view, self.known, self.drop = {}, {}, False, EVERYTHING
        self.pending += 1

    def meet(self, theirs: Entries, *, lost: bool) -> Entries:
        """Take over what Redis holds now; return what the chat is then, and Redis is to hold.

        What was dropped here goes, what was added here comes last, all else is as Redis has it or,
        where it is ``lost`` there, as it was.
        """
        if self.known:
            held, ours = self.base if lost else theirs, self.base.keys() | (self.sent or set())
            added = {name: one for name, one in self.view.items() if self.base.get(name) != one}
        else:
            held, ours, added = _without_last(theirs, self.drop), set(), self.view
        gone = (ours - self.view.keys()) | added.keys()
        kept = {name: one for name, one in held.items() if name not in gone}
        self.view, self.base = self.newest(kept | added), theirs
        self.known, self.drop = True, 0
        return self.view

    def confirm(self, entries: Entries, *, writes: int, version: int) -> None:
        """Note that Redis holds ``entries``, with which ``writes`` are done."""
        self.base, self.version, self.sent = entries, version, None
        self.pending -= writes

    def keep_newest(self, size_bytes: int) -> None:
        """Give up the oldest turns; where Redis lacks one, it is to lose them too."""
        size, names = sum(map(len, self.view.values())), list(self.view)
        while size > size_bytes and len(names) > 2:
            size -= sum(len(self.view[name]) for name in names[:2])
            if names[0] not in self.base:
                self.known, self.drop = False, EVERYTHING
            names = names[2:]
        self.view = {name: self.view[name] for name in names}
        self.base = {name: one for name, one in self.base.items() if name in self.view}
        self.measure()

    def measure(self) -> None:
        """Count the bytes."""
        self.size_bytes = sum(map(len, (self.base | self.view).values()))

    def newest(self, entries: Entries) -> Entries:
        """Return as many of the newest as are kept."""
        return dict(list(entries.items())[-self.max_entries :])


def _without_last(entries: Entries, count: int) -> Entries:
    return dict(list(entries.items())[: max(0, len(entries) - count)])


@dataclass
class HistoryBuffer:
    """The chats in memory, bounded."""

    max_entries: int
    ttl_s: float
    limits: BufferLimits = field(default_factory=BufferLimits)
    clock: Callable[[], float] = time.monotonic
    lost: int = 0
    """Writes given up because there was no room for them."""
    _sessions: OrderedDict[str, Session] = field(default_factory=OrderedDict)

    @property
    def size_bytes(self) -> int:
        """Of all chats, as last measured."""
        return sum(session.size_bytes for session in self._sessions.values())

    def sessions(self) -> list[Session]:
        """Return all chats whose time is not over, the one that rested longest first."""
        for session in tuple(self._sessions.values()):
            if self.remaining_s(session) == 0:
                del self._sessions[session.key]
        return list(self._sessions.values())

    def open(self, key: str) -> Session:
        """Return the chat, a new one where there is none."""
        session = self._sessions.get(key)
        if session is None or self.remaining_s(session) == 0:
            self.sessions()  # forgets what is over
            session = self._sessions[key] = Session(key, self.max_entries)
            self.keep_for(session, self.ttl_s)
            self._bound(session)
        self._sessions.move_to_end(key)
        return session

    def keep_for(self, session: Session, ttl_s: float) -> None:
        """Have a chat's time end after ``ttl_s``, as it does in Redis."""
        session.expires_at = self.clock() + min(ttl_s, self.ttl_s)

    def remaining_s(self, session: Session) -> float:
        """Return for how long a chat is still kept."""
        return max(0.0, session.expires_at - self.clock())

    def measure(self, session: Session) -> None:
        """Count a changed chat's bytes anew and keep to the limits."""
        session.measure()
        self._bound(session)

    def _bound(self, current: Session) -> None:
        limits = self.limits
        while len(self._sessions) > limits.sessions or self.size_bytes > limits.size_bytes:
            rested = [one for one in self._sessions.values() if one is not current]
            if not rested:  # one chat alone
                current.keep_newest(limits.size_bytes)
                return
            session = min(rested, key=lambda one: one.pending > 0)
            if session.pending and not self.lost:
                log.warning("history.no_room", sessions=len(self._sessions))
            self.lost += session.pending
            del self._sessions[session.key]
