"""The chats in memory: what Redis is known to hold, and the writes that it does not hold yet.

Nothing here talks to Redis or waits. A chat is its ``base``, as Redis last confirmed it, and up to
two deltas: one that was sent and not confirmed, which may have been obeyed or not, and one that
gathers what was written since.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from state.history_delta import NOTHING, Delta

log = structlog.get_logger(__name__)

MIRROR_ENTRIES: Final = 200
"""Of what Redis holds of a chat, the newest entries that are kept in memory too."""


@dataclass(frozen=True)
class BufferLimits:
    """How much is kept in memory. Past it the chats that rested longest go, written ones first."""

    sessions: int = 1000
    size_bytes: int = 32 * 1024 * 1024


@dataclass(frozen=True)
class Sent:
    """Writes on their way to Redis, under a number that is never used again."""

    seq: int
    delta: Delta
    count: int


@dataclass(frozen=True)
class Snapshot:
    """A chat as Redis holds it."""

    entries: tuple[bytes, ...]
    """All, or the newest as far as they were asked for."""
    length: int
    seen: int
    """The number of the last of our writes in it."""
    version: int
    """How many writes of all servers it has seen."""
    ttl_s: float | None
    """Until Redis forgets it; ``None`` where there is nothing to forget."""


@dataclass
class Session:
    """One chat."""

    key: str
    base: tuple[bytes, ...] = ()
    whole: bool = False
    """Whether ``base`` is all that Redis holds."""
    known: bool = False
    """Whether ``base`` came from Redis at all."""
    acked: int = 0
    """The number of our last write that Redis confirmed."""
    version: int = 0
    """Redis's count of writes to this chat when ``base`` was true."""
    generation: int = 0
    """Which redis-server process confirmed that."""
    sent: Sent | None = None
    waiting: Delta = NOTHING
    waiting_count: int = 0
    expires_at: float | None = None
    """On the buffer's clock."""
    size_bytes: int = 0
    """As last counted by the buffer."""
    restore: bool | None = None
    """Redis has lost what it confirmed: true: it gets it back, false: that was meant."""

    @property
    def pending(self) -> int:
        """How many writes Redis has not confirmed."""
        return self.waiting_count + (self.sent.count if self.sent else 0)

    @property
    def deltas(self) -> tuple[Delta, ...]:
        """What Redis has not confirmed, oldest first."""
        return (*((self.sent.delta,) if self.sent else ()), self.waiting)

    def view(self, entries: tuple[bytes, ...] | None = None) -> tuple[bytes, ...]:
        """Return the chat with all that was written; ``entries`` is what Redis holds."""
        held = self.base if entries is None else entries
        for delta in self.deltas:
            held = delta.apply(held)
        return held

    def seal(self, number: Callable[[], int]) -> Sent | None:
        """Return what is to be sent now: the same until it is confirmed; ``None`` for nothing."""
        if self.sent is None and self.waiting_count:
            self.sent = Sent(number(), self.waiting, self.waiting_count)
            self.waiting, self.waiting_count = NOTHING, 0
        return self.sent

    def confirm(self, seq: int, *, version: int, length: int | None, generation: int) -> None:
        """Note that Redis has obeyed write ``seq``, after which the chat is ``length`` long."""
        if self.sent is None or seq != self.sent.seq:
            return  # a read has told so already
        after = self.sent.delta.apply(self.base)
        self.base = after[-MIRROR_ENTRIES:]
        self.whole = length == len(self.base)
        self.known = self.known or self.whole
        self.sent = None
        self.acked, self.version, self.generation = seq, version, generation
        self.restore = None


