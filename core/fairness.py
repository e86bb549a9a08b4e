"""Turns between those who ask: nobody waits, or is refused, for another's flood.

What waits belongs to a ``Share``, which is read where something is put in.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, Generic, TypeVar

from core.errors import BusyError
from core.share import Share, share
from core.turns import Ticket, Turns

T = TypeVar("T")

SHARE_OF_OWNER: Final = 8
"""One owner may have so much waiting: the queue's limit divided by this."""
_FIRST_PACE_S: Final = 1.0
_RETRY_S: Final = (1.0, 300.0)
_WEIGHT: Final = 0.2
"""Of the latest interval in the pace."""


def owner_limit(limit: int) -> int:
    """Return how much of one owner may wait where ``limit`` may wait altogether."""
    return max(1, limit // SHARE_OF_OWNER)


class Pace:
    """How fast what waits is served, from what was served lately."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` returns seconds."""
        self._clock = clock
        self._interval_s: float | None = None
        self._last: float | None = None

    def served(self, *, more: bool) -> None:
        """Note that one was taken up; ``more``: another waits already."""
        now = self._clock()
        if self._last is not None:
            latest = now - self._last
            known = latest if self._interval_s is None else self._interval_s
            self._interval_s = known + _WEIGHT * (latest - known)
        # Where nothing waits, the time to the next tells how long nobody came.
        self._last = now if more else None

    def seconds_for(self, count: int) -> float:
        """Return in how many seconds ``count`` more will be served: 1 to 300."""
        pace_s = _FIRST_PACE_S if self._interval_s is None else self._interval_s
        if self._last is not None:
            pace_s = max(pace_s, self._clock() - self._last)
        shortest, longest = _RETRY_S
        return min(max(count * pace_s, shortest), longest)


class FairQueue(Generic[T]):
    """Owners take turns, then an owner's sessions; first come first served within a session.

    People go before programs, ``PEOPLE_IN_A_ROW`` of them at most while a program waits. Within
    each, what is for the loaded model goes before the rest, ``GROUP_LIMIT`` of it at most.

    One owner may have so many waiting and no more. Where the queue is full, the newest of whoever
    has most makes room for somebody who has less, so nobody is refused for another's flood; where
    an owner's part is, the newest of the session that has most. A program's only, unless a person
    comes. No threads here.
    """

    def __init__(
        self,
        limit: int,
        of_owner: int | None = None,
        *,
        refuse: Callable[[T, BusyError], None],
        busy: type[BusyError] = BusyError,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``limit``: how many may wait; ``busy``: what is raised for who may not.

        ``of_owner``: how many of one owner, an eighth if it is not given; the server's own work
        is bounded by ``limit`` alone. ``refuse`` ends an item that had to make room.
        """
        self._limit = limit
        self._owner_limit = of_owner or owner_limit(limit)
        self._refuse = refuse
        self._busy = busy
        self._turns: Turns[T] = Turns()
        self._tickets: dict[int, Ticket[T]] = {}
        """By the item's ``id``."""
        self._waiting: Counter[str] = Counter()
        """How much of each owner's waits."""
        self._number = 0
        self._pace = Pace(clock)

    def __len__(self) -> int:
        return len(self._tickets)

    def waiting(self, owner: str) -> int:
        """Return how many of an owner's wait."""
        return self._waiting[owner]

    def put(self, item: T, *, whose: Share | None = None, group: str = "") -> None:
        """Add ``item``, or raise the queue's ``busy`` error.

        ``whose``: the current task's if it is not given; ``group``: the model that it is for.
        """
        whose = share() if whose is None else whose
        left: Ticket[T] | None = None
        is_own = bool(whose.owner) and self._waiting[whose.owner] >= self._owner_limit
        if is_own or len(self) >= self._limit:
            left = self._of_own_most(whose) if is_own else self._of_who_has_most(whose)
            if left is None:
                raise self._refusal(whose, own=is_own)
            self._drop(left)
        self._number += 1
        ticket = Ticket(self._number, whose, group, item)
        self._turns.line_of(whose).add(ticket)
        self._tickets[id(item)] = ticket
        self._waiting[whose.owner] += 1
        if left is not None:
            self._refuse(left.item, self._refusal(left.share, own=True))

    def take(self, loaded: str | None = None) -> T:
        """Remove and return the next item; ``IndexError`` when there is none.

        ``loaded``: the group that goes first.
        """
        ticket = self._turns.take(loaded)
        self._forget(ticket)
        self._pace.served(more=bool(self._tickets))
        return ticket.item

    def remove(self, item: T) -> bool:
        """Take ``item`` out of its place; False when it does not wait here."""
        ticket = self._tickets.get(id(item))
        if ticket is None:
            return False
        self._drop(ticket)
        return True

    def clear(self) -> list[T]:
        """Empty the queue and return what waited in it, in the order in which it came."""
        items = [ticket.item for ticket in self._tickets.values()]
        self._turns = Turns()
        self._tickets.clear()
        self._waiting.clear()
        return items

    def order(self, loaded: str | None = None) -> list[T]:
        """Return the items in the order in which they are going to be served."""
        turns, items = self._turns.copy(), []
        while turns:
            ticket = turns.take(loaded)
            loaded = ticket.group
            items.append(ticket.item)
        return items

    def _refusal(self, whose: Share, *, own: bool) -> BusyError:
        """Return the error for one that may not wait.

        ``own``: its owner has as much waiting as there is room for, else the queue is full. To
        come back is worth while when half of theirs is served, of which each turn of all owners
        brings one: were it after the first, all that were refused would come for one place.
        """
        mine = self._waiting[whose.owner]
        ahead = len(self._waiting) * max(1, mine // 2)
        return self._busy(mine if own else len(self), self._pace.seconds_for(ahead), own=own)

    def _of_own_most(self, whose: Share) -> Ticket[T] | None:
        """Return what of the owner's own may leave for one more of theirs."""
        programs = self._turns.programs
        if whose.interactive and (bulk := programs.newest(whose.owner)) is not None:
            return bulk
        sessions = self._turns.line_of(whose).sessions(whose.owner)
        most = max(sessions.values(), key=len, default=None)
        # By two at least: else two sessions would put each other out in turns.
        if most is None or len(most) < len(sessions.get(whose.session, ())) + 2:
            return None
        return most[-1]

    def _of_who_has_most(self, whose: Share) -> Ticket[T] | None:
        """Return what may leave of the owner who has most waiting, and more than the newcomer."""
        lines = [self._turns.programs, self._turns.people][: 1 + whose.interactive]
        mine = self._waiting[whose.owner]
        for line in lines:
            newest = [line.newest(owner) for owner, n in self._waiting.items() if n > mine]
            found = [ticket for ticket in newest if ticket is not None]
            if found:
                found.sort(key=lambda t: (self._waiting[t.share.owner], t.number))
                return found[-1]
        return None

    def _drop(self, ticket: Ticket[T]) -> None:
        self._turns.line_of(ticket.share).drop(ticket)
        self._forget(ticket)

    def _forget(self, ticket: Ticket[T]) -> None:
        del self._tickets[id(ticket.item)]
        owner = ticket.share.owner
        self._waiting[owner] -= 1
        if not self._waiting[owner]:
            del self._waiting[owner]


class FairSlots:
    """A few places for work that takes long; who finds none waits in a fair queue.

    Belongs to one event loop. What waits may be cancelled at any time.
    """

    def __init__(
        self,
        places: int,
        waiting: int,
        of_owner: int | None = None,
        *,
        busy: type[BusyError] = BusyError,
    ) -> None:
        """Let ``places`` run at a time, and ``waiting`` wait, ``of_owner`` of one owner's."""
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue(
            waiting, of_owner, refuse=asyncio.Future.set_exception, busy=busy
        )
        self._free = places
        self._given_back = 0

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._queue)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place for what is done inside, when it is its turn. Raises ``BusyError``."""
        await self.acquire()
        try:
            yield
        finally:
            self.release()

    async def acquire(self, *, stuck_s: float | None = None) -> None:
        """Take a place, to be given back with ``release``. Raises ``BusyError``.

        That comes at once where no more may wait, and later where it has to leave for somebody
        who has less waiting. ``TimeoutError``: no place was given back for ``stuck_s``.
        """
        if self._free and not len(self._queue):
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put(turn)
        try:
            while not turn.done():
                before = self._given_back
                await asyncio.wait({turn}, timeout=stuck_s)
                if not turn.done() and self._given_back == before:
                    raise TimeoutError
        except (asyncio.CancelledError, TimeoutError):
            if not self._queue.remove(turn) and turn.exception() is None:
                self.release()  # it was given a place in the same moment
            raise
        turn.result()

    def release(self) -> None:
        """Give a place back, to who is next."""
        self._free += 1
        self._given_back += 1
        while self._free and len(self._queue):
            self._free -= 1
            self._queue.take().set_result(None)


class OwnerQuota:
    """How much of each owner's may be under way at a time; nothing waits here."""

    def __init__(
        self,
        limit: int,
        *,
        busy: type[BusyError] = BusyError,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``limit``: how many of one owner's people, and as many of their programs."""
        self._limit = limit
        self._busy = busy
        self._held: dict[tuple[str, bool], Counter[str]] = {}
        """By owner and kind, how many of each session's."""
        self._pace = Pace(clock)

    def __len__(self) -> int:
        return sum(held.total() for held in self._held.values())

    @contextmanager
    def hold(self, *, of_session: int | None = None) -> Iterator[None]:
        """Count what is done inside as the current share's. Raises ``BusyError``.

        ``of_session``: the most of one session, where sessions are different people.
        """
        whose = share()
        key = (whose.owner, whose.interactive)
        held = self._held.get(key, Counter())
        mine = held[whose.session]
        if whose.owner and (held.total() >= self._limit or mine >= (of_session or self._limit)):
            count = mine if of_session else held.total()
            ahead = len(self._held) * max(1, count // 2)
            raise self._busy(count, self._pace.seconds_for(ahead), own=True)
        held[whose.session] += 1
        self._held[key] = held
        try:
            yield
        finally:
            held[whose.session] -= 1
            if not held[whose.session]:
                del held[whose.session]
            if not held:
                del self._held[key]
            self._pace.served(more=bool(self._held))
