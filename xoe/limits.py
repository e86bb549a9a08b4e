"""How much and how fast a client may ask: rates for each owner, sizes for each request.

A person reaches none of these. They keep a program that asks without end, or sends without end,
from taking the server away from everybody else.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Literal

import structlog
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import BusyError, EngineBusyError
from core.fairness import FairSlots, OwnerQuota, Share, as_share, owner_limit
from xoe.problems import headers_of, status_of, told

if TYPE_CHECKING:
    from accounts.identity import Identity
    from core.settings import Settings

log = structlog.get_logger(__name__)

LimitKind = Literal[
    "question",
    "upload",
    "audio",
    "program",
    "session",
    "guest_question",
    "guest_upload",
    "guest_audio",
]
"""``question``, ``upload``, ``audio``: of one owner at the page, whatever their sessions, and of
all guests of one invitation. ``program``: questions of one owner by way of the HTTP interface;
``session``: of one session there. ``guest_…``: of one guest, whatever their sessions."""

TRACKED = 4096
"""Owners and sessions whose rates are known; who was quiet longest is forgotten first."""
PROGRAM_SESSIONS = 10
"""A program may ask for several people, so it gets as much as so many sessions together."""
GUESTS_OF_SHARE = 4
"""One guest may have so much under way of what all of an invitation may: a quarter."""

_KIB = 1024
_MIB = 1024 * 1024
_JSON_BYTES = 256 * _KIB
"""A question of the most characters, each written as an escape of twelve bytes, and some room."""
_MAX_HEADERS = 100
_MAX_HEADER_BYTES = 32 * _KIB
_MAX_URL_BYTES = 8 * _KIB
_READS = ("/project/thread", "/export/", "/links")
"""What lists, searches, opens and exports chats."""
_READS_AT_ONCE = 4
_READS_WAITING = 512

_DOING: Mapping[LimitKind, str] = {
    "question": "asking faster than your questions can be answered",
    "upload": "sending files faster than they can be read",
    "audio": "starting calls or dictations faster than they can be served",
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
}
"""What counts by the guest, and what by the invitation."""


@dataclass(frozen=True)
class Rate:
    """So many a minute in the long run, and so many at once."""

    a_minute: int
    at_once: int


class RateLimits:
    """Token buckets, one for each kind and owner or session. Never waits; one thread."""

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
        self._tracked = tracked
        # When each bucket will be full again; one that is full already is as good as forgotten.
        self._full_at: OrderedDict[tuple[LimitKind, str], float] = OrderedDict()

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
        wait_s = max(self._wait_s(key, now) for key in keys)
        if wait_s > 1e-9:
            log.info("limit.reached", kind=keys[0][0])
            return wait_s
        for key in keys:
            self._full_at[key] = max(now, self._full_at.get(key, now)) + self._interval_s(key)
            self._full_at.move_to_end(key)
        while len(self._full_at) > self._tracked:
            self._full_at.popitem(last=False)
        return 0.0

    def _wait_s(self, key: tuple[LimitKind, str], now: float) -> float:
        ahead_s = max(0.0, self._full_at.get(key, now) - now)
        return ahead_s - (self._rates[key[0]].at_once - 1) * self._interval_s(key)

    def _interval_s(self, key: tuple[LimitKind, str]) -> float:
        return 60 / self._rates[key[0]].a_minute


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


class FairRequests:
    """ASGI middleware: requests that read much of the database are served a few at a time.

    Owners take turns. A place is held from when the request's body is whole until its answer
    begins, so that none is held by a client that is slow.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``."""
        self._app = app
        self._slots = FairSlots(_READS_AT_ONCE, _READS_WAITING)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request when it is its turn, or refuse it with 429 or 503."""
        if scope["type"] != "http" or not scope["path"].startswith(_READS):
            await self._app(scope, receive, send)
            return
        came = [await receive()]
        while came[-1]["type"] == "http.request" and came[-1].get("more_body", False):
            came.append(await receive())
        came.reverse()

        async def replayed() -> Message:
            return came.pop() if came else await receive()

        try:
            await self._slots.acquire()
        except BusyError as exc:
            await told(status_of(exc), str(exc), headers_of(exc))(scope, receive, send)
            return
        holds = True

        def give_back() -> None:
            nonlocal holds
            if holds:
                holds = False
                self._slots.release()

        async def sent(message: Message) -> None:
            give_back()
            await send(message)

        try:
            await self._app(scope, replayed, sent)
        finally:
            give_back()


def _halved(a_minute: int) -> Rate:
    return Rate(a_minute, ceil(a_minute / 2))


def too_fast(kind: LimitKind, wait_s: float) -> str:
    """Return the sentence for somebody who has to wait."""
    seconds = max(1, ceil(wait_s))
    unit = "second" if seconds == 1 else "seconds"
    return f"You are {_DOING[kind]}; please try again in {seconds} {unit}."


def retry_after(wait_s: float) -> dict[str, str]:
    """Return the header that tells a program when to come back."""
    return {"Retry-After": str(max(1, ceil(wait_s)))}