@dataclass
class HistoryBuffer:
    """The chats in memory, bounded."""

    max_entries: int
    ttl_s: float
    limits: BufferLimits = field(default_factory=BufferLimits)
    clock: Callable[[], float] = time.monotonic
    size_bytes: int = 0
    lost: int = 0
    """Writes given up because there was no room for them."""
    _sessions: OrderedDict[str, Session] = field(default_factory=OrderedDict)

    @property
    def pending(self) -> int:
        """How many writes Redis has not confirmed."""
        return sum(session.pending for session in self._sessions.values())

    def sessions(self) -> list[Session]:
        """Return all chats, the one that rested longest first."""
        return list(self._sessions.values())

    def find(self, key: str) -> Session | None:
        """Return the chat; ``None`` when it is not kept or its time is over."""
        session = self._sessions.get(key)
        if session is None:
            return None
        if session.expires_at is not None and self.clock() >= session.expires_at:
            self._forget(session)
            return None
        self._sessions.move_to_end(key)
        return session

    def open(self, key: str) -> Session:
        """Return the chat, a new one where there is none."""
        session = self.find(key)
        if session is None:
            self._forget_expired()
            session = self._sessions[key] = Session(key)
            self._bound(session)
        return session

    def append(self, key: str, entries: tuple[bytes, ...]) -> Session:
        """Add entries to a chat and renew its time."""
        session = self.open(key)
        session.expires_at = self.clock() + self.ttl_s
        return self._record(session, session.waiting.append(entries, self.max_entries))

    def drop_last(self, key: str, count: int) -> Session:
        """Take back the last ``count`` entries of a chat."""
        session = self.open(key)
        return self._record(session, session.waiting.drop_last(count))

    def clear(self, key: str) -> Session:
        """Forget what a chat said."""
        session = self.open(key)
        return self._record(session, session.waiting.clear())

    def install(self, key: str, snapshot: Snapshot, generation: int) -> Session:
        """Take over what Redis holds of a chat."""
        session = self.open(key)
        if session.sent is not None and snapshot.seen >= session.sent.seq:
            session.sent = None
        held = snapshot.entries
        same = session.whole and len(session.base) == snapshot.length
        if not (same and session.base[len(session.base) - len(held) :] == held):
            session.base = held[-MIRROR_ENTRIES:]
            session.whole = len(session.base) == snapshot.length
        session.known = True
        session.acked, session.version = snapshot.seen, snapshot.version
        session.generation, session.restore = generation, None
        if not session.pending:
            session.expires_at = (
                None if snapshot.ttl_s is None else self.clock() + min(snapshot.ttl_s, self.ttl_s)
            )
        self.measure(session)
        return session

    def remaining_s(self, session: Session) -> float:
        """Return for how long a chat is still kept."""
        if session.expires_at is None:
            return self.ttl_s
        return max(0.0, session.expires_at - self.clock())

    def measure(self, session: Session) -> None:
        """Count a changed chat's bytes anew and keep to the limits."""
        if self._sessions.get(session.key) is not session:
            return
        size = sum(map(len, session.base)) + session.waiting.size_bytes
        size += session.sent.delta.size_bytes if session.sent else 0
        self.size_bytes += size - session.size_bytes
        session.size_bytes = size
        self._bound(session)

    def _record(self, session: Session, waiting: Delta) -> Session:
        session.waiting = waiting
        session.waiting_count += 1
        self.measure(session)
        return session

    def _forget(self, session: Session) -> None:
        del self._sessions[session.key]
        self.size_bytes -= session.size_bytes
        session.size_bytes = 0

    def _forget_expired(self) -> None:
        for session in self.sessions():
            if session.expires_at is None or self.clock() < session.expires_at:
                return  # it rested longest; the others are younger
            self._forget(session)

    def _is_over(self) -> bool:
        return len(self._sessions) > self.limits.sessions or (
            self.size_bytes > self.limits.size_bytes
        )

    def _bound(self, current: Session) -> None:
        if not self._is_over():
            return
        rested = [session for session in self.sessions() if session is not current]
        for session in sorted(rested, key=lambda session: session.pending > 0):
            if not self._is_over():
                return
            if session.pending:
                if not self.lost:
                    log.warning("history.no_room", sessions=len(self._sessions))
                self.lost += session.pending
            self._forget(session)
        if self._is_over():  # one chat alone: its oldest turns go
            current.base, current.whole = (), False
            size = current.waiting.size_bytes + (
                current.sent.delta.size_bytes if current.sent else 0
            )
            count = 0
            while size > self.limits.size_bytes and count < len(current.waiting.entries):
                size -= sum(map(len, current.waiting.entries[count : count + 2]))
                count += 2
            if count:
                current.waiting = current.waiting.without_oldest(count)
            self.size_bytes += size - current.size_bytes
            current.size_bytes = size
