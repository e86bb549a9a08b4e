"""The socket that the server listens on: an address of this computer, or a Unix socket."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path

from core.errors import SettingsError
from core.settings import Settings
from xoe.net.connections import BoundedSocket

BACKLOG = 512
UNIX_URL = "http://localhost"
"""What a request over the Unix socket is addressed to; the page's guard knows the name."""
_OWN = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not listened on
UNIX_PATH_MAX_BYTES = 107
"""``sun_path`` holds 108 bytes, the last one NUL."""


def bind(settings: Settings) -> BoundedSocket:
    """Return a listening socket. Raises ``SettingsError`` with what to do when it cannot be had."""
    if settings.uds is not None:
        return _bind_unix(settings.uds)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's algorithm off for what connects; an answer's
    # second piece would wait up to 40 ms for the other side's acknowledgement.
    listener = BoundedSocket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as exc:
        listener.close()
        if exc.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"Port {settings.port} is in use by another program. Choose another one: "
                f"xoe serve --port {settings.port + 1 if settings.port < 65535 else 8000}"
            ) from exc
        raise SettingsError(
            f"Cannot listen on {settings.host}:{settings.port}: {exc.strerror}."
        ) from exc
    listener.listen(BACKLOG)
    return listener


def address(listener: socket.socket) -> str:
    """Return the address to open in a browser; of a Unix socket the one to ask over it."""
    if listener.family == socket.AF_UNIX:
        return UNIX_URL
    host, port = listener.getsockname()[:2]
    host = _OWN.get(host, host)  # all addresses are no address that a browser could open
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def release(listener: socket.socket, settings: Settings) -> None:
    """Take the Unix socket's file away, and close the socket."""
    if settings.uds is not None:
        settings.uds.unlink(missing_ok=True)
    listener.close()


def _bind_unix(path: Path) -> BoundedSocket:
    """Listen on ``path``, mode 0600: who may open the file is who may come in."""
    if len(os.fsencode(path)) > UNIX_PATH_MAX_BYTES:
        raise SettingsError(
            f"The Unix socket's path may have {UNIX_PATH_MAX_BYTES} bytes at most: choose a "
            f"shorter one than {path}."
        )
    listener = BoundedSocket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        listener.bind(str(path))
        path.chmod(0o600)  # nobody can connect yet: that takes the listen() below
        listener.listen(BACKLOG)
    except OSError as exc:
        listener.close()
        raise SettingsError(f"Cannot listen on the Unix socket {path}: {exc.strerror}.") from exc
    except SettingsError:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    """Remove the socket of a server that was killed; raises where one still answers."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise SettingsError(f"{path} is there already and is no socket: choose another path.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise SettingsError(f"Another server is listening on {path}: stop it, or choose another path.")
