"""Where an invitation's link leads: in, or to a page that says why not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import InvitationError, XoeError
from xoe.auth.identity import COOKIE, GUEST, SCOPE_KEY, Identity
from xoe.web.notice import notice

if TYPE_CHECKING:
    from xoe.auth.services import AuthServices
    from xoe.startup import Startup

PATH: Final = "/invitation/{token}"
# Messengers look at a link before anybody opens it; that must not use up a guest's place.
_ROBOT: Final = re.compile(
    r"bot|crawl|spider|preview|facebookexternalhit|whatsapp|telegram|slack|discord|skype|"
    r"embedly|vkshare|mastodon|pinterest|curl|wget|python|go-http|okhttp|java/",
    re.IGNORECASE,
)


async def redeem(request: Request) -> Response:
    """``GET /invitation/TOKEN``: let a guest in, with a cookie in place of the link."""
    startup: Startup = request.app.state.startup
    token = request.path_params["token"]
    try:
        auth = await startup.auth()
        if await _is_in_already(request, auth, token):
            return _to_the_page()
        if request.method != "GET" or _ROBOT.search(request.headers.get("user-agent", "bot")):
            await auth.invitations.look(token)
            return notice("An invitation", "Open this link in a browser to come in.")
        lasts_s = (await auth.invitations.look(token)).lasts_s
        guest = await auth.invitations.redeem(token)
        address = request.client.host if request.client is not None else ""
        cookie = await auth.sessions.create(guest, ttl_s=lasts_s, address=address)
    except InvitationError as exc:
        return notice("This link does not let you in", str(exc), status=403)
    except XoeError as exc:
        return notice("Not just now", str(exc), status=503)
    response = _to_the_page()
    set_session_cookie(request, response, cookie, max_age_s=lasts_s)
    return response


def set_session_cookie(
    request: Request, response: Response, cookie: str, *, max_age_s: float
) -> None:
    """Give the browser its login's cookie, which no script can read."""
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=int(max_age_s),
        path="/",
        secure=request.scope["scheme"] == "https",
        httponly=True,
        samesite="lax",
    )


async def _is_in_already(request: Request, auth: AuthServices, token: str) -> bool:
    """Whether this browser came by this very link before, or needs no invitation."""
    found = request.scope.get(SCOPE_KEY)
    if not isinstance(found, Identity):
        return False
    if not found.is_guest:
        return True
    mine = await auth.invitations.of_guest(found.id.removeprefix(GUEST))
    return mine is not None and mine.token == token


def _to_the_page() -> Response:
    return RedirectResponse("/", status_code=303)
