"""Names each request, counts it, and writes one line about it."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Sequence
from typing import Final

import structlog
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from telemetry import scope as log_scope
from telemetry.metrics import HttpMetrics

log = structlog.get_logger(__name__)

HEADER: Final = "X-Request-ID"
PAGE: Final = "page"
"""Stands for everything that is not the HTTP interface."""
_GIVEN_ID: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")
_POLLED: Final = (
    *("/health", "/health/circuits", "/health/turns", "/metrics"),
    *("/page/standing", "/page/measurement", "/share/state", "/visit"),
)

_POLL_STATUSES: Final = (200, 503)
"""503: not ready yet, which is asked for again and again."""


class AccessLog:
    """ASGI middleware; the outermost, so that what is refused is counted too.

    A request's ``X-Request-ID`` is taken over where it is 1 to 64 letters, digits, dots, dashes
    and underscores, else made up; it is in the answer's headers and in every line that is logged
    meanwhile. A websocket has one as well. Requests to the HTTP interface are logged, those for
    files of the page at debug level only; so are those for health and metrics, which come every
    few seconds, unless they were refused or whoever asks has named the request.
    """

    def __init__(self, app: ASGIApp, *, routes: Sequence[APIRoute], metrics: HttpMetrics) -> None:
        """Wrap ``app``, whose interface are ``routes``."""
        self._app = app
        self._routes = [(route.path_regex, route.path) for route in routes]
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or a websocket under its name."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        is_named = _GIVEN_ID.fullmatch(given) is not None
        request_id = given if is_named else secrets.token_hex(8)
        with log_scope.request(request_id):
            if scope["type"] == "websocket":
                await self._app(scope, receive, send)
            else:
                await self._serve(scope, receive, send, request_id, is_named=is_named)

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, request_id: str, *, is_named: bool
    ) -> None:
        began = time.perf_counter()
        status: int | None = None

        async def with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, with_id)
        finally:
            seconds = time.perf_counter() - began
            route, method = self._route(scope["path"]), scope["method"]
            self._metrics.request(route, method, status, seconds)
            is_poll = route in _POLLED and status in _POLL_STATUSES and not is_named
            write = log.debug if route == PAGE or is_poll else log.info
            write("http.request", method=method, route=route, status=status, ms=_ms(seconds))

    def _route(self, path: str) -> str:
        return next((name for regex, name in self._routes if regex.match(path)), PAGE)


def routes_of(*routers: APIRouter) -> list[APIRoute]:
    """Return the routes of the HTTP interface; an app does not list those of its routers."""
    return [route for router in routers for route in router.routes if isinstance(route, APIRoute)]


def http_metrics(routes: Sequence[APIRoute]) -> HttpMetrics:
    """Return what counts the requests to ``routes`` and to the page."""
    return HttpMetrics([*(route.path for route in routes), PAGE])


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
