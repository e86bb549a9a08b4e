"""Whose turn it is among those who wait: owners, an owner's sessions, people before programs."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from core.share import Share

T = TypeVar("T")

GROUP_LIMIT: Final = 8
"""Served with one model while others wait for another: a change costs seconds."""
PEOPLE_IN_A_ROW: Final = 8
"""Served for people while something of a program waits, which gets the next turn."""


@dataclass(frozen=True, eq=False)
class Ticket(Generic[T]):
    """One thing that waits: when it came, whose it is, and the group that it is for."""

    number: int
    share: Share
    group: str
    item: T


class Line(Generic[T]):
    """What waits of one kind. The first owner's first session is next; who is served goes last."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._owners: dict[str, dict[str, deque[Ticket[T]]]] = {}
        self._groups: Counter[str] = Counter()

    def __bool__(self) -> bool:
        return bool(self._owners)

    def copy(self) -> Line[T]:
        """Return one that can be served without this one."""
        other: Line[T] = Line()
        other._owners = {
            owner: {name: deque(waiting) for name, waiting in sessions.items()}
            for owner, sessions in self._owners.items()
        }
        other._groups = Counter(self._groups)
        return other

    def add(self, ticket: Ticket[T]) -> None:
        """Let one more wait, behind its session's others."""
        sessions = self._owners.setdefault(ticket.share.owner, {})
        sessions.setdefault(ticket.share.session, deque()).append(ticket)
        self._groups[ticket.group] += 1

    def choose(self, loaded: str | None, grouped: int) -> tuple[Ticket[T], int]:
        """Return who is next, and the length of the group with them; the line is not empty."""
        fitting: Ticket[T] | None = None
        other: Ticket[T] | None = None
        for ticket in self._heads():
            if ticket.group != loaded:
                other = other or ticket
            else:
                fitting = fitting or ticket
            if len(self._groups) == 1 or (fitting and other):
                break
        if fitting is not None and (other is None or grouped < GROUP_LIMIT):
            return fitting, grouped + 1 if other else 0
        assert other is not None  # noqa: S101 - one of them is there
        return other, 1

    def serve(self, ticket: Ticket[T]) -> None:
        """Take the first of a session out; its owner and its session go to the end."""
        sessions = self._owners.pop(ticket.share.owner)
        waiting = sessions.pop(ticket.share.session)
        waiting.popleft()
        if waiting:
            sessions[ticket.share.session] = waiting
        if sessions:
            self._owners[ticket.share.owner] = sessions
        self._uncount(ticket)

    def drop(self, ticket: Ticket[T]) -> None:
        """Take anything out; everybody keeps their turn."""
        sessions = self._owners[ticket.share.owner]
        waiting = sessions[ticket.share.session]
        waiting.remove(ticket)
        if not waiting:
            del sessions[ticket.share.session]
        if not sessions:
            del self._owners[ticket.share.owner]
        self._uncount(ticket)

    def sessions(self, owner: str) -> dict[str, deque[Ticket[T]]]:
        """Return what waits of an owner, by session."""
        return self._owners.get(owner, {})

    def newest(self, owner: str) -> Ticket[T] | None:
        """Return what came last of an owner's."""
        lasts = (waiting[-1] for waiting in self.sessions(owner).values())
        return max(lasts, key=lambda ticket: ticket.number, default=None)

    def _heads(self) -> Iterator[Ticket[T]]:
        for sessions in self._owners.values():
            for waiting in sessions.values():
                yield waiting[0]

    def _uncount(self, ticket: Ticket[T]) -> None:
        self._groups[ticket.group] -= 1
        if not self._groups[ticket.group]:
            del self._groups[ticket.group]


class Turns(Generic[T]):
    """The two lines, people's and programs', and whose turn it is."""

    def __init__(self) -> None:
        """Nothing waits."""
        self.people: Line[T] = Line()
        self.programs: Line[T] = Line()
        self._in_a_row = 0
        self._grouped = 0

    def __bool__(self) -> bool:
        return bool(self.people) or bool(self.programs)

    def copy(self) -> Turns[T]:
        """Return one that can be served without this one."""
        other: Turns[T] = Turns()
        other.people, other.programs = self.people.copy(), self.programs.copy()
        other._in_a_row, other._grouped = self._in_a_row, self._grouped
        return other

    def line_of(self, whose: Share) -> Line[T]:
        """Return the line in which somebody waits."""
        return self.people if whose.interactive else self.programs

    def take(self, loaded: str | None) -> Ticket[T]:
        """Take out who is next; ``IndexError`` where nobody is. ``loaded``: the group at hand."""
        is_due = bool(self.programs) and self._in_a_row >= PEOPLE_IN_A_ROW
        line = self.people if self.people and not is_due else self.programs
        if not line:
            raise IndexError("the queue is empty")
        is_between = line is self.people and bool(self.programs)
        self._in_a_row = self._in_a_row + 1 if is_between else 0
        ticket, self._grouped = line.choose(loaded, self._grouped)
        line.serve(ticket)
        return ticket
