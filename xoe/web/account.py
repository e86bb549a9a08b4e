"""``/account``: who one is here, where one is logged in, and a new password."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from math import ceil
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from core.errors import AccountError, LoginError, LoginThrottledError, XoeError
from xoe.auth.identity import PROGRAM, USER, Identity, identity_of, visitor
from xoe.auth.proofs import form_token, is_form_token
from xoe.auth.strength import MAX_LENGTH, MIN_LENGTH
from xoe.chats.owned import OwnedData, counted
from xoe.chats.transfer import owned_data, transfer
from xoe.web import forms
from xoe.web.health import startup_of
from xoe.web.login import LOGIN_PATH, address_of, auth_of, forget_cookies
from xoe.web.visitor import visitor_of

if TYPE_CHECKING:
    from xoe.auth.services import AuthServices
    from xoe.auth.sessions import Login

PATH: Final = "/account"
END_PATH: Final = "/account/end"
PASSWORD_PATH: Final = "/account/password"  # noqa: S105 - a path
TRANSFER_PATH: Final = "/account/transfer"

_ROLES: Final = {
    "operator": "As an operator you run this server.",
    "user": "You ask, and upload to a library of your own.",
    "guest": "You are a guest here.",
}
_OLD_FORM: Final = "This page was open too long. Nothing was changed; please try again."
_NO_ACCOUNTS: Final = """
<p>There are no accounts here: whoever sits at this computer may do everything.</p>
<p class="soft">To let others in, make yourself the first account, in a terminal:
<code>xoe user add NAME --role operator</code></p>
<p><a href="/">Back to the chat</a></p>"""
_GUEST: Final = """
<p>You came by an invitation, which holds until {until}.</p>
<form method="post" action="/logout"><button class="quiet">Leave</button></form>
<p><a href="/">Back to the chat</a></p>"""
_ACCOUNT: Final = """
{said}
<p>You are <strong>{name}</strong> here. {role}</p>
<p><a href="/">Back to the chat</a></p>
<form method="post" action="/logout"><button class="quiet">Log out</button></form>

{left}
<h2 id="logins">Where you are logged in</h2>
<ul class="logins" aria-labelledby="logins">
{logins}
</ul>
<form method="post" action="/account/end">
<input type="hidden" name="token" value="{token}">
<button class="quiet" name="login" value="all">Sign out everywhere</button>
</form>

<h2>Change the password</h2>
<p class="soft">All other places where you are logged in are signed out.</p>
<form method="post" action="/account/password">
<input type="hidden" name="token" value="{token}">
<input type="hidden" name="username" autocomplete="username" value="{account}">
<label for="current">Password now</label>
<input id="current" name="current" type="password" autocomplete="current-password"
  maxlength="{longest}" required>
<label for="new">New password</label>
<input id="new" name="new" type="password" autocomplete="new-password" aria-describedby="rule"
  minlength="{shortest}" maxlength="{longest}" required>
<p class="soft" id="rule">{shortest} characters at least. Three or four unrelated words are easy
to remember.</p>
<label for="again">New password again</label>
<input id="again" name="again" type="password" autocomplete="new-password"
  maxlength="{longest}" required>
<button>Change the password</button>
</form>"""
_LEFT: Final = """
<h2>From before there were accounts</h2>
<p>In this browser, and of no account yet: {what}.</p>
<form method="post" action="/account/transfer">
<input type="hidden" name="token" value="{token}">
<button>Make them mine</button>
</form>"""
_LOGIN: Final = """<li><span>{what}<br><small class="soft">{since}{address}</small></span>
<form method="post" action="/account/end"><input type="hidden" name="token" value="{token}">
<button class="quiet" name="login" value="{id}" aria-label="{label}">Sign out</button>
</form></li>"""


async def account_page(request: Request) -> Response:
    """``GET /account``."""
    return await _page(request, await auth_of(request))


async def end_login(request: Request) -> Response:
    """``POST /account/end``: sign out one of one's own logins, or all of them."""
    auth, me = await auth_of(request), identity_of(request.scope)
    fields = await _checked(request, auth, me)
    if fields is None:
        return await _page(request, auth, problem=_OLD_FORM, status=403)
    wanted = fields.get("login", "")
    if wanted == "all":
        await auth.sessions.revoke_all(me.id)
    elif wanted in {login.id for login in await auth.sessions.of(me.id)}:
        await auth.sessions.revoke(wanted)
    else:
        return await _page(request, auth, problem="That login has ended already.", status=404)
    if wanted in ("all", me.login):
        return forget_cookies(RedirectResponse(LOGIN_PATH, status_code=303))
    return await _page(request, auth, done="It is signed out.")


