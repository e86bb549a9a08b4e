"""Answers only what was asked of this server by its own page, or by a program."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from xoe.net.listeners import listener_of
from xoe.web.problems import told

log = structlog.get_logger(__name__)

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_SOCKET_PATH = "/ws/socket.io"


class HostGuard:
    """ASGI middleware against DNS rebinding and against other sites' scripts.

    The ``Host`` must be a name of the listener that was come by; of the local one that is a
    loopback name or the configured one: a page of another site whose name was pointed at 127.0.0.1
    is not answered. Where a browser says which site asks (``Origin``), websockets, the socket's
    polling and everything that changes something must come from here.
    """

    def __init__(self, app: ASGIApp, *, names: Collection[str]) -> None:
        """Wrap ``app``; ``names`` are those of the local listener, in lower case."""
        self._app = app
        self._names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with 403."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        problem = self._problem(scope, headers.get("host", ""), headers.get("origin"))
        if problem is None:
            await self._app(scope, receive, send)
            return
        log.warning("page.refused", reason=problem, path=scope["path"][:200])
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": problem})
            return
        refusal = told(403, f"This request is refused: {problem}.")
        await refusal(scope, receive, send)

    def _problem(self, scope: Scope, host: str, origin: str | None) -> str | None:
        listener = listener_of(scope)
        names = self._names if listener.name == "local" else listener.hosts
        if _hostname(f"//{host}") not in names:
            return "its Host is not this server's name"
        if origin is None or not _must_be_ours(scope):
            return None
        if netloc_of(origin) != host.lower():
            return "it comes from another site"
        return None


def _must_be_ours(scope: Scope) -> bool:
    return (
        scope["type"] == "websocket"
        or scope["method"] not in _SAFE_METHODS
        or scope["path"].startswith(_SOCKET_PATH)
    )


def netloc_of(origin: str) -> str:
    """Return name and port of an ``Origin``, in lower case; nothing of what is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:  # as below
        return ""


def _hostname(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:  # an IPv6 address without its closing bracket
        return ""
