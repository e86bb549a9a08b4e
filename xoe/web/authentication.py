"""Lets in who may come in, and tells everybody behind it who that is.

This is the one place where it is decided. Chainlit's own login is not used: its cookie is taken out
of each request, and one put in that was made for the identity found here, so that what Chainlit
believes is always what is known here.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import structlog
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import XoeError
from core.share import current_share
from xoe.auth import identity as identities
from xoe.auth.identity import COOKIE, Identity, Refusal
from xoe.auth.services import CONSOLE, AuthProvider
from xoe.net.listeners import Listener, listener_of
from xoe.net.reach import is_loopback
from xoe.page import chainlit_patches
from xoe.web.notice import notice
from xoe.web.problems import told
from xoe.web.visitor import visitor_of

log = structlog.get_logger(__name__)

STATIC: Final = ("/public/", "/assets/", "/static-offline-docs/", "/favicon", "/logo")
"""What ships with the program and is the same for everybody."""
ENTRANCES: Final = ("/login", "/invitation/", "/shared/", "/health")
"""What can be asked without having come in; each decides by itself what it tells."""
OPERATORS: Final = (
    *("/status", "/metrics", "/health/", "/share", "/accounts", "/docs", "/redoc", "/openapi.json"),
)
_BUSY_S: Final = 0.5

_Why = Refusal | None
"""Why a cookie is refused; ``None`` where there was none."""
_TELL: Final[dict[_Why, str]] = {
    None: "This is a private assistant. To come in you need an invitation: open the whole link "
    "that you were given.",
    "unknown": "You are not known here, or no longer. Open the whole link that you were given, or "
    "ask for a new one.",
    "expired": "Your invitation has ended. Please ask whoever gave it to you for a new one.",
    "ended": "Your visit was ended: you have logged out, or whoever invited you has ended it.",
}
_LOG_IN: Final = "Please log in."
_NOT_YOURS: Final = "This is for the operator of this server."


class Authentication:
    """ASGI middleware that sets ``scope["xoe.identity"]``, or refuses.

    A websocket whose login ends is closed within two seconds, at once when it is ended here.
    """

    def __init__(self, app: ASGIApp, provider: Callable[[], AuthProvider]) -> None:
        """Wrap ``app``; ``provider`` returns who knows who may come in, or raises ``XoeError``."""
        self._app = app
        self._provider = provider

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or a websocket of somebody known, or refuse it."""
        if scope["type"] not in ("http", "websocket") or is_static(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            provider = self._provider()
            found = await identify(scope, provider)
        except XoeError as exc:
            await _refuse(scope, receive, send, _answer(scope, "Not just now", str(exc), 503))
            return
        path: str = scope["path"]
        if isinstance(found, Identity):
            if _is_for(path, OPERATORS) and not found.is_operator:
                await _refuse(scope, receive, send, _answer(scope, "Not for you", _NOT_YOURS, 403))
                return
            await self._admit(scope, receive, send, provider, found)
        elif _is_for(path, ENTRANCES):
            await self._app(chainlit_patches.as_nobody(scope), receive, send)
        else:
            log.info(
                "authentication.refused", listener=listener_of(scope).name, reason=found or "nobody"
            )
            await _refuse(scope, receive, send, _refusal(scope, found))

    async def _admit(
        self, scope: Scope, receive: Receive, send: Send, provider: AuthProvider, found: Identity
    ) -> None:
        inner = chainlit_patches.as_known(scope, found)
        inner[identities.SCOPE_KEY] = found
        token = identities.current.set(found)
        whose = current_share.set(found.share_at_page(""))
        try:
            if scope["type"] == "http":
                await self._app(inner, receive, send)
            else:
                await _Socket(self._app, inner, receive, send).serve(provider, found)
        finally:
            current_share.reset(whose)
            identities.current.reset(token)


async def identify(scope: Scope, provider: AuthProvider) -> Identity | _Why:
    """Return who sent a request, or why nobody is."""
    listener, headers = listener_of(scope), Headers(scope=scope)
    bearer = headers.get("authorization", "")
    if listener.name == "local" and secrets.compare_digest(
        bearer.encode(), f"Bearer {provider.console_token}".encode()
    ):
        return CONSOLE
    cookies = headers.get("cookie", "")
    token = cookie_parser(cookies).get(COOKIE, "")
    kind, _, given = bearer.partition(" ")
    if not token and kind.lower() == "bearer":
        token = given.strip()
    found: Identity | _Why = None
    if token:
        found = await (await provider.auth()).sessions.find(token)
    if isinstance(found, Identity):
        return found
    is_here = listener.admits_visitors and _is_from_here(scope)
    if is_here and not await provider.any_account():
        known = visitor_of(cookies)
        return identities.visitor(known) if known else identities.without_cookie("")
    return found


def _is_from_here(scope: Scope) -> bool:
    """Return whether a request comes from this computer, by its address or a Unix socket."""
    address = (scope.get("client") or ("",))[0]
    try:
        ipaddress.ip_address(address)
    except ValueError:  # a Unix socket's has none
        return True
    return is_loopback(address)


class _Socket:
    """One websocket, which ends when its login does."""

    def __init__(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        self._app = app
        self._scope = scope
        self._receive = receive
        self._send = send
        self._accepted = asyncio.Event()
        self._over = False

    async def serve(self, provider: AuthProvider, found: Identity) -> None:
        watch = asyncio.create_task(self._watch(provider, found))
        try:
            await self._app(self._scope, self._take, self._give)
        finally:
            watch.cancel()

    async def _take(self) -> Message:
        message: Message = {} if self._over else await self._receive()
        return {"type": "websocket.disconnect", "code": 1008} if self._over else message

    async def _give(self, message: Message) -> None:
        if self._over:
            return
        await self._send(message)
        if message["type"] == "websocket.accept":
            self._accepted.set()

    async def _watch(self, provider: AuthProvider, found: Identity) -> None:
        await self._accepted.wait()
        while True:
            try:
                await (await provider.auth()).sessions.wait_for_change()
                now = await identify(self._scope, provider)
            except XoeError:
                await asyncio.sleep(_BUSY_S)
                continue  # the database is busy: who was let in stays until it says otherwise
            if now != found:
                break
        self._over = True
        log.info("authentication.socket_closed", role=found.role)
        await self._send({"type": "websocket.close", "code": 1008, "reason": _TELL["ended"]})


def is_static(path: str) -> bool:
    """Whether a path is of a file that ships with the program."""
    return path.startswith(STATIC)


def _is_for(path: str, prefixes: tuple[str, ...]) -> bool:
    return any(
        path.startswith(prefix)
        if prefix.endswith("/")
        else path.rstrip("/") == prefix or (path.startswith(f"{prefix}/") and prefix != "/health")
        for prefix in prefixes
    )


def _refusal(scope: Scope, why: _Why) -> Response:
    listener: Listener = listener_of(scope)
    is_guests = listener.name == "share"
    if is_guests or not _wants_page(scope):
        sentence = _TELL[why] if is_guests else _LOG_IN
        response = _answer(scope, "You need an invitation", sentence, 401)
    else:
        asked = scope["path"] + (
            f"?{scope['query_string'].decode('latin-1')}" * bool(scope.get("query_string"))
        )
        target = "/login" if asked == "/" else f"/login?next={quote(asked, safe='/')}"
        response = RedirectResponse(target, status_code=303)
    if why is not None:
        response.delete_cookie(COOKIE, path="/")
    return response


def _answer(scope: Scope, title: str, sentence: str, status: int) -> Response:
    """Return a sentence: as a page to whoever asks for one, as JSON to a program."""
    if _wants_page(scope):
        return notice(title, sentence, status=status)
    return told(status, sentence)


def _wants_page(scope: Scope) -> bool:
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return False
    return "text/html" in Headers(scope=scope).get("accept", "")


async def _refuse(scope: Scope, receive: Receive, send: Send, response: Response) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": _LOG_IN})
        return
    await response(scope, receive, send)
