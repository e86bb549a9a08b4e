"""The server: FastAPI with the Chainlit page mounted, on a socket that is bound first."""

from __future__ import annotations

import asyncio
import errno
import os
import socket

import uvicorn
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from xoe import __version__, running
from xoe.errors import SettingsError, XoeError
from xoe.lean import leave_out
from xoe.settings import Settings, site_root
from xoe.startup import Startup

BACKLOG = 512
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def bind(settings: Settings) -> socket.socket:
    """Return a listening socket. Raises ``SettingsError`` with what to do when it cannot be had."""
    if settings.host not in LOOPBACK:
        raise SettingsError(
            f"Listening on {settings.host} would let others in, and there is no login yet. "
            "Use --host 127.0.0.1."
        )
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as exc:
        listener.close()
        if exc.errno == errno.EADDRINUSE:
            raise SettingsError(
                f"Port {settings.port} is in use by another program. Choose another one: "
                f"xoe serve --port {settings.port + 1 if settings.port < 65535 else 8000}"
            ) from exc
        raise SettingsError(
            f"Cannot listen on {settings.host}:{settings.port}: {exc.strerror}."
        ) from exc
    listener.listen(BACKLOG)
    return listener


def address(listener: socket.socket) -> str:
    """Return the address to open in a browser."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def create_app(settings: Settings) -> FastAPI:
    """Build the app: our routes, and the page at ``/``. ``serve`` attaches what they call."""
    os.environ["CHAINLIT_APP_ROOT"] = str(site_root())
    with leave_out():
        from chainlit.server import app as page
    from chainlit.utils import mount_chainlit

    from xoe import api
    from xoe.page import web
    from xoe.page.guard import HostGuard

    app = FastAPIOffline(
        title="Xoe-NovAi",
        version=__version__,
        description="Ask your own documents. Every statement of an answer cites a sentence.",
    )
    app.include_router(api.router)
    app.add_middleware(HostGuard, host=settings.host)
    web.install(page, settings)
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
        listener.close()


async def _serve(startup: Startup, listener: socket.socket, *, announce: bool) -> None:
    app = create_app(startup.settings)
    from chainlit.server import app as page

    from xoe.page import web

    app.state.startup = startup
    web.attach(page, startup)
    config = uvicorn.Config(
        app, log_config=None, log_level="warning", access_log=False, ws="auto", lifespan="off"
    )
    server = uvicorn.Server(config)
    watcher = asyncio.create_task(_end_without_services(startup, server))
    try:
        await asyncio.to_thread(running.announce, startup.settings.data_dir, address(listener))
        if announce:
            print(f"\n  Xoe-NovAi is at {address(listener)}  (Ctrl-C ends it)\n", flush=True)  # noqa: T201
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
