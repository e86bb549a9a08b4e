"""The Unix socket that a tunnel forwards to."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Final

from core.errors import ShareError
from xoe.net.connections import BoundedSocket

SOCKET_NAME: Final = "share.sock"
_PATH_MAX_BYTES: Final = 107
_BACKLOG: Final = 128


def bind(data_dir: Path) -> tuple[BoundedSocket, Path]:
    """Return a listening socket (mode 0600) and its path; what a killed server left is replaced.

    The data folder belongs to this server alone, so nobody else can be listening there. Raises
    ``ShareError``.
    """
    path = data_dir / SOCKET_NAME
    if len(os.fsencode(path)) > _PATH_MAX_BYTES:
        raise ShareError(
            f"The data folder's path is too long to share from: {path} may have "
            f"{_PATH_MAX_BYTES} bytes. Choose a shorter one with --data-dir."
        )
    listener = BoundedSocket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        path.chmod(0o600)  # nobody can connect yet: that takes the listen() below
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as exc:
        listener.close()
        raise ShareError(f"Nothing can listen on {path}: {exc.strerror}.") from exc
    return listener, path
