"""Chats as files, and read-only links to them.

``/export/…`` and ``/links`` are for whoever the chat belongs to; the owner is part of each query.
``/shared/TOKEN`` is for everybody who has the whole link, and shows one page without a script.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from core.errors import EngineNotReadyError, XoeError
from xoe.auth.identity import SESSION, Identity, identity_of
from xoe.chats.export import KINDS, answer_of, export
from xoe.chats.export.clean import line, shown_date
from xoe.chats.export.page import POLICY, html_of
from xoe.chats.types import LINK_DAYS, StoredThread
from xoe.page.markup import neutralise
from xoe.web.forms import json_of
from xoe.web.notice import notice
from xoe.web.problems import told

if TYPE_CHECKING:
    from xoe.chats.links import Links, SharedLink
    from xoe.startup import Startup

log = structlog.get_logger(__name__)

CHAT_PATH: Final = "/export/{thread}.{kind}"
ANSWER_PATH: Final = "/export/{thread}/{message}.{kind}"
LINKS_PATH: Final = "/links"
LINK_PATH: Final = "/links/{link}"
SHARED_PATH: Final = "/shared/{token}"
_POLICY: Final = f"{POLICY}; frame-ancestors 'none'; sandbox"
_NO_CHAT: Final = (
    "There is no such chat of yours, or nothing of it is saved yet. Please try again in a moment."
)
_NO_LINK: Final = (
    "This link leads nowhere: it has ended, it was taken back, or it is not the whole link. "
    "Please ask whoever gave it to you."
)
_GUESTS: Final = (
    "Guests cannot make links. Export the chat as a file, which is yours to keep and to send."
)


def routes() -> list[Route]:
    """Return what serves exports and links."""
    return [
        Route(ANSWER_PATH, send_export, methods=["GET"]),
        Route(CHAT_PATH, send_export, methods=["GET"]),
        Route(LINKS_PATH, list_links, methods=["GET"]),
        Route(LINKS_PATH, make_link, methods=["POST"]),
        Route(LINK_PATH, take_back, methods=["DELETE"]),
        Route(SHARED_PATH, show_shared, methods=["GET"]),
    ]


async def send_export(request: Request) -> Response:
    """``GET /export/CHAT.KIND`` or ``/export/CHAT/MESSAGE.KIND``: one file to keep."""
    kind = next((known for known in KINDS if known == request.path_params["kind"]), None)
    if kind is None:
        return told(404, f"A chat is exported as {', '.join(KINDS)}.")
    thread = await _chat(request, request.path_params["thread"], _message(request))
    if thread is None:
        return told(404, _NO_CHAT)
    made = await asyncio.to_thread(export, thread, kind, neutralise=neutralise)
    log.info("export.sent", kind=kind, bytes=len(made.content))
    response = Response(made.content, media_type=made.media_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{made.filename}"'
    response.headers["Content-Security-Policy"] = _POLICY
    return response


async def list_links(request: Request) -> Response:
    """``GET /links``: the links of whoever asks, without their tokens, which are not known."""
    found = await (await _links(request)).list(_owner(request))
    return JSONResponse({"links": [_link(link) for link in found]})


async def make_link(request: Request) -> Response:
    """``POST /links`` with ``{"thread", "message"?, "days"?}``: a link, told this once."""
    asked = await json_of(request)
    thread_id, message, days = (
        asked.get("thread"),
        asked.get("message"),
        asked.get("days", LINK_DAYS),
    )
    if (
        not isinstance(thread_id, str)
        or not isinstance(message, str | None)
        or isinstance(days, bool)
        or not isinstance(days, int | float)
    ):
        return told(422, "A link needs the chat's id: thread; and may have message and days.")
    if identity_of(request.scope).is_guest:
        return told(403, _GUESTS)
    thread = await _chat(request, thread_id, message)
    if thread is None:
        return told(404, _NO_CHAT)
    page = await asyncio.to_thread(
        partial(html_of, thread, subtitle=f"Shared from {shown_date(thread.created_at)}")
    )
    link, token = await (await _links(request)).create(
        _owner(request),
        thread_id,
        page,
        name=line(thread.name),
        message=message,
        days=days,
    )
    log.info("link.made", days=days, whole=message is None)
    return JSONResponse({**_link(link), "path": SHARED_PATH.format(token=token)}, status_code=201)


async def take_back(request: Request) -> Response:
    """``DELETE /links/ID``: a link of whoever asks leads nowhere from now on."""
    links = await _links(request)
    was_there = await links.revoke(_owner(request), request.path_params["link"])
    if not was_there:
        return told(404, "There is no such link of yours; it may have ended by itself.")
    log.info("link.taken_back")
    return Response(status_code=204)


async def show_shared(request: Request) -> Response:
    """``GET /shared/TOKEN``: what was shared; the same page for all that lead nowhere."""
    try:
        page = await (await _links(request)).page(request.path_params["token"])
    except XoeError as exc:
        return _unlisted(notice("Not just now", str(exc), status=503))
    if page is None:
        return _unlisted(notice("Nothing is shared here", _NO_LINK, status=404))
    return _unlisted(HTMLResponse(page, headers={"Content-Security-Policy": _POLICY}))


def _unlisted(response: Response) -> Response:
    response.headers["X-Robots-Tag"] = "noindex, nofollow, noarchive"
    response.headers["Cache-Control"] = "no-store"
    return response


def _message(request: Request) -> str | None:
    message: str | None = request.path_params.get("message")
    return message


async def _chat(request: Request, thread_id: str, message: str | None) -> StoredThread | None:
    """Return a chat of whoever asks, or one answer of it; ``None`` when there is none."""
    owner = _owner(request)
    if owner == SESSION:  # a browser without cookies: known by its page, not by its requests
        return None
    threads = await _startup(request).threads()
    thread = await threads.get(owner, thread_id)
    if thread is None or not thread.messages:
        return None
    return thread if message is None else answer_of(thread, message)


def _owner(request: Request) -> str:
    identity: Identity = identity_of(request.scope)
    return identity.id


async def _links(request: Request) -> Links:
    from xoe.chats.links import Links  # with the database, behind the page

    return Links((await _startup(request).auth()).db)


def _startup(request: Request) -> Startup:
    startup: Startup | None = request.app.state.startup
    if startup is None:
        raise EngineNotReadyError(
            "The server is starting or stopping. Please try again in a moment."
        )
    return startup


def _link(link: SharedLink) -> dict[str, Any]:
    return asdict(link) | {"until": shown_date(link.ends_at)}