async def change_password(request: Request) -> Response:
    """``POST /account/password``: a new password for who knows the one now."""
    auth, me = await auth_of(request), identity_of(request.scope)
    fields = await _checked(request, auth, me)
    if fields is None or not me.id.startswith(USER):
        return await _page(request, auth, problem=_OLD_FORM, status=403)
    name, new = me.id.removeprefix(USER), fields.get("new", "")
    try:
        if new != fields.get("again"):
            raise AccountError("The two new passwords are not the same. Nothing was changed.")
        await auth.login.verify(name, fields.get("current", ""), address=address_of(request))
        await auth.users.set_password(name, new, but=me.login)
    except LoginThrottledError as exc:
        return await _page(request, auth, problem=str(exc), status=429, wait_s=exc.retry_after_s)
    except LoginError:
        said = "That is not your password now. Nothing was changed."
        return await _page(request, auth, problem=said, status=403)
    except XoeError as exc:
        return await _page(request, auth, problem=str(exc), status=422)
    auth.sessions.look_again()
    return await _page(request, auth, done="The password is changed.")


async def take_over(request: Request) -> Response:
    """``POST /account/transfer``: take over what this browser's visitor had."""
    auth, me = await auth_of(request), identity_of(request.scope)
    fields = await _checked(request, auth, me)
    owner = _visitor(request, me)
    if fields is None or owner is None:
        return await _page(request, auth, problem=_OLD_FORM, status=403)
    try:
        documents = (await startup_of(request).wait()).store
        threads = await startup_of(request).threads()
        left = await transfer(owner, me.id, threads, documents)
    except XoeError as exc:
        return await _page(request, auth, problem=str(exc), status=503)
    if left:
        said = (
            f"Left: {_counted(left)}, since you have others of the same name. Remove those first."
        )
        return await _page(request, auth, problem=said)
    return await _page(request, auth, done="They are yours now.")


def _visitor(request: Request, me: Identity) -> str | None:
    """Return whose belongings somebody who has an account may take over."""
    cookie = visitor_of(request.headers.get("cookie", ""))
    may = me.id.startswith(USER) and not me.is_guest and me.may_upload
    return visitor(cookie).id if cookie and may else None


async def _left(request: Request, me: Identity, token: str) -> str:
    """Return the part of the page that offers them, while there are any."""
    owner, services = _visitor(request, me), startup_of(request).services
    if owner is None or services is None:
        return ""
    try:
        threads = await startup_of(request).threads()
        found = await owned_data(owner, threads, services.store)
    except XoeError:
        return ""
    return _LEFT.format(what=_counted(found), token=token) if found else ""


def _counted(left: OwnedData) -> str:
    parts = ((left.chats, "chat"), (left.documents, "document"))
    return " and ".join(counted(number, noun) for number, noun in parts if number)


async def _checked(request: Request, auth: AuthServices, me: Identity) -> dict[str, str] | None:
    """Return the form's fields, or ``None`` where it is not one that we made for this login."""
    fields = await forms.fields_of(request)
    is_ours = is_form_token(auth.secret, me.login or "", fields.get("token", ""))
    return fields if is_ours and forms.is_from_here(request) else None


async def _page(
    request: Request,
    auth: AuthServices,
    *,
    problem: str = "",
    done: str = "",
    status: int = 200,
    wait_s: float | None = None,
) -> Response:
    me = identity_of(request.scope)
    seconds = None if wait_s is None else max(1, ceil(wait_s))
    if not me.id.startswith(USER):
        content = _NO_ACCOUNTS
        if me.is_guest:
            content = _GUEST.format(until=_moment(me.ends_at) if me.ends_at else "its end")
        return forms.page("Your visit" if me.is_guest else "Accounts", content, status=status)
    token = form_token(auth.secret, me.login or "")
    content = _ACCOUNT.format(
        said=forms.problem(problem) + forms.done(done),
        name=escape(me.name),
        account=escape(me.id.removeprefix(USER)),
        role=_ROLES[me.role],
        left=await _left(request, me, token),
        logins=_logins(await auth.sessions.of(me.id), me, token),
        token=token,
        shortest=MIN_LENGTH,
        longest=MAX_LENGTH,
    )
    return forms.page("Your account", content, status=status, retry_after_s=seconds)


def _logins(logins: Sequence[Login], me: Identity, token: str) -> str:
    lines = []
    for login in logins:
        is_this = login.id == me.login
        what = "This browser" if is_this else "Another browser"
        where = f", from {login.address}" if login.address[:1].isalnum() else ""
        if login.address.startswith(PROGRAM):
            what, where = f"A program: {login.address.removeprefix(PROGRAM)}", ""
        elif login.address.startswith("listener:"):
            where = ", by a shared link"
        since = f"since {_moment(login.created_at)}"
        lines.append(
            _LOGIN.format(
                what=escape(what),
                since=since,
                address=escape(where),
                token=token,
                id=escape(login.id),
                label=escape(f"Sign out: {what}, {since}"),
            )
        )
    return "\n".join(lines)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%-d %B %Y, %H:%M UTC")
