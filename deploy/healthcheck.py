"""Ends with 0 when the server says that it lives; with 1 and a sentence otherwise.

For an image that has no curl. A server that is still loading its models lives: whether it is
``ready`` too is for a load balancer to ask, and nothing to restart it for.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys

TIMEOUT_S = 8
MAX_BYTES = 1_000_000


class UnixConnection(http.client.HTTPConnection):
    """HTTP over the Unix socket ``path``."""

    def __init__(self, path: str) -> None:
        """Name the socket; nothing is connected yet."""
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket instead of an address."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(self._path)


def connection() -> http.client.HTTPConnection:
    """Return the way to the server that the settings in the environment name."""
    path = os.environ.get("XOE_UDS")
    if path:
        return UnixConnection(path)
    host = os.environ.get("XOE_HOST", "127.0.0.1")
    return http.client.HTTPConnection(host, int(os.environ.get("XOE_PORT", "8000")), TIMEOUT_S)


def main() -> int:
    """Ask once."""
    asked = connection()
    try:
        asked.request("GET", "/health")
        health = json.loads(asked.getresponse().read(MAX_BYTES))
    except (OSError, http.client.HTTPException, ValueError) as exc:
        print(f"The server does not answer: {exc}.", file=sys.stderr)  # noqa: T201
        return 1
    finally:
        asked.close()
    if isinstance(health, dict) and health.get("live") is True:
        return 0
    print("The server answers that it does not live.", file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main())
