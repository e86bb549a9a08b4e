"""``/login`` and ``/logout``: pages made here, without a script."""

from __future__ import annotations

import secrets
from html import escape
from math import ceil
from typing import TYPE_CHECKING, Final

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from core.errors import LoginError, LoginThrottledError, StoreError
from xoe.auth.identity import COOKIE, LOGIN_S, SCOPE_KEY, Identity
from xoe.auth.proofs import DEVICE_COOKIE, DEVICE_S, FORM_COOKIE, form_token, is_form_token
from xoe.net.listeners import listener_of
from xoe.page import chainlit_patches
from xoe.web import forms
from xoe.web.problems import told

if TYPE_CHECKING:
    from xoe.auth.login import LoggedIn
    from xoe.auth.services import AuthServices
    from xoe.startup import Startup

log = structlog.get_logger(__name__)

LOGIN_PATH: Final = "/login"
LOGOUT_PATH: Final = "/logout"
_FORM_S: Final = 3600
_OLD_FORM: Final = "This page was open too long, or in a browser without cookies. Please try again."

_FORM: Final = """
{problem}
<form method="post" action="/login">
        <input type="hidden" name="token" value="{token}">
        <input type="hidden" name="next" value="{next}">
        <label for="name">Name</label>
        <input id="name" name="name" type="text" value="{name}" autocomplete="username"
          autocapitalize="none" autocorrect="off" spellcheck="false" maxlength="100" required
          {name_focus}>
        <label for="password">Password</label>
        <input id="password" name="password" type="password" autocomplete="current-password"
          maxlength="256" required {password_focus}>
        <button type="submit">Log in</button>
      </form>
      <p class="soft">No account, or the password forgotten? Ask who runs this server.</p>"""


async def login_page(request: Request) -> Response:
    """``GET /login``: the form, or straight on for who is in already."""
    target = forms.local_path(request.query_params.get("next", "/"))
    identity = request.scope.get(SCOPE_KEY)
    if isinstance(identity, Identity) and not identity.is_guest:
        return RedirectResponse(target, status_code=303)
    return _form(request, await auth_of(request), target)


async def log_in(request: Request) -> Response:
    """``POST /login``: check the name and the password."""
    auth = await auth_of(request)
    fields = await forms.fields_of(request)
    name, target = fields.get("name", "")[:100], forms.local_path(fields.get("next", "/"))
    bound_to = request.cookies.get(FORM_COOKIE, "")
    if not forms.is_from_here(request) or not is_form_token(
        auth.secret, bound_to, fields.get("token", "")
    ):
        return _refused(request, auth, 403, _OLD_FORM, name, target)
    try:
        found = await auth.login.log_in(
            name,
            fields.get("password", ""),
            address=address_of(request),
            device=request.cookies.get(DEVICE_COOKIE, ""),
        )
    except LoginThrottledError as exc:
        return _refused(request, auth, 429, str(exc), name, target, exc.retry_after_s)
    except LoginError as exc:
        return _refused(request, auth, 401, str(exc), name, target)
    except StoreError as exc:
        return _refused(request, auth, 503, str(exc), name, target)
    await _end_login(request, auth)
    response = RedirectResponse(target, status_code=303)
    _set_cookies(request, response, found)
    response.delete_cookie(FORM_COOKIE, path=LOGIN_PATH)
    return response


async def log_out(request: Request) -> Response:
    """``POST /logout``: end the login, for the page's menu (JSON) and for a form (a page)."""
    await _end_login(request, await auth_of(request))
    if forms.wants_json(request):
        response: Response = JSONResponse({"success": True})
    else:
        response = RedirectResponse(LOGIN_PATH, status_code=303)
    return forget_cookies(response)


def forget_cookies(response: Response) -> Response:
    """Take the login's cookies out of the browser."""
    for cookie in (COOKIE, chainlit_patches.COOKIE):
        response.delete_cookie(cookie, path="/")
    return response


async def auth_of(request: Request) -> AuthServices:
    """Return who may come in, as soon as that is known."""
    startup: Startup = request.app.state.startup
    return await startup.auth()


def address_of(request: Request) -> str:
    """Return what attempts are counted by: the address, or the listener where that has none."""
    if request.client is not None and request.client.host:
        return request.client.host
    return f"listener:{listener_of(request.scope).name}"


async def _end_login(request: Request, auth: AuthServices) -> None:
    """End the login that the browser's cookie is of, whoever's it is."""
    token = request.cookies.get(COOKIE, "")
    found = await auth.sessions.find(token) if token else None
    if isinstance(found, Identity) and found.login is not None:
        await auth.sessions.revoke(found.login)


def _set_cookies(request: Request, response: Response, found: LoggedIn) -> None:
    is_secure = request.url.scheme == "https"
    response.set_cookie(
        COOKIE, found.token, max_age=int(LOGIN_S), httponly=True, samesite="lax", secure=is_secure
    )
    response.set_cookie(
        *(DEVICE_COOKIE, found.device),
        max_age=DEVICE_S,
        path=LOGIN_PATH,
        httponly=True,
        samesite="strict",
        secure=is_secure,
    )


def _refused(
    request: Request,
    auth: AuthServices,
    status: int,
    sentence: str,
    name: str,
    target: str,
    retry_after_s: float | None = None,
) -> Response:
    seconds = None if retry_after_s is None else max(1, ceil(retry_after_s))
    if forms.wants_json(request):
        headers = {} if seconds is None else {"Retry-After": str(seconds)}
        return told(status, sentence, headers)
    return _form(
        request, auth, target, name=name, sentence=sentence, status=status, retry_after_s=seconds
    )


def _form(
    request: Request,
    auth: AuthServices,
    target: str,
    *,
    name: str = "",
    sentence: str = "",
    status: int = 200,
    retry_after_s: int | None = None,
) -> Response:
    known = request.cookies.get(FORM_COOKIE, "")
    bound_to = known if len(known) == 32 and known.isalnum() else secrets.token_hex(16)
    content = _FORM.format(
        problem=forms.problem(sentence),
        token=form_token(auth.secret, bound_to),
        next=escape(target),
        name=escape(name),
        name_focus="" if name else "autofocus",
        password_focus="autofocus" if name else "",
    )
    response = forms.page("Log in", content, status=status, retry_after_s=retry_after_s)
    response.set_cookie(
        *(FORM_COOKIE, bound_to),
        max_age=_FORM_S,
        path=LOGIN_PATH,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response
