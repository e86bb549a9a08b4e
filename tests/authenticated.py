"""A client of an app behind the real authentication, with a database of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from core.settings import Settings
from xoe.auth.services import AuthServices
from xoe.chats.store import Threads
from xoe.net.listeners import SCOPE_KEY, Listener
from xoe.web.protection import protected

PAGE = {"accept": "text/html,*/*"}
GOOD = "kettle orbit lantern"
"""A password."""


class Authenticated:
    """The app, the listener by which the next request comes, and the auth behind it."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.settings = settings
        self.listener = Listener("local")
        self._app = protected(app, settings, lambda: self)
        self._auth: AuthServices | None = None
        self.console_token = "what the command line sends"
        self.services: Any = None
        """As far as a test needs them."""

    async def any_account(self) -> bool:
        return await (await self.auth()).users.any_account()

    async def auth(self) -> AuthServices:
        if self._auth is None:
            self._auth = await AuthServices.open(self.settings)
        return self._auth

    async def threads(self) -> Threads:
        return Threads((await self.auth()).db)

    async def wait(self) -> Any:
        return self.services

    async def aclose(self) -> None:
        if self._auth is not None:
            await self._auth.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[SCOPE_KEY] = self.listener
        await self._app(scope, receive, send)


@contextmanager
def authenticated_client(
    app: ASGIApp, folder: Path, *, base_url: str = "http://127.0.0.1:8000"
) -> Iterator[tuple[TestClient, Authenticated]]:
    os.environ.setdefault("CHAINLIT_AUTH_SECRET", "only for tests " * 3)
    authenticated = Authenticated(app, Settings(data_dir=folder))
    with TestClient(authenticated, base_url=base_url, raise_server_exceptions=False) as client:
        try:
            yield client, authenticated
        finally:
            assert client.portal is not None
            client.portal.call(authenticated.aclose)


def call(client: TestClient, authenticated: Authenticated, act):
    async def run():
        return await act(await authenticated.auth())

    assert client.portal is not None
    return client.portal.call(run)


def field(html: str, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', html)
    assert found is not None, html
    return unescape(found[1])


def said(html: str) -> str:
    found = re.search(r'role="(?:alert|status)">([^<]*)<', html)
    return unescape(found[1]) if found else ""


def log_in(client: TestClient, name: str, password: str, **more: str):
    page = client.get("/login", params=more, headers=PAGE)
    form = {"name": name, "password": password, "token": field(page.text, "token")}
    form["next"] = field(page.text, "next")
    return client.post("/login", data=form, headers=PAGE, follow_redirects=False)
