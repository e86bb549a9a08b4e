"""Puts the page together: middlewares, its own routes, and the services it calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from fastapi import FastAPI
from starlette.routing import Route

from core.errors import XoeError
from core.settings import Settings
from xoe.page import account, chainlit_patches, exports, invitation, login, reading, uploads
from xoe.page.preference import PreferredProfile
from xoe.page.visitor import VisitorCookie
from xoe.people import Doorkeeper
from xoe.problems import tell_in_sentences
from xoe.protection import protected

if TYPE_CHECKING:
    from xoe.startup import Startup

log = structlog.get_logger(__name__)


def install(app: FastAPI, settings: Settings, *, alone: bool = True) -> None:
    """Add the page's middlewares and its own routes to Chainlit's app, once.

    ``alone``: nothing that is protected already stands round the app. Must run before the first
    request; a second call, as on a reload of ``app.py``, does nothing.
    """
    if getattr(app.state, "page_installed", False):
        return
    chainlit_patches.believe_the_gate()
    tell_in_sentences(app)
    app.add_middleware(VisitorCookie)
    app.add_middleware(PreferredProfile)
    if alone:
        chainlit_patches.reload_the_page_alone()
        app.add_middleware(protected, settings=settings, keeper=lambda: _keeper(app))
    app.state.readings = reading.Readings()
    app.state.dictations = reading.Dictations()
    app.state.arrivals = uploads.Arrivals()
    routes = [
        Route(uploads.UPLOAD_PATH, uploads.receive_upload, methods=["POST"]),
        Route(reading.READ_PATH, reading.send_reading, methods=["GET"]),
        Route(invitation.PATH, invitation.redeem, methods=["GET"]),
        *routes_of_people(),
        *exports.routes(),
        Route(reading.DICTATION_PATH, reading.receive_dictation, methods=["POST"]),
    ]
    chainlit_patches.take_over(app, routes)
    app.state.page_installed = True


def routes_of_people() -> list[Route]:
    """Return what serves the login and the accounts."""
    return [
        Route(login.LOGIN_PATH, login.login_page, methods=["GET"]),
        Route(login.LOGIN_PATH, login.log_in, methods=["POST"]),
        Route(login.LOGOUT_PATH, login.log_out, methods=["POST"]),
        Route(account.PATH, account.account_page, methods=["GET"]),
        Route(account.END_PATH, account.end_login, methods=["POST"]),
        Route(account.ADOPT_PATH, account.adopt_belongings, methods=["POST"]),
        Route(account.PASSWORD_PATH, account.change_password, methods=["POST"]),
    ]


def _keeper(app: FastAPI) -> Doorkeeper:
    startup: Startup | None = app.state.startup
    if startup is None:
        raise XoeError("The server is starting or stopping. Please try again in a moment.")
    return startup


def attach(app: FastAPI, startup: Startup) -> None:
    """Hand the services, there or on their way, to the page; uploads go to their data folder."""
    app.state.startup = startup
    uploads.prepare_folder(startup.settings.data_dir)
    chainlit_patches.offer_no_more(startup.settings)


def detach(app: FastAPI) -> None:
    """Take the services from the page and remove what was uploaded but not read."""
    startup: Startup | None = getattr(app.state, "startup", None)
    if startup is not None:
        app.state.startup = None
        uploads.remove_folder(startup.settings.data_dir)
