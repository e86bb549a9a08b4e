"""The doors of one server: the address of this computer, the local network, a shared link.

Behind all of them is the same app. Which door somebody came by is in the ASGI scope, and decides
by which names the server may be addressed and whether anybody is let in without a login.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import structlog
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from core.errors import XoeError
from xoe.net.connections import BoundedConfig, BoundedListener, Connections

log = structlog.get_logger(__name__)

DoorName = Literal["local", "lan", "share"]
SCOPE_KEY: Final = "xoe.door"

MAX_HEAD_BYTES: Final = 32 * 1024
"""Of a request: its first line and its headers."""
MAX_SOCKET_BYTES: Final = 1_000_000
"""Of one message on a websocket, as Chainlit's socket itself has it. A chunk of sound has 8 KB."""
_OPEN_S: Final = 10.0
_CLOSE_S: Final = 10


@dataclass(frozen=True)
class Door:
    """One way in."""

    name: DoorName
    hosts: frozenset[str] = frozenset()
    """Names, in lower case and without a port, by which a browser may address this door."""
    is_https: bool | None = None
    """What the browser sees, where that is not what arrives here: behind a tunnel."""

    @property
    def admits_visitors(self) -> bool:
        """Whether somebody without a login may come in while there are no accounts."""
        return self.name == "local"


def door_of(scope: Mapping[str, Any]) -> Door:
    """Return the door by which a request came; the local one where nothing says another."""
    door = scope.get(SCOPE_KEY)
    return door if isinstance(door, Door) else _LOCAL


_LOCAL: Final = Door("local")


@dataclass
class _Doorway:
    """ASGI middleware that notes the door; what it notes can be changed while it is open."""

    app: ASGIApp
    door: Door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[SCOPE_KEY] = self.door
        if self.door.is_https is not None and scope["type"] in ("http", "websocket"):
            plain, safe = ("http", "https") if scope["type"] == "http" else ("ws", "wss")
            scope["scheme"] = safe if self.door.is_https else plain
        await self.app(scope, receive, send)


class SideServer(uvicorn.Server):
    """A server beside the main one, which alone listens to signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


@dataclass
class _Open:
    doorway: _Doorway
    server: uvicorn.Server
    task: asyncio.Task[None]


@dataclass
class Doors:
    """Opens and closes the doors beside the local one, in the running loop."""

    app: ASGIApp
    connections: Connections = field(default_factory=Connections)
    """All that there are, of the local door too."""
    _open: dict[DoorName, _Open] = field(default_factory=dict)

    async def open(
        self, door: Door, listener: BoundedListener, *, tls: ssl.SSLContext | None = None
    ) -> None:
        """Serve ``listener`` (bound, listening; closed with the door) as ``door``.

        Raises ``XoeError`` when a door of that name is open already, or cannot be served.
        """
        if door.name in self._open:
            raise XoeError(f"The door “{door.name}” is open already.")
        doorway = _Doorway(self.app, door)
        self.connections.watch(listener)
        config = server_config(doorway, self.connections, tls=tls, close_s=_CLOSE_S)
        server = SideServer(config)
        task = asyncio.create_task(server.serve(sockets=[listener]), name=f"door-{door.name}")
        self._open[door.name] = _Open(doorway, server, task)
        async with asyncio.timeout(_OPEN_S):
            while not server.started and not task.done():  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
        if task.done():
            del self._open[door.name]
            listener.close()
            raise XoeError(f"The door “{door.name}” could not be opened; the log says why.")
        log.info("door.opened", door=door.name, tls=tls is not None)

    def change(self, name: DoorName, *, hosts: Iterable[str], is_https: bool | None) -> None:
        """Let a door be addressed by other names from now on: the tunnel's address is known."""
        doorway = self._open[name].doorway
        names = frozenset(host.lower() for host in hosts)
        doorway.door = replace(doorway.door, hosts=names, is_https=is_https)

    def is_open(self, name: DoorName) -> bool:
        """Whether there is such a door just now."""
        return name in self._open

    async def close(self, name: DoorName) -> None:
        """Close a door and end what came in by it; nothing happens where it is closed."""
        opened = self._open.pop(name, None)
        if opened is None:
            return
        opened.server.should_exit = True
        opened.server.force_exit = True
        await asyncio.wait([opened.task], timeout=_CLOSE_S)
        log.info("door.closed", door=name)

    async def aclose(self) -> None:
        """Close all of them."""
        for name in tuple(self._open):
            await self.close(name)


def server_config(
    app: ASGIApp,
    connections: Connections,
    *,
    close_s: int,
    tls: ssl.SSLContext | None = None,
) -> uvicorn.Config:
    """Return how every door is served; ``close_s`` bounds the wait for what still runs."""
    return BoundedConfig(  # by h11, the one whose bounds on a request's head are known
        app,
        connections,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        ws="auto",
        ws_max_size=MAX_SOCKET_BYTES,
        ws_per_message_deflate=False,  # on this computer it only costs time
        server_header=False,
        proxy_headers=False,
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=close_s,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls,
    )
