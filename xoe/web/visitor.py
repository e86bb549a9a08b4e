"""Who somebody is while there is no login: the browser, known by a random cookie."""

from __future__ import annotations

import re
import secrets

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xoe.auth.identity import SCOPE_KEY, SESSION
from xoe.net.listeners import listener_of

COOKIE = "xoe_visitor"
_ID = re.compile(r"[0-9a-f]{32}")
_WITHOUT = "/shared/"
"""Read-only links: whoever opens one comes to read it and no more."""
_YEAR_S = 365 * 24 * 3600


def visitor_of(cookie_header: str) -> str | None:
    """Return the visitor's id (32 hex digits) from a ``Cookie`` header, if it holds one."""
    value = cookie_parser(cookie_header).get(COOKIE, "")
    return value if _ID.fullmatch(value) else None


class VisitorCookie:
    """ASGI middleware that gives each browser its cookie with the page."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the cookie to an HTML page for a browser that has none yet."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        found = scope.get(SCOPE_KEY)
        is_new = found is None or found.id == SESSION
        known = visitor_of(Headers(scope=scope).get("cookie", ""))
        is_ours = listener_of(scope).admits_visitors and not scope["path"].startswith(_WITHOUT)
        if known or not is_new or not is_ours:
            await self._app(scope, receive, send)
            return

        async def with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if headers.get("content-type", "").startswith("text/html"):
                    secure = "; Secure" if scope["scheme"] == "https" else ""
                    headers.append(
                        "Set-Cookie",
                        f"{COOKIE}={secrets.token_hex(16)}; Path=/; Max-Age={_YEAR_S}; "
                        f"HttpOnly; SameSite=Lax{secure}",
                    )
            await send(message)

        await self._app(scope, receive, with_cookie)
