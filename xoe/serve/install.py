"""Puts the page together: middlewares, its own routes, and the services it calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from fastapi import FastAPI
from starlette.routing import Route

from core.errors import XoeError
from core.settings import Settings
from xoe.auth.services import AuthProvider
from xoe.page import chainlit_patches
from xoe.page.reading import READ_PATH, Readings
from xoe.web import account, exports, invitation, login, reading, uploads
from xoe.web.chainlit_routes import take_over
from xoe.web.preference import PreferredProfile
from xoe.web.problems import tell_in_sentences
from xoe.web.protection import protected
from xoe.web.visitor import VisitorCookie

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
    chainlit_patches.trust_our_login()
    tell_in_sentences(app)
    app.add_middleware(VisitorCookie)
    app.add_middleware(PreferredProfile)
    if alone:
        chainlit_patches.reload_the_page_alone()
        app.add_middleware(protected, settings=settings, provider=lambda: _provider(app))
    app.state.readings = Readings()
    app.state.dictations = reading.Dictations()
    app.state.arrivals = uploads.Arrivals()
    routes = [
        Route(uploads.UPLOAD_PATH, uploads.receive_upload, methods=["POST"]),
        Route(READ_PATH, reading.send_reading, methods=["GET"]),
        Route(invitation.PATH, invitation.redeem, methods=["GET"]),
        *account_routes(),
        *exports.routes(),
        Route(reading.DICTATION_PATH, reading.receive_dictation, methods=["POST"]),
    ]
    take_over(app, routes)
    app.state.page_installed = True


def account_routes() -> list[Route]:
    """Return what serves the login and the accounts."""
    return [
        Route(login.LOGIN_PATH, login.login_page, methods=["GET"]),
        Route(login.LOGIN_PATH, login.log_in, methods=["POST"]),
        Route(login.LOGOUT_PATH, login.log_out, methods=["POST"]),
        Route(account.PATH, account.account_page, methods=["GET"]),
        Route(account.END_PATH, account.end_login, methods=["POST"]),
        Route(account.TRANSFER_PATH, account.take_over, methods=["POST"]),
        Route(account.PASSWORD_PATH, account.change_password, methods=["POST"]),
    ]


def _provider(app: FastAPI) -> AuthProvider:
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
