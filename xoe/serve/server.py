"""The server: FastAPI with the Chainlit page mounted, on a socket that is bound first."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import uvicorn
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from core.errors import XoeError
from core.settings import Settings, site_root
from xoe import __version__, running
from xoe.net.connections import BoundedSocket
from xoe.net.listeners import Listeners, server_config
from xoe.net.reach import is_open_to_others, require_account
from xoe.net.sockets import address, bind, release
from xoe.serve.trimmed_imports import leave_out
from xoe.startup import Startup
from xoe.web.access_log import AccessLog, http_metrics, routes_of

if TYPE_CHECKING:
    from xoe.net.lan import Lan

LAST_S: Final = 1.0
"""What is being sent or received when the server is to end has so long to come to its end."""
_STOP_S: Final = 3
"""A net: what does not end by itself when its connection is closed is then cancelled."""
HEAD_START_S: Final = 0.1
"""What a page that is waited for has to itself before the engines' libraries are imported."""


def create_app(settings: Settings) -> FastAPI:
    """Build the app: our routes, and the page at ``/``. ``serve`` attaches what they call."""
    os.environ["CHAINLIT_APP_ROOT"] = str(site_root())
    with leave_out():
        from chainlit.server import app as page
    from chainlit.utils import mount_chainlit

    from xoe.serve import install as web
    from xoe.web import (
        accounts_api,
        api,
        firstrun,
        health,
        incoming,
        library,
        originals,
        pages,
        problems,
    )
    from xoe.web import share as share_routes

    app = FastAPIOffline(
        docs_url=None,
        redoc_url=None,
        title="Xoe-NovAi",
        version=__version__,
        description="Ask your own documents. Every statement of an answer cites a sentence.",
    )
    routers = (
        api.router,
        accounts_api.router,
        health.router,
        pages.router,
        firstrun.router,
        share_routes.router,
        incoming.router,
        originals.router,
        library.router,
    )
    for router in routers:
        app.include_router(router, responses=problems.DESCRIBED)
    problems.tell_in_sentences(app)
    app.state.interface = routes_of(*routers)
    app.state.http_metrics = http_metrics(app.state.interface)
    web.install(page, settings, alone=False)
    app.state.arrivals = page.state.arrivals  # one count of all that arrives
    mount_chainlit(app=app, target=str(site_root() / "app.py"), path="/")
    return app


async def serve(settings: Settings, *, announce: bool = True) -> None:
    """Serve until the process is told to end. Raises ``XoeError`` when it cannot start."""
    if is_open_to_others(settings):
        await require_account(settings)
    bound = bind(settings)
    try:
        lan = await _prepared_lan(settings)
        try:
            startup = Startup.begin(settings)
            try:
                await _serve(startup, bound, lan, announce=announce)
            finally:
                await startup.aclose()
        finally:
            if lan is not None:
                await lan.aclose()
    finally:
        release(bound, settings)


async def _prepared_lan(settings: Settings) -> Lan | None:
    if not settings.lan:
        return None
    from xoe.net.lan import Lan  # its libraries take a while to load

    return await Lan.prepare(settings)


async def _serve(
    startup: Startup, bound: BoundedSocket, lan: Lan | None, *, announce: bool
) -> None:
    app = create_app(startup.settings)
    from chainlit.server import app as page

    from xoe.page.guests import PageGuests
    from xoe.serve import install as web
    from xoe.share.service import Sharing
    from xoe.web.protection import ProtectingHeaders, protected

    app.state.startup = startup
    web.attach(page, startup)
    whole = AccessLog(
        protected(app, startup.settings, lambda: startup),
        routes=app.state.interface,
        metrics=app.state.http_metrics,
    )
    startup.listeners = Listeners(whole)
    app.state.guests = guests = PageGuests(startup)
    startup.sharing = Sharing(startup.settings, startup.listeners, startup.auth, guests)
    loop = asyncio.get_running_loop()
    connections = startup.listeners.connections
    connections.watch(bound)
    server = _MainServer(
        server_config(whole, connections, close_s=_STOP_S),
        after_startup=lambda: loop.call_later(HEAD_START_S, _load_the_rest, startup),
        before_shutdown=lambda: _end_answers(startup),
        end_connections=connections.end_all,
    )
    # uvicorn raises a signal that ended it once more, and SIGTERM would then end the process
    # before the services have stopped.
    loop.add_signal_handler(signal.SIGTERM, lambda: setattr(server, "should_exit", True))
    watcher = asyncio.create_task(_end_without_services(startup, server))
    try:
        uds = startup.settings.uds
        url = address(bound)
        await asyncio.to_thread(
            running.announce, startup.settings.data_dir, url, uds, startup.console_token
        )
        if announce:
            print(f"\n  Xoe-NovAi is at {uds or url}  (Ctrl-C ends it)\n", flush=True)  # noqa: T201
        if lan is not None:
            await lan.open(startup.listeners, ProtectingHeaders)
            if announce:
                print(lan.announcement(sys.stdout.encoding or "ascii"), flush=True)  # noqa: T201
        await server.serve(sockets=[bound])
        if not server.started:
            raise XoeError("The server could not start; the log says why.")
    finally:
        await startup.sharing.aclose()
        await startup.listeners.aclose()
        await watcher  # raises what kept the services from coming up
        web.detach(page)


async def _end_answers(startup: Startup) -> None:
    """Tell who is being answered that the server is ending, then close what is shared."""
    from xoe.serve.lifecycle import end_turns

    startup.stop()
    await end_turns()
    if startup.sharing is not None:
        await startup.sharing.aclose()


class _MainServer(uvicorn.Server):
    """Loads the rest behind the page, and ends answers and shares before anything else."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        after_startup: Callable[[], object],
        before_shutdown: Callable[[], Awaitable[None]],
        end_connections: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._after_startup = after_startup
        self._before_shutdown = before_shutdown
        self._end_connections = end_connections

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._after_startup()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._before_shutdown()
        asyncio.get_running_loop().call_later(LAST_S, self._end_connections)
        await super().shutdown(sockets)


def _load_the_rest(startup: Startup) -> None:
    startup.load()
    if startup.sharing is not None:
        startup.sharing.begin()


async def _end_without_services(startup: Startup, server: uvicorn.Server) -> None:
    try:
        await startup.settled()
    except BaseException:
        server.should_exit = True
        raise
