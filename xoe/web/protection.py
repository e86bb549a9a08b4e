"""What stands round every answer of the server: who may ask, how much, and what browsers are told.

The headers are on everything that leaves, errors and refused websockets included, because they
are set outside the app that makes the errors.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.settings import Settings
from xoe.auth.services import AuthProvider
from xoe.net.reach import names_of
from xoe.web.authentication import Authentication
from xoe.web.host_guard import HostGuard
from xoe.web.limits import BodyLimit, BodyLimits, FairRequests
from xoe.web.offline import OfflinePage
from xoe.web.problems import UNEXPECTED, InSentences, told
from xoe.web.reading import DICTATION_PATH, MAX_RECORDING_BYTES
from xoe.web.uploads import QUEUE_PATH, UPLOAD_PATH

_KIB = 1024
_MIB = 1024 * 1024
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": (
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), hid=(), "
        "magnetometer=(), microphone=(self), midi=(), payment=(), serial=(), usb=()"
    ),
}
_NO_FRAMES = "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# A worker lives by the policy that its script came with.
_SCRIPT_POLICY = f"default-src 'self'; {_NO_FRAMES}"
# Opened by itself in a tab, nothing else may run anything or load anything: no uploaded file, no
# picture that holds a script.
_DATA_POLICY = f"default-src 'none'; style-src 'unsafe-inline'; sandbox; {_NO_FRAMES}"
# What ships with the program, the same for everybody. All else may be somebody's own.
_PUBLIC = ("/assets/", "/public/", "/static-offline-docs/", "/avatars/", "/favicon", "/logo")


def protected(app: ASGIApp, settings: Settings, provider: Callable[[], AuthProvider]) -> ASGIApp:
    """Return ``app`` with all of it round it; ``provider`` returns who knows who may come in."""
    fair = FairRequests(OfflinePage(InSentences(app)))
    inner = BodyLimits(fair, limits=body_limits(settings))
    return ProtectingHeaders(HostGuard(Authentication(inner, provider), names=names_of(settings)))


def body_limits(settings: Settings) -> dict[str, BodyLimit]:
    """Return the limits of the routes that take more than a small JSON object, by path."""
    # With room for the form round the file: the route itself counts the file's own bytes.
    upload = BodyLimit(
        (settings.upload_max_mb + 1) * _MIB,
        f"{settings.upload_max_mb} MB, the most that one file may have",
    )
    dictation = BodyLimit(
        MAX_RECORDING_BYTES + _KIB, f"{MAX_RECORDING_BYTES // _MIB} MB of sound at a time"
    )
    return {UPLOAD_PATH: upload, QUEUE_PATH: upload, DICTATION_PATH: dictation}


class ProtectingHeaders:
    """ASGI middleware that sets the protecting headers, where they are not set already."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or a websocket with the headers on its answer."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        accepted = started = False

        async def with_headers(message: Message) -> None:
            nonlocal accepted, started
            kind = message["type"]
            started = started or kind == "http.response.start"
            if kind == "websocket.accept":
                accepted = True
            refuses = kind == "websocket.close" and not accepted
            if refuses and "websocket.http.response" in scope.get("extensions", {}):
                # Left to itself, the server would refuse with an answer of its own, without any.
                start: Message = {"type": "websocket.http.response.start", "status": 403}
                _add_headers(start, scope["path"])
                await send(start)
                await send({"type": "websocket.http.response.body", "body": b""})
                return
            if kind in (
                *("http.response.start", "websocket.accept", "websocket.http.response.start"),
            ):
                _add_headers(message, scope["path"])
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        except Exception:
            # The app answers its own errors; this is one of what stands round it.
            if scope["type"] == "http" and not started:
                await told(500, UNEXPECTED)(scope, receive, with_headers)
            raise


def _add_headers(message: Message, path: str) -> None:
    message.setdefault("headers", [])
    headers = MutableHeaders(scope=message)
    for name, value in _ALWAYS.items():
        headers.setdefault(name, value)
    kind = headers.get("content-type", "")
    policy = _SCRIPT_POLICY if "javascript" in kind else _DATA_POLICY
    headers.setdefault("Content-Security-Policy", policy)
    if not path.startswith(_PUBLIC):
        headers.setdefault("Cache-Control", "no-store")
