"""The listeners of one server: the address of this computer, the local network, a shared link.

Behind all of them is the same app. Which listener somebody came by is in the ASGI scope, and
decides by which names the server may be addressed and whether anybody is let in without a login.
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
from xoe.net.connections import BoundedConfig, BoundedSocket, Connections

log = structlog.get_logger(__name__)

ListenerName = Literal["local", "lan", "share"]
SCOPE_KEY: Final = "xoe.listener"

MAX_HEAD_BYTES: Final = 32 * 1024
"""Of a request: its first line and its headers."""
MAX_SOCKET_BYTES: Final = 1_000_000
"""Of one message on a websocket, as Chainlit's socket itself has it. A chunk of sound has 8 KB."""
_OPEN_S: Final = 10.0
_CLOSE_S: Final = 10


@dataclass(frozen=True)
class Listener:
    """One way in."""

    name: ListenerName
    hosts: frozenset[str] = frozenset()
    """Names, in lower case and without a port, by which a browser may address this listener."""
    is_https: bool | None = None
    """What the browser sees, where that is not what arrives here: behind a tunnel."""

    @property
    def admits_visitors(self) -> bool:
        """Whether somebody without a login may come in while there are no accounts."""
        return self.name == "local"


def listener_of(scope: Mapping[str, Any]) -> Listener:
    """Return the listener by which a request came; the local one where nothing says another."""
    listener = scope.get(SCOPE_KEY)
    return listener if isinstance(listener, Listener) else _LOCAL


_LOCAL: Final = Listener("local")


@dataclass
class _Marked:
    """ASGI middleware that notes the listener; what it notes can be changed while it is open."""

    app: ASGIApp
    listener: Listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[SCOPE_KEY] = self.listener
        if self.listener.is_https is not None and scope["type"] in ("http", "websocket"):
            plain, safe = ("http", "https") if scope["type"] == "http" else ("ws", "wss")
            scope["scheme"] = safe if self.listener.is_https else plain
        await self.app(scope, receive, send)


class SideServer(uvicorn.Server):
    """A server beside the main one, which alone listens to signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


@dataclass
class _Open:
    marked: _Marked
    server: uvicorn.Server
    task: asyncio.Task[None]


@dataclass
class Listeners:
    """Opens and closes the listeners beside the local one, in the running loop."""

    app: ASGIApp
    connections: Connections = field(default_factory=Connections)
    """All that there are, of the local listener too."""
    _open: dict[ListenerName, _Open] = field(default_factory=dict)

    async def open(
        self, listener: Listener, bound: BoundedSocket, *, tls: ssl.SSLContext | None = None
    ) -> None:
        """Serve ``bound`` (listening already; closed with the listener) as ``listener``.

        Raises ``XoeError`` when a listener of that name is open already, or cannot be served.
        """
        if listener.name in self._open:
            raise XoeError(f"The listener “{listener.name}” is open already.")
        marked = _Marked(self.app, listener)
        self.connections.watch(bound)
        config = server_config(marked, self.connections, tls=tls, close_s=_CLOSE_S)
        server = SideServer(config)
        task = asyncio.create_task(server.serve(sockets=[bound]), name=f"listener-{listener.name}")
        self._open[listener.name] = _Open(marked, server, task)
        async with asyncio.timeout(_OPEN_S):
            while not server.started and not task.done():  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)
        if task.done():
            del self._open[listener.name]
            bound.close()
            raise XoeError(f"The listener “{listener.name}” could not be opened; the log says why.")
        log.info("listener.opened", listener=listener.name, tls=tls is not None)

    def change(self, name: ListenerName, *, hosts: Iterable[str], is_https: bool | None) -> None:
        """Let a listener be addressed by other names from now on: the tunnel's address is known."""
        marked = self._open[name].marked
        names = frozenset(host.lower() for host in hosts)
        marked.listener = replace(marked.listener, hosts=names, is_https=is_https)

    def is_open(self, name: ListenerName) -> bool:
        """Whether there is such a listener just now."""
        return name in self._open

    async def close(self, name: ListenerName) -> None:
        """Close a listener and end what came in by it; nothing happens where it is closed."""
        opened = self._open.pop(name, None)
        if opened is None:
            return
        opened.server.should_exit = True
        opened.server.force_exit = True
        await asyncio.wait([opened.task], timeout=_CLOSE_S)
        log.info("listener.closed", listener=name)

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
    """Return how every listener is served; ``close_s`` bounds the wait for what still runs."""
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