@dataclass(frozen=True)
class BodyPace:
    """How slowly a request's body may arrive; only what is waited for it counts."""

    idle_s: float = 30.0
    """Longest pause between two pieces."""
    grace_s: float = 30.0
    """All pauses together, and more the more has arrived …"""
    bytes_a_second: float = 4 * _KIB
    """… by this rate, far below that of a telephone in the country."""

    def patience_s(self, waited_s: float, received: int) -> float:
        """Return how long the next piece is waited for; 0 or less: no longer."""
        return min(self.idle_s, self.grace_s + received / self.bytes_a_second - waited_s)


@dataclass(frozen=True)
class BodyLimit:
    """The most that a route takes, and how its refusal names that."""

    max_bytes: int
    named: str


def body_limits(settings: Settings) -> dict[str, BodyLimit]:
    """Return the limits of the routes that take more than a small JSON object, by path."""
    from xoe.page.reading import DICTATION_PATH, MAX_RECORDING_BYTES
    from xoe.page.uploads import UPLOAD_PATH

    # With room for the form round the file: the route itself counts the file's own bytes.
    upload = BodyLimit(
        (settings.upload_max_mb + 1) * _MIB,
        f"{settings.upload_max_mb} MB, the most that one file may have",
    )
    dictation = BodyLimit(
        MAX_RECORDING_BYTES + _KIB, f"{MAX_RECORDING_BYTES // _MIB} MB of sound at a time"
    )
    return {UPLOAD_PATH: upload, DICTATION_PATH: dictation}


_SMALL = BodyLimit(_JSON_BYTES, f"{_JSON_BYTES // _KIB} KB, the most that is taken here")


class BodyLimits:
    """ASGI middleware that refuses requests which are too large, while they are read.

    What declares its size is refused unread; what does not is counted as it arrives. Nothing is
    held back, so a route that streams goes on streaming.
    """

    def __init__(
        self, app: ASGIApp, *, limits: Mapping[str, BodyLimit], pace: BodyPace | None = None
    ) -> None:
        """Wrap ``app``; ``limits`` are those of the paths that take more than others."""
        self._app = app
        self._limits = dict(limits)
        self._pace = pace or BodyPace()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with 408, 413, 414 or 431."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limits.get(scope["path"], _SMALL)
        body = _Body(scope, receive, send, limit=limit, pace=self._pace)
        refusal = _oversized_head(scope) or body.declared_too_large()
        if refusal is None:
            refusal = await body.served_by(self._app)
        if refusal is not None:
            log.info("request.refused", status=refusal.status_code, path=scope["path"][:200])
            await refusal(scope, receive, send)


class _RefusedError(Exception):
    """Ends the reading of a body; whoever swallows it, the refusal is sent all the same."""


class _Body:
    """One request's body on its way in, and whether its answer has begun."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, *, limit: BodyLimit, pace: BodyPace
    ) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._limit = limit
        self._pace = pace
        self._waited_s = 0.0
        self._refusal: JSONResponse | None = None
        self._started = False
        self._bytes = 0
        self._whole = False
        self._gone = False  # so nobody is owed an answer

    def declared_too_large(self) -> JSONResponse | None:
        declared = Headers(scope=self._scope).get("content-length", "0")
        if declared.isdecimal() and int(declared[:20]) > self._limit.max_bytes:
            return self._too_large()
        return None

    async def served_by(self, app: ASGIApp) -> JSONResponse | None:
        """Have ``app`` answer; return the refusal to send instead, when it could not."""
        try:
            await app(self._scope, self._receive_counted, self._send_unless_refused)
        except Exception as exc:
            # Whatever became of the refusal on its way: a middleware may make a group of it.
            if self._refusal is None and not self._gone:
                raise
            if self._gone:
                log.info("request.given_up", error=type(exc).__name__)
        return None if self._started else self._refusal

    async def _receive_counted(self) -> Message:
        if self._whole:
            message = await self._receive()
            self._gone = self._gone or message["type"] == "http.disconnect"
            return message
        begun = time.monotonic()
        try:
            async with asyncio.timeout(self._pace.patience_s(self._waited_s, self._bytes)):
                message = await self._receive()
        except TimeoutError:
            self._refusal = _refusal(408, "The request stopped arriving, so it was given up.")
            raise _RefusedError from None
        self._waited_s += time.monotonic() - begun
        if message["type"] != "http.request":
            self._whole = self._gone = True
            return message
        self._bytes += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._bytes > self._limit.max_bytes:
            self._refusal = self._too_large()
            raise _RefusedError
        return message

    async def _send_unless_refused(self, message: Message) -> None:
        # A route that made another error of the interruption is not heard.
        if self._refusal is None or self._started:
            self._started = True
            await self._send(message)

    def _too_large(self) -> JSONResponse:
        return _refusal(413, f"It is larger than {self._limit.named}.")


def _oversized_head(scope: Scope) -> JSONResponse | None:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > _MAX_URL_BYTES:
        return _refusal(414, "The address is too long.")
    if len(headers) > _MAX_HEADERS or sum(len(k) + len(v) for k, v in headers) > _MAX_HEADER_BYTES:
        return _refusal(431, "The request has too many headers, or too long ones.")
    return None


def _refusal(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status_code=status, headers={"Connection": "close"})
