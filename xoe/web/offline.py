"""The page's HTML: nothing in it asks another host, and the browser is told to refuse that."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xoe.page.chainlit_patches import CLOSED, with_named_scripts, without_foreign_links
from xoe.web.problems import told

# Content-hashed names: what has one of them never changes.
_IMMUTABLE = "/assets/"


def content_security_policy(host: str, nonce: str) -> str:
    """Return the policy for the page served under ``host`` (name and port).

    ``unsafe-eval``: Chainlit compiles its custom elements in the browser; only files in
    ``public/elements`` get there. ``blob:``: its microphone and player are worklets of that kind.
    ``unsafe-inline`` is for style attributes alone.
    """
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' 'nonce-{nonce}' 'unsafe-eval' blob:",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self'",
            f"connect-src 'self' ws://{host} wss://{host}",
            "media-src 'self' blob:",
            "worker-src 'self' blob:",
            "frame-src 'none'",
            "frame-ancestors 'none'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
        )
    )


class OfflinePage:
    """ASGI middleware that rewrites HTML pages and sets the policy that fits each."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request with its page rewritten and its policy set."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _is_closed(scope["path"]):
            missing = told(404, "There is nothing at this address.")
            await missing(scope, receive, send)
            return
        reply = _HtmlResponse(scope, send)
        await self._app(_uncompressed(scope), receive, reply.send)


class _HtmlResponse:
    """One response on its way out: an HTML body is held back until it is whole."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._start: Message | None = None
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            if headers.get("content-type", "").startswith("text/html"):
                self._start = message
                return
            if self._scope["path"].startswith(_IMMUTABLE) and message["status"] == 200:
                headers["Cache-Control"] = "public, max-age=31536000, immutable"
        elif self._start is not None and message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._send_page(self._start)
            return
        await self._send(message)

    async def _send_page(self, start: Message) -> None:
        nonce = secrets.token_urlsafe(16)
        html = without_foreign_links(self._body.decode("utf-8"))
        body = with_named_scripts(html, nonce).encode("utf-8")
        headers = MutableHeaders(scope=start)
        host = Headers(scope=self._scope).get("host", "")
        headers.setdefault("Content-Security-Policy", content_security_policy(host, nonce))
        headers["Cache-Control"] = "no-store"  # the nonce is for this time only
        headers["Content-Length"] = str(len(body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


def _is_closed(path: str) -> bool:
    return any(path == closed or path.startswith(f"{closed}/") for closed in CLOSED)


def _uncompressed(scope: Scope) -> Scope:
    """Return the scope without ``Accept-Encoding``.

    A compressed page could not be rewritten, and on this computer compressing 5 MB of script
    takes longer than handing it over.
    """
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    kept = [(name, value) for name, value in headers if name.lower() != b"accept-encoding"]
    plain: dict[str, Any] = {**scope, "headers": kept}
    return plain
