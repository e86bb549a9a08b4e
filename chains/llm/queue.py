"""The waiting requests: bounded, in turns between sessions, grouped by model. No threads here."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from xoe.errors import EngineBusyError

T = TypeVar("T")

GROUP_LIMIT = 8
"""Requests served with one model while others wait for another: a change costs seconds."""


@dataclass(frozen=True, order=True)
class _Ticket(Generic[T]):
    round: int
    number: int
    session_id: str = field(compare=False)
    profile: str = field(compare=False)
    item: T = field(compare=False)


class FairQueue(Generic[T]):
    """Sessions take turns, first come first served within a session.

    Each request is given a round when it comes: one later than its session's last and than the
    round being served. So a session with fifty requests delays another's single one by one
    place, and a request that waits is overtaken by finitely many. Requests for the loaded model
    go before the others, ``GROUP_LIMIT`` of them at most.
    """

    def __init__(self, limit: int) -> None:
        """``limit``: how many may wait."""
        self._limit = limit
        self._tickets: dict[int, _Ticket[T]] = {}
        self._last_round: dict[str, int] = {}
        self._round = 0
        self._number = 0
        self._grouped = 0

    def __len__(self) -> int:
        return len(self._tickets)

    def put(self, item: T, *, session_id: str, profile: str) -> None:
        """Add ``item``; ``EngineBusyError`` when the queue is full."""
        if len(self._tickets) >= self._limit:
            raise EngineBusyError(len(self._tickets))
        turn = max(self._round, self._last_round.get(session_id, 0)) + 1
        self._last_round[session_id] = turn
        self._number += 1
        self._tickets[self._number] = _Ticket(turn, self._number, session_id, profile, item)

    def take(self, loaded: str | None) -> T:
        """Remove and return the next item to serve; ``IndexError`` when there is none."""
        for ticket, grouped in self._service(loaded):
            self._grouped = grouped
            self._round = max(self._round, ticket.round)
            self._forget(ticket)
            return ticket.item
        raise IndexError("the queue is empty")

    def remove(self, item: T) -> bool:
        """Take ``item`` out of its place; False when it does not wait here."""
        for ticket in self._tickets.values():
            if ticket.item is item:
                self._forget(ticket)
                return True
        return False

    def clear(self) -> list[T]:
        """Empty the queue and return what waited in it."""
        items = [ticket.item for ticket in self._tickets.values()]
        self._tickets.clear()
        self._last_round.clear()
        return items

    def order(self, loaded: str | None) -> list[T]:
        """Return the items in the order in which they are going to be served."""
        return [ticket.item for ticket, _ in self._service(loaded)]

    def _forget(self, ticket: _Ticket[T]) -> None:
        del self._tickets[ticket.number]
        self._last_round[ticket.session_id] = max(
            (t.round for t in self._tickets.values() if t.session_id == ticket.session_id),
            default=self._round,
        )
        # A round that is over changes no decision, so remembering it would only take memory.
        self._last_round = {s: r for s, r in self._last_round.items() if r > self._round}

    def _service(self, loaded: str | None) -> Iterator[tuple[_Ticket[T], int]]:
        """Yield the tickets as they will be served, with the length of the group so far."""
        sessions: dict[str, deque[_Ticket[T]]] = {}
        for ticket in self._tickets.values():
            sessions.setdefault(ticket.session_id, deque()).append(ticket)
        heads: dict[str, list[_Ticket[T]]] = {}
        for waiting in sessions.values():
            heapq.heappush(heads.setdefault(waiting[0].profile, []), waiting.popleft())
        grouped = self._grouped
        while heads:
            others = [heap[0] for profile, heap in heads.items() if profile != loaded]
            if loaded in heads and (not others or grouped < GROUP_LIMIT):
                grouped = grouped + 1 if others else 0
            else:
                loaded, grouped = min(others).profile, 1
            ticket = heapq.heappop(heads[loaded])
            if not heads[loaded]:
                del heads[loaded]
            waiting = sessions[ticket.session_id]
            if waiting:
                heapq.heappush(heads.setdefault(waiting[0].profile, []), waiting.popleft())
            yield ticket, grouped
