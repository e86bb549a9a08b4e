"""The listener to the local network: TLS, so that phones have a microphone, and the way to it.

Two ports are opened on all addresses: the app over TLS, and plain HTTP that only leads there. The
same is said to who speaks plain HTTP to the TLS port.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import segno
import structlog
import uvicorn
from starlette.types import ASGIApp

from core.errors import CertificateError, SettingsError
from core.settings import Settings
from core.tasks import Tasks
from xoe.net import certificates
from xoe.net.authority import Authority
from xoe.net.certificates import CertificatePaths
from xoe.net.connections import BoundedSocket
from xoe.net.listeners import Listener, Listeners, SideServer, server_config
from xoe.net.plain_http import INSTALL_PATH, PlainHttp
from xoe.net.sockets import BACKLOG

log = structlog.get_logger(__name__)

LOOK_AGAIN_S: Final = 30.0
"""How often this computer's addresses are looked at, and the end of its certificate."""
_PURPOSE: Final = "lan"
_TRIED_PORTS: Final = 10
_CLOSE_S: Final = 2
_Listener = TypeVar("_Listener", bound=BoundedSocket)


@dataclass(frozen=True)
class _State:
    """How this computer can be reached just now, and what it shows for it."""

    authority: Authority
    certificate_pem: bytes
    names: tuple[str, ...]
    paths: CertificatePaths


class LanSocket(BoundedSocket):
    """A listening socket that hands out who speaks TLS, and passes on who speaks plain HTTP.

    The kernel wakes it when a client has sent something (where it can: Linux), so that one look
    at the first byte tells which. Nothing is read here.
    """

    on_plain: Callable[[socket.socket], None] | None = None

    def accept(self) -> tuple[socket.socket, Any]:
        """Return a connection; raises ``BlockingIOError`` for one that was passed on.

        And ``ConnectionAbortedError`` for one that has no place, or is gone.
        """
        connection, address = super().accept()
        connection.setblocking(False)
        try:
            first = connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:  # nothing sent yet: its time counts all the same
            return connection, address
        except OSError as exc:
            connection.close()
            raise ConnectionAbortedError from exc
        if self.on_plain is None or not first or not first.isalpha():
            return connection, address
        self.on_plain(connection)
        raise BlockingIOError  # asks again at once when there is more


