"""Brings the services up and down where nobody else does: under ``chainlit run app.py``."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

from chainlit.logger import logger
from fastapi import FastAPI

from telemetry.logging import configure_logging
from xoe.errors import XoeError
from xoe.page import web
from xoe.settings import load_settings

if TYPE_CHECKING:
    from xoe.services import Services


def attached_services(app: FastAPI) -> Services | None:
    """Return the services that the page calls, if they are there."""
    services: Services | None = getattr(app.state, "services", None)
    return services


def prepare(app: FastAPI) -> None:
    """Make Chainlit's app this page, unless the server has done so before it loaded ``app.py``."""
    # Chainlit looks for the profiles' overrides of its settings, of which there are none, in a way
    # that cannot work in a running loop; and it misses a translation of the one page that there is.
    warnings.filterwarnings("ignore", message="coroutine 'set_chat_profiles' was never awaited")
    logger.addFilter(lambda record: "Translated markdown file" not in record.msg)
    services = attached_services(app)
    if services is not None:  # a reload: Chainlit has read its own limits again
        web.apply_limits(services.settings)
    try:
        web.install(app, load_settings())
    except XoeError as exc:
        sys.exit(str(exc))


async def start(app: FastAPI) -> None:
    """Create the services; without them there is no page, so a failure ends the program."""
    from xoe.services import Services

    try:
        settings = load_settings()
        configure_logging(settings.log_level)
        web.attach(app, await Services.create(settings))
    except XoeError as exc:
        sys.exit(str(exc))


async def close(app: FastAPI) -> None:
    """Take the services down again."""
    services = attached_services(app)
    if services is not None:
        web.detach(app)
        await services.aclose()
