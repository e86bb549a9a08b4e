"""How many connections there may be, and how long each may keep the server waiting.

Counted where they are accepted, so that one whose TLS handshake never ends is counted too. What a
client owes (a handshake, a request's head, room for an answer) has a time limit; the body of a
request has one of its own in ``xoe.web.limits``. Where no more are taken, a newcomer gets the place
of one that waits for its client, of its own address or of the one that has most, and of that one's
newest answer where nothing waits, so that others still come in. Websockets are kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import h11
import structlog
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

log = structlog.get_logger(__name__)

_NOT_SENT_BYTES: Final = 128 * 1024
"""What the kernel takes beyond what is under way, so that a slow reader is seen to read."""
_GONE_MS: Final = 60_000
"""After so long without a sign of life the kernel gives up what it has sent."""
_AT_ONCE: Final = 8
_ABOUT_TO_ASK_S: Final = 2.0
_THIS_COMPUTER: Final = ("127.0.0.1", "::1")
_TOLD_EVERY_S: Final = 10.0
_NO_REQUEST: Final = b'{"detail": "This is not a request that HTTP/1.1 knows."}'

Debt = Literal["head", "body", "reading"]
"""What is waited for: a handshake or a request's head, the rest of its body, an answer's reader."""


@dataclass(frozen=True)
class ConnectionLimits:
    """A browser has six connections and a websocket for each tab."""

    total: int = 512
    """A process may often have 1,024 open files, and this one needs some for itself."""
    per_address: int = 128
    per_proxy: int = 256
    """From a Unix socket or this computer: who comes by a tunnel or a proxy comes from there."""
    head_s: float = 15.0
    """For a TLS handshake and a request's first line and headers, together."""
    reading_s: float = 30.0
    """For a piece of an answer (48 KB) to be read; uvicorn waits with more until it is."""


@dataclass(eq=False)
class Connection:
    """One accepted connection."""

    accepted: socket.socket
    origin: str
    """Whose it is: an address, or a Unix socket's path."""
    owes: Debt | None
    since: float
    """When it began to owe that."""
    transport: asyncio.Transport | None = None
    is_page: bool = False
    """Whether it has become a websocket, which is kept."""

    def end(self) -> None:
        """Close it at once, whatever is still to be sent."""
        if self.transport is not None:
            self.transport.abort()
            return
        with contextlib.suppress(OSError):  # amid a handshake: its transport sees the end
            self.accepted.shutdown(socket.SHUT_RDWR)


@dataclass
class Connections:
    """All connections of one server, by whatever listener they came. For one event loop."""

    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    clock: Callable[[], float] = time.monotonic
    """Seconds."""
    _open: dict[int, Connection] = field(default_factory=dict)
    _by_origin: Counter[str] = field(default_factory=Counter)
    _looking: bool = False
    _told: Counter[str] = field(default_factory=Counter)
    _told_at: float = float("-inf")

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._open)

    def watch(self, listener: BoundedSocket) -> None:
        """Count what ``listener`` accepts from now on."""
        listener.connections = self
        if listener.family == socket.AF_UNIX:
            return
        for name, value in (("TCP_NOTSENT_LOWAT", _NOT_SENT_BYTES), ("TCP_USER_TIMEOUT", _GONE_MS)):
            if hasattr(socket, name):  # Linux; what is accepted has it too
                listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def admit(self, accepted: socket.socket, origin: str) -> bool:
        """Count one more; return False where there is no place, and nobody's that it may have."""
        limit = self.limits
        is_proxy = accepted.family == socket.AF_UNIX or origin in _THIS_COMPUTER
        most = limit.per_proxy if is_proxy else limit.per_address
        if self._by_origin[origin] >= most:
            has_place = self._make_room_of_own(origin)
        else:
            has_place = len(self._open) < limit.total or self._make_room(origin)
        if not has_place:
            self._note("refused")
            return False
        self._open[accepted.fileno()] = Connection(accepted, origin, "head", self.clock())
        self._by_origin[origin] += 1
        if not self._looking:
            self._looking = True
            self._look_again()
        return True

    def made(self, transport: asyncio.Transport) -> Connection | None:
        """Return the connection of ``transport``, which can be closed by it from now on."""
        found = self._open.get(transport.get_extra_info("socket").fileno())
        if found is not None:
            found.transport = transport
        return found

    def owes(self, connection: Connection, debt: Debt | None) -> None:
        """Note what is waited for; the time counts from when that began."""
        if connection.owes != debt:
            connection.owes, connection.since = debt, self.clock()

    def forget(self, number: int) -> None:
        """Count the one with that file number no more."""
        connection = self._open.pop(number, None)
        if connection is None:
            return
        self._by_origin[connection.origin] -= 1
        if not self._by_origin[connection.origin]:
            del self._by_origin[connection.origin]

    def end_all(self) -> None:
        """Close all that there are, whatever is still to be sent."""
        for connection in tuple(self._open.values()):
            self.forget(connection.accepted.fileno())
            connection.end()

    def _make_room_of_own(self, newcomer: str) -> bool:
        idle = [c for c in self._open.values() if c.origin == newcomer and c.owes == "head"]
        if idle:
            self._end(min(idle, key=lambda one: one.since), "room")
        return bool(idle)

    def _make_room(self, newcomer: str) -> bool:
        may_go = [connection for connection in self._open.values() if not connection.is_page]
        most = max((self._by_origin[connection.origin] for connection in may_go), default=0)
        wanted = self._by_origin[newcomer] + 1
        of_most = [one for one in may_go if self._by_origin[one.origin] == most]
        if wanted == most:  # who has as many may have come a moment ago, and be about to ask
            since = self.clock() - _ABOUT_TO_ASK_S
            of_most = [one for one in of_most if one.owes is not None and one.since <= since]
        if wanted > most or not of_most:
            return False
        self._end(min(of_most, key=_worth), "room")
        return True

    def _look_again(self) -> None:
        """End what has taken too long, every second while there are any."""
        if not self._open:
            self._looking = False
            return
        limit = self.limits
        now = self.clock()
        for connection in tuple(self._open.values()):
            if connection.transport is not None and connection.transport.is_closing():
                # What is closed is first sent to its end, also a websocket's last frames.
                self.owes(connection, "reading")
            waited_s = now - connection.since
            if connection.owes == "head" and waited_s > limit.head_s:
                self._end(connection, "head")
            elif connection.owes == "reading" and waited_s > limit.reading_s:
                self._end(connection, "reading")
        every_s = min(1.0, limit.head_s / 4, limit.reading_s / 4)
        asyncio.get_running_loop().call_later(every_s, self._look_again)

    def _end(self, connection: Connection, why: str) -> None:
        self.forget(connection.accepted.fileno())
        connection.end()
        self._note(why)

    def _note(self, why: str) -> None:
        self._told[why] += 1
        now = self.clock()
        if now - self._told_at >= _TOLD_EVERY_S:
            log.warning("connections.ended", open=len(self._open), **self._told)
            self._told.clear()
            self._told_at = now