class Lan:
    """The network's listener and the plain port beside it. Make with ``prepare``, then ``open``."""

    def __init__(self, data_dir: Path, state: _State, secure: LanSocket, plain: BoundedSocket):
        """Use ``prepare``."""
        self._data_dir = data_dir
        self._secure = secure
        self._plain = plain
        self._names = state.names
        self._authority = state.authority
        self._context = certificates.ssl_context(state.paths)
        self._app = PlainHttp(
            names=frozenset(state.names),
            secure_port=self.secure_port,
            certificate_pem=state.certificate_pem,
            fingerprint=state.authority.fingerprint,
        )
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[Any] | None = None
        self._tasks = Tasks(on_failure=_lost)

    @classmethod
    async def prepare(cls, settings: Settings) -> Lan:
        """Take both ports and make the certificate where there is none.

        Raises ``SettingsError`` when a port cannot be had, ``CertificateError``.
        """
        secure = _listen(LanSocket, settings.lan_port, "--lan-port")
        try:
            plain = _listen_near(settings.lan_http_port)
            try:
                state = await asyncio.to_thread(_look, settings.data_dir)
                return cls(settings.data_dir, state, secure, plain)
            except BaseException:
                plain.close()
                raise
        except BaseException:
            secure.close()
            raise

    async def open(self, listeners: Listeners, protect: Callable[[ASGIApp], ASGIApp]) -> None:
        """Serve from now on; ``protect`` puts the protecting headers round the plain port's app."""
        listeners.connections.watch(self._plain)
        config = server_config(protect(self._app), listeners.connections, close_s=_CLOSE_S)
        self._server = SideServer(config)
        self._secure.on_plain = self._pass_on
        self._serving = self._tasks.spawn(self._server.serve(sockets=[self._plain]))
        await listeners.open(
            Listener("lan", frozenset(self._names)), self._secure, tls=self._context
        )
        self._tasks.spawn(self._keep_up(listeners))

    async def aclose(self) -> None:
        """Close the plain port; the listener itself is closed with the others."""
        self._secure.on_plain = None
        if self._server is None:
            self._plain.close()
            self._secure.close()
            return
        self._server.should_exit = self._server.force_exit = True
        self._tasks.cancel(but=self._serving)
        await self._tasks.wait(_CLOSE_S + 1)

    @property
    def secure_port(self) -> int:
        """The port of the app over TLS."""
        return int(self._secure.getsockname()[1])

    @property
    def plain_port(self) -> int:
        """The port that leads there."""
        return int(self._plain.getsockname()[1])

    def addresses(self) -> tuple[str, ...]:
        """Return the app's addresses for others, those that work everywhere first."""
        own = {"localhost", "127.0.0.1", "::1"}
        return tuple(
            f"https://{_in_url(name)}:{self.secure_port}" for name in self._names if name not in own
        )

    def announcement(self, encoding: str = "utf-8") -> str:
        """Return what the terminal shows: the addresses, the fingerprint, and a QR code.

        The code is left out where the terminal's ``encoding`` has no blocks to draw it with.
        """
        found = self.addresses()
        if not found:
            return (
                "  This computer has no address on a network just now. It is looked for again "
                f"every {LOOK_AGAIN_S:.0f} seconds.\n"
            )
        first = found[0].rpartition(":")[0].replace("https", "http", 1)
        install = f"{first}:{self.plain_port}{INSTALL_PATH}"
        code = io.StringIO()
        segno.make(install, micro=False).terminal(code, border=2, compact=True)
        picture = code.getvalue()
        try:
            picture.encode(encoding)
        except UnicodeEncodeError:
            picture = ""
        listed = "\n".join(f"    {address}" for address in found)
        return (
            f"  On your network it is at\n{listed}\n\n"
            f"  A phone needs this computer's certificate once, to trust it with the microphone:\n"
            f"    {install}\n"
            f"  The certificate's fingerprint (SHA-256) must be\n"
            f"    {self._authority.fingerprint}\n\n{picture}"
        )

    async def _keep_up(self, listeners: Listeners) -> None:
        """Follow this computer's addresses, and renew the certificate before it ends."""
        while True:
            await asyncio.sleep(LOOK_AGAIN_S)
            try:
                await self.refresh(listeners)
            except CertificateError as exc:
                log.warning("lan.certificate_not_renewed", reason=str(exc))

    async def refresh(self, listeners: Listeners) -> None:
        """Take over what has changed. Raises ``CertificateError``."""
        state = await asyncio.to_thread(_look, self._data_dir)
        await asyncio.to_thread(certificates.load, self._context, state.paths)
        if state.names != self._names and listeners.is_open("lan"):
            log.info("lan.addresses_changed", count=len(state.names))
            self._names, self._app.names = state.names, frozenset(state.names)
            listeners.change("lan", hosts=state.names, is_https=None)

    def _pass_on(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._tasks.spawn(loop.connect_accepted_socket(self._plain_protocol, connection))

    def _plain_protocol(self) -> asyncio.Protocol:
        assert self._server is not None  # noqa: S101 - set before anything is accepted
        config = self._server.config
        make: Any = config.http_protocol_class
        protocol: asyncio.Protocol = make(
            config=config, server_state=self._server.server_state, app_state={}
        )
        return protocol


def _lost(problem: BaseException) -> None:
    log.info("lan.connection_lost", error=type(problem).__name__)


def _look(data_dir: Path) -> _State:
    authority = certificates.own_authority(data_dir)
    names = certificates.lan_names(authority)
    paths = certificates.for_names(data_dir, names, purpose=_PURPOSE)
    return _State(authority, authority.pem, names, paths)


def _in_url(name: str) -> str:
    return f"[{name}]" if ":" in name else name


def _listen_near(port: int) -> BoundedSocket:
    """Listen on ``port`` or, where that is taken, on one of the next."""
    last = min(port + _TRIED_PORTS - 1, 65535) if port else 0
    for tried in range(port, last):
        with contextlib.suppress(SettingsError):
            return _listen(BoundedSocket, tried, "--lan-http-port")
    return _listen(BoundedSocket, last, "--lan-http-port")


def _listen(kind: type[_Listener], port: int, option: str) -> _Listener:
    """Listen on all addresses, of IPv4 and, where there is such a thing, of IPv6."""
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    listener = kind(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # see xoe.net.sockets
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if dual:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if hasattr(socket, "TCP_DEFER_ACCEPT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 1)
        listener.bind(("", port))
        listener.listen(BACKLOG)
    except OSError as exc:
        listener.close()
        if exc.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"Port {port} is in use by another program. Choose another one with {option}."
            ) from exc
        raise SettingsError(f"Cannot listen on port {port}: {exc.strerror}.") from exc
    return listener
