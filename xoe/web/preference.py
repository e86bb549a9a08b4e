"""The model that this browser begins its chats with: a cookie that the page's tour sets."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from chains.profiles import find_profile
from core.settings import LlmProfile

COOKIE: Final = "xoe_profile"

_preferred: ContextVar[str] = ContextVar("xoe_preferred_profile", default="")


class PreferredProfile:
    """ASGI middleware that notes the cookie, since Chainlit does not hand requests on."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request knowing what its browser prefers."""
        if scope["type"] == "http":
            cookies = cookie_parser(Headers(scope=scope).get("cookie", ""))
            _preferred.set(cookies.get(COOKIE, "")[:20])
        await self._app(scope, receive, send)


def preferred_first(installed: Sequence[LlmProfile]) -> tuple[LlmProfile, ...]:
    """Return the installed models with the browser's own first, where it prefers one of them."""
    wanted = find_profile(_preferred.get(), installed)
    if wanted is None:
        return tuple(installed)
    return (wanted, *(name for name in installed if name != wanted))
