"""Brings the services up and down where nobody else does: under ``chainlit run app.py``."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from fastapi import FastAPI

from core.errors import XoeError
from core.settings import load_settings
from telemetry.logging import configure_logging
from xoe.page import chainlit_patches, session
from xoe.serve import install as web
from xoe.startup import Startup

if TYPE_CHECKING:
    from xoe.services import Services


_END_S = 1.0
"""What the pages have to show that the server is stopping."""


def attached(app: FastAPI) -> Startup:
    """Return the services that the page calls, there or on their way."""
    startup: Startup | None = getattr(app.state, "startup", None)
    if startup is None:
        raise RuntimeError("The page was asked before anything was attached to it.")
    return startup


async def services(app: FastAPI) -> Services:
    """Return the services, waiting for them while they come up."""
    return await attached(app).wait()


def prepare(app: FastAPI) -> None:
    """Make Chainlit's app this page, unless the server has done so before it loaded ``app.py``."""
    chainlit_patches.quieten()
    startup: Startup | None = getattr(app.state, "startup", None)
    if startup is not None:  # a reload: Chainlit has read its own limits again
        chainlit_patches.offer_no_more(startup.settings)
    try:
        web.install(app, load_settings())
    except XoeError as exc:
        sys.exit(str(exc))


async def start(app: FastAPI) -> None:
    """Bring the services up; without them there is no page, so a failure ends the program."""
    try:
        settings = load_settings()
        configure_logging(settings.log_level)
        web.attach(app, Startup.begin(settings))
        await services(app)
    except XoeError as exc:
        sys.exit(str(exc))


async def close(app: FastAPI) -> None:
    """Take the services down again."""
    startup = attached(app)
    web.detach(app)
    await startup.aclose()


async def end_turns() -> None:
    """Stop what is being answered on all open pages, and have them show that."""
    running: set[asyncio.Task[object]] = set()
    for known in chainlit_patches.open_sessions():
        chat = session.chat_of(known)
        if chat is not None:
            running |= chat.running
            chat.stop()
    if running:
        await asyncio.wait(running, timeout=_END_S)
        await chainlit_patches.until_sent(_END_S)
