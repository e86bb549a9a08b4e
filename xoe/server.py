"""The server: FastAPI with the Chainlit page mounted, on a socket that is bound first."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import uvicorn
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from xoe import __version__, running
from xoe.access import AccessLog, http_metrics, routes_of
from xoe.errors import XoeError
from xoe.lean import leave_out
from xoe.listener import address, bind, release
from xoe.settings import Settings, site_root
from xoe.startup import Startup

MAX_HEAD_BYTES = 32 * 1024
"""Of a request: its first line and its headers."""
MAX_SOCKET_BYTES = 1_000_000
"""Of one message on a websocket, as Chainlit's socket itself has it. A chunk of sound has 8 KB."""


def create_app(settings: Settings) -> FastAPI:
    """Build the app: our routes, and the page at ``/``. ``serve`` attaches what they call."""
    os.environ["CHAINLIT_APP_ROOT"] = str(site_root())
    with leave_out():
        from chainlit.server import app as page
    from chainlit.utils import mount_chainlit

    from xoe import api, health
    from xoe.page import status, web

    app = FastAPIOffline(
        title="Xoe-NovAi",
        version=__version__,
        description="Ask your own documents. Every statement of an answer cites a sentence.",
    )
    routers = (api.router, health.router, status.router)
    for router in routers:
        app.include_router(router)
    app.state.interface = routes_of(*routers)
    app.state.http_metrics = http_metrics(app.state.interface)
    web.install(page, settings, alone=False)
    mount_chainlit(app=app, target=str(site_root() / "app.py"), path="/")
    return app


async def serve(settings: Settings, *, announce: bool = True) -> None:
    """Serve until the process is told to end. Raises ``XoeError`` when it cannot start."""
    listener = bind(settings)
    try:
        startup = Startup.begin(settings)
        try:
            await _serve(startup, listener, announce=announce)
        finally:
            await startup.aclose()
    finally:
        release(listener, settings)


async def _serve(startup: Startup, listener: socket.socket, *, announce: bool) -> None:
    app = create_app(startup.settings)
    from chainlit.server import app as page

    from xoe.page import web
    from xoe.protection import protected

    app.state.startup = startup
    web.attach(page, startup)
    config = uvicorn.Config(
        AccessLog(
            protected(app, startup.settings),
            routes=app.state.interface,
            metrics=app.state.http_metrics,
        ),
        http="h11",  # the one whose bounds on a request's head are known
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        ws="auto",
        ws_max_size=MAX_SOCKET_BYTES,
        ws_per_message_deflate=False,  # on this computer it only costs time
        server_header=False,
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
    )
    server = uvicorn.Server(config)
    # uvicorn raises a signal that ended it once more, and SIGTERM would then end the process
    # before the services have stopped.
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: setattr(server, "should_exit", True))
    watcher = asyncio.create_task(_end_without_services(startup, server))
    try:
        uds = startup.settings.uds
        url = address(listener)
        await asyncio.to_thread(running.announce, startup.settings.data_dir, url, uds)
        if announce:
            print(f"\n  Xoe-NovAi is at {uds or url}  (Ctrl-C ends it)\n", flush=True)  # noqa: T201
        await server.serve(sockets=[listener])
        if not server.started:
            raise XoeError("The server could not start; the log says why.")
    finally:
        await watcher  # raises what kept the services from coming up
        web.detach(page)


async def _end_without_services(startup: Startup, server: uvicorn.Server) -> None:
    try:
        await startup.wait()
    except BaseException:
        server.should_exit = True
        raise