def _worth(connection: Connection) -> tuple[int, float]:
    """Return what is lost with it: of what waits the oldest goes first, then the newest answer."""
    match connection.owes:
        case "head":
            return 0, connection.since
        case None:
            return 2, -connection.since
        case _:
            return 1, connection.since


class BoundedSocket(socket.socket):
    """A listening socket whose connections are counted once ``Connections.watch`` has it."""

    connections: Connections | None = None
    _taken: int = 0
    """In this turn of the event loop."""

    def accept(self) -> tuple[socket.socket, Any]:
        """Return a connection; raises ``ConnectionAbortedError`` for one that has no place.

        And ``BlockingIOError`` after a few: asyncio would go on for as long as there are more,
        while those that are there already wait.
        """
        connections = self.connections
        if connections is None:
            return super().accept()
        if self._taken >= _AT_ONCE:
            raise BlockingIOError
        plain, address = super().accept()
        if not self._taken:
            asyncio.get_running_loop().call_soon(self._begin_turn)
        self._taken += 1
        accepted = _Accepted(plain.family, plain.type, plain.proto, fileno=plain.detach())
        is_unix = self.family == socket.AF_UNIX
        # One address is the same by a listener for IPv4 and by one for both.
        origin = self.getsockname() if is_unix else address[0].removeprefix("::ffff:")
        if not connections.admit(accepted, origin):
            accepted.close()
            raise ConnectionAbortedError
        accepted.connections = connections
        return accepted, address

    def _begin_turn(self) -> None:
        self._taken = 0


class _Accepted(socket.socket):
    """Tells when it is closed."""

    connections: Connections | None = None

    def close(self) -> None:
        if self.connections is not None:
            self.connections.forget(self.fileno())
        super().close()


class BoundedConfig(uvicorn.Config):
    """The configuration of a server whose connections are bounded."""

    def __init__(self, app: Any, connections: Connections, **options: Any) -> None:
        """``options`` are uvicorn's."""
        super().__init__(app, http=BoundedProtocol, **options)
        self.connections = connections


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 on one connection, which notes what is waited for."""

    config: BoundedConfig
    _connection: Connection | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        super().connection_made(transport)
        self._connection = self.config.connections.made(transport)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request; those of a head do not renew its time."""
        super().data_received(data)
        self._note()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._note()

    def pause_writing(self) -> None:
        """Wait for the reader."""
        super().pause_writing()
        self._note()

    def resume_writing(self) -> None:
        """Go on: a piece was read."""
        super().resume_writing()
        self._note()

    def send_400_response(self, msg: str) -> None:
        """Tell in JSON, as everything else is told, that this is no request.

        Amid an answer there is nothing to tell: the connection is closed.
        """
        if self.cycle is not None:  # whoever reads it has nobody to answer any more
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        headers = [
            *(("content-type", "application/json"), ("x-content-type-options", "nosniff")),
            *(("content-length", str(len(_NO_REQUEST))), ("connection", "close")),
        ]
        refusal = h11.Response(status_code=400, headers=headers)
        try:
            for event in (refusal, h11.Data(data=_NO_REQUEST), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        except h11.LocalProtocolError:  # to HEAD: it may have no body
            self.transport.abort()
            return
        self.transport.close()

    def _note(self) -> None:
        if self._connection is not None:
            self._connection.is_page = self.transport.get_protocol() is not self
            self.config.connections.owes(self._connection, self._owed())

    def _owed(self) -> Debt | None:
        if self.transport.get_protocol() is not self:
            return None  # a websocket looks after itself with pings
        if self.flow.write_paused:
            return "reading"
        if self.cycle is None or self.cycle.response_complete:
            return "head"
        return "body" if self.cycle.more_body and not self.cycle.response_started else None
