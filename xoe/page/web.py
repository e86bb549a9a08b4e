"""Puts the page together: middlewares, its own routes, and the services it calls."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import structlog
from chainlit.config import config
from fastapi import FastAPI
from starlette.routing import Route

from xoe.errors import XoeError
from xoe.page import account, exports, invitation, login, reading, uploads
from xoe.page.modules import remember_modules
from xoe.page.preference import PreferredProfile
from xoe.page.visitor import VisitorCookie
from xoe.people import Doorkeeper
from xoe.protection import protected
from xoe.settings import Settings

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
    # Chainlit shows chats to somebody with a login only. It never sees one: the gate makes it
    # believe what it has found out, with a secret that nobody else has to know.
    os.environ["CHAINLIT_CUSTOM_AUTH"] = "true"
    os.environ["CHAINLIT_AUTH_SECRET"] = secrets.token_urlsafe(32)
    app.add_middleware(VisitorCookie)
    app.add_middleware(PreferredProfile)
    if alone:
        app.add_middleware(protected, settings=settings, keeper=lambda: _keeper(app))
    app.state.readings = reading.Readings()
    app.router.routes[:0] = [
        Route(uploads.UPLOAD_PATH, uploads.receive_upload, methods=["POST"]),
        Route(reading.READ_PATH, reading.send_reading, methods=["GET"]),
        Route(invitation.PATH, invitation.redeem, methods=["GET"]),
        *routes_of_people(),
        *exports.routes(),
        Route(reading.DICTATION_PATH, reading.receive_dictation, methods=["POST"]),
    ]
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
    startup.once_there(lambda: remember_modules(app))
    uploads.prepare_folder(startup.settings.data_dir)
    apply_limits(startup.settings)


def detach(app: FastAPI) -> None:
    """Take the services from the page and remove what was uploaded but not read."""
    startup: Startup | None = getattr(app.state, "startup", None)
    if startup is not None:
        app.state.startup = None
        uploads.remove_folder(startup.settings.data_dir)


def apply_limits(settings: Settings) -> None:
    """Tell the browser what is to be had, so that it offers nothing that would be refused."""
    upload = config.features.spontaneous_file_upload
    if upload is not None:
        upload.max_size_mb = settings.upload_max_mb
        upload.max_files = settings.upload_max_files
    audio = config.features.audio
    if audio is not None:
        audio.enabled = settings.voice
