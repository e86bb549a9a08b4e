"""How much a request may carry, how slowly, and how many that read much are served at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import BusyError
from core.fairness import FairSlots
from xoe.web.problems import answer_to, told

log = structlog.get_logger(__name__)

_KIB = 1024
_JSON_BYTES = 256 * _KIB
"""A question of the most characters, each written as an escape of twelve bytes, and some room."""
_MAX_HEADERS = 100
_MAX_HEADER_BYTES = 32 * _KIB
_MAX_URL_BYTES = 8 * _KIB
_READS = ("/project/thread", "/export/", "/links")
"""What lists, searches, opens and exports chats."""
_READS_AT_ONCE = 4
_READS_WAITING = 512


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
            await answer_to(exc)(scope, receive, send)
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
        self._refusal: Response | None = None
        self._started = False
        self._bytes = 0
        self._whole = False
        self._gone = False  # so nobody is owed an answer

    def declared_too_large(self) -> Response | None:
        declared = Headers(scope=self._scope).get("content-length", "0")
        if declared.isdecimal() and int(declared[:20]) > self._limit.max_bytes:
            return self._too_large()
        return None

    async def served_by(self, app: ASGIApp) -> Response | None:
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

    def _too_large(self) -> Response:
        return _refusal(413, f"It is larger than {self._limit.named}.")


def _oversized_head(scope: Scope) -> Response | None:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > _MAX_URL_BYTES:
        return _refusal(414, "The address is too long.")
    if len(headers) > _MAX_HEADERS or sum(len(k) + len(v) for k, v in headers) > _MAX_HEADER_BYTES:
        return _refusal(431, "The request has too many headers, or too long ones.")
    return None


def _refusal(status: int, sentence: str) -> Response:
    return told(status, sentence, {"Connection": "close"})
