"""What Chainlit's own routes do not survive, answered here in their place."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from typing import Final

from fastapi import FastAPI
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from xoe.web.forms import json_of
from xoe.web.problems import sentence_of, told

SESSION_PATH: Final = "/set-session-cookie"
SESSION_COOKIE: Final = "X-Chainlit-Session-id"
_SESSION_ID: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_LOST: Final = "This page has lost its chat. Please reload it."
_NOTHING: Final = "There is nothing at this address."


def take_over(app: FastAPI, routes: Sequence[Route]) -> None:
    """Put our own routes in front of Chainlit's, whose last one takes every path."""
    app.router.routes[:0] = [Route(SESSION_PATH, remember_page, methods=["POST"]), *routes]
    for kind in (ValueError, OSError):
        app.add_exception_handler(kind, tell_misuse)


async def remember_page(request: Request) -> Response:
    """``POST /set-session-cookie``: what a load balancer keeps a page with one server by.

    Chainlit's own fails on what is no JSON object, and on an id that is no text.
    """
    given = (await json_of(request)).get("session_id")
    if not isinstance(given, str) or not _SESSION_ID.fullmatch(given):
        return told(422, _LOST)
    response = JSONResponse({"message": "Session cookie set"})
    is_secure = request.url.scheme == "https"
    response.set_cookie(SESSION_COOKIE, given, httponly=True, samesite="lax", secure=is_secure)
    return response


async def tell_misuse(_request: Request, error: Exception) -> Response:
    """Answer what Chainlit takes without looking: of a closed page, an odd action or file name."""
    if isinstance(error, ValidationError) and error.title == "Action":
        wrong = [{**one, "loc": ("body", "action", *one["loc"])} for one in error.errors()]
        return told(422, sentence_of(wrong))
    if str(error) == "Session not found":
        return told(404, _LOST)
    if str(error) == "embedded null byte" or getattr(error, "errno", 0) == errno.ENAMETOOLONG:
        return told(404, _NOTHING)
    raise error
