"""How fast a client may ask, and how much at once: for each owner and each session.

A person reaches none of these. They keep a program that asks without end, or sends without end,
from taking the server away from everybody else.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from math import ceil
from typing import TYPE_CHECKING, Literal

import structlog

from core.errors import EngineBusyError
from core.fairness import OwnerQuota, owner_limit
from core.share import Share, as_share
from xoe.auth.buckets import Buckets, Rate

if TYPE_CHECKING:
    from core.settings import Settings
    from xoe.auth.identity import Identity

log = structlog.get_logger(__name__)

LimitKind = Literal[
    "question",
    "upload",
    "audio",
    "original",
    "program",
    "session",
    "guest_question",
    "guest_upload",
    "guest_audio",
]
"""``question``, ``upload``, ``audio``, ``original`` (files and pages to look at): of one owner at
the page, whatever their sessions, and of all guests of one invitation. ``program``: questions of
one owner by way of the HTTP interface; ``session``: of one session there. ``guest_…``: of one
guest, whatever their sessions."""

ORIGINALS_A_MINUTE = 240
ORIGINALS_AT_ONCE = 60
TRACKED = 4096
"""Owners and sessions whose rates are known; who was quiet longest is forgotten first."""
PROGRAM_SESSIONS = 10
"""A program may ask for several people, so it gets as much as so many sessions together."""
GUESTS_OF_SHARE = 4
"""One guest may have so much under way of what all of an invitation may: a quarter."""

_DOING: Mapping[LimitKind, str] = {
    "question": "asking faster than your questions can be answered",
    "upload": "sending files faster than they can be read",
    "audio": "starting calls or dictations faster than they can be served",
    "original": "opening documents faster than their pages can be drawn",
    "program": "asking faster than your questions can be answered",
    "session": "asking faster than your questions can be answered",
    "guest_question": "asking faster than a guest may",
    "guest_upload": "sending files faster than a guest may",
    "guest_audio": "starting calls or dictations faster than a guest may",
}
_OF_GUESTS: Mapping[LimitKind, tuple[LimitKind, LimitKind]] = {
    "question": ("guest_question", "question"),
    "program": ("guest_question", "question"),
    "upload": ("guest_upload", "upload"),
    "audio": ("guest_audio", "audio"),
    "original": ("original", "original"),
}
"""What counts by the guest, and what by the invitation."""


class RateLimits:
    """A bucket for each kind and owner or session. Never waits; one thread."""

    def __init__(
        self,
        rates: Mapping[LimitKind, Rate],
        *,
        clock: Callable[[], float] = time.monotonic,
        tracked: int = TRACKED,
    ) -> None:
        """``clock`` returns seconds; ``tracked`` is the number of buckets kept."""
        self._rates = dict(rates)
        self._clock = clock
        self._buckets = Buckets(tracked)

    @classmethod
    def of(cls, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> RateLimits:
        """Return the limits that the settings tell."""
        asked = settings.limit_questions
        sent = settings.limit_uploads
        spoken = settings.limit_audio
        room = owner_limit(settings.llm_queue_limit)
        return cls(
            {
                # More at once would find no room in the queue.
                "question": Rate(asked, min(ceil(asked / 2), room)),
                "session": Rate(asked, min(ceil(asked / 2), room)),
                "program": Rate(asked * PROGRAM_SESSIONS, room),
                # All the files of one message come at once.
                "upload": Rate(sent, max(ceil(sent / 2), settings.upload_max_files)),
                "audio": Rate(spoken, ceil(spoken / 2)),
                "original": Rate(ORIGINALS_A_MINUTE, ORIGINALS_AT_ONCE),
                "guest_question": _halved(settings.limit_guest_questions),
                "guest_upload": _halved(settings.limit_guest_uploads),
                "guest_audio": _halved(settings.limit_guest_audio),
            },
            clock=clock,
        )

    def take_for(self, who: Identity, kind: LimitKind, *, owner: str = "") -> float:
        """Count one more of ``who``: a guest's by the guest and by the invitation.

        ``owner``: whose it is where that is not told by the identity alone.
        """
        owner = owner or who.share_owner
        if who.is_guest:
            of_guest, of_all = _OF_GUESTS[kind]
            return self._take((of_guest, who.id), (of_all, owner))
        return self.take(kind, owner)

    def take(self, kind: LimitKind, name: str) -> float:
        """Count one more and return 0; or count nothing and return the seconds to wait."""
        return self._take((kind, name))

    def _take(self, *keys: tuple[LimitKind, str]) -> float:
        now = self._clock()
        wait_s = max(self._buckets.wait_s(key, self._rates[key[0]], now) for key in keys)
        if wait_s > 1e-9:
            log.info("limit.reached", kind=keys[0][0])
            return wait_s
        for key in keys:
            self._buckets.take(key, self._rates[key[0]], now)
        return 0.0


class Admission:
    """Counts the questions that each owner has under way, from before the search to the end."""

    def __init__(self, settings: Settings) -> None:
        """One owner has as many under way as may wait of theirs for the model."""
        room = owner_limit(settings.llm_queue_limit)
        self._quota = OwnerQuota(room, busy=EngineBusyError)
        self._of_guest = max(1, room // GUESTS_OF_SHARE)

    def __len__(self) -> int:
        return len(self._quota)

    @contextlib.contextmanager
    def question(self, who: Identity, whose: Share) -> Iterator[None]:
        """Answer a question of ``who`` inside, as ``whose`` work. Raises ``EngineBusyError``."""
        of_session = self._of_guest if who.is_guest else None
        with as_share(whose), self._quota.hold(of_session=of_session):
            yield


def _halved(a_minute: int) -> Rate:
    return Rate(a_minute, ceil(a_minute / 2))


def too_fast(kind: LimitKind, wait_s: float) -> str:
    """Return the sentence for somebody who has to wait."""
    seconds = max(1, ceil(wait_s))
    unit = "second" if seconds == 1 else "seconds"
    return f"You are {_DOING[kind]}; please try again in {seconds} {unit}."
