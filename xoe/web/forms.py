"""Small pages with forms, made here without a script: the login and the account.

``Referrer-Policy`` is ``same-origin`` on them: under ``no-referrer`` a browser sends a form's
``Origin`` as ``null``, and the guard could not tell our own form from another site's.
"""

from __future__ import annotations

import json
from html import escape
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse

from xoe.web import notice
from xoe.web.host_guard import netloc_of

_MAX_FIELDS: Final = 20
_MAX_FORM_BYTES: Final = 16 * 1024
_MAX_NEXT_CHARS: Final = 1000


def page(
    title: str, content: str, *, status: int = 200, retry_after_s: int | None = None
) -> HTMLResponse:
    """Return a page; ``content`` is HTML, with all that is not ours escaped."""
    response = notice.page(title, content, status=status)
    response.headers["Referrer-Policy"] = "same-origin"
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    return response


def problem(sentence: str) -> str:
    """Return a sentence about what is wrong, read out at once; nothing for an empty one."""
    return f'<p class="problem" role="alert">{escape(sentence)}</p>' if sentence else ""


def done(sentence: str) -> str:
    """Return a sentence about what was done; nothing for an empty one."""
    return f'<p class="done" role="status">{escape(sentence)}</p>' if sentence else ""


async def fields_of(request: Request) -> dict[str, str]:
    """Return the fields of a form that was sent; none where it is no form, or too long."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return {}
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_FORM_BYTES:
            return {}
    try:
        pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return {}
    return dict(pairs)


async def json_of(request: Request) -> dict[str, Any]:
    """Return the JSON object that was sent; an empty one for all else, and for what is too long.

    What a database or a browser could not take is all else too: NaN, half of a surrogate pair.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_FORM_BYTES:
            return {}
    try:
        value = json.loads(body)
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def is_from_here(request: Request) -> bool:
    """Return whether a form was sent by a page of this server, as far as the browser tells.

    Where it says nothing, the form's token decides.
    """
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    if origin is not None and netloc_of(origin) != request.headers.get("host", "").lower():
        return False
    return site in ("same-origin", "none")


def local_path(wanted: str) -> str:
    """Return a path of this server to go on to; ``/`` where ``wanted`` leads anywhere else."""
    is_plain = all(" " < character < "\x7f" and character != "\\" for character in wanted)
    if not is_plain or not wanted.startswith("/") or len(wanted) > _MAX_NEXT_CHARS:
        return "/"
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return "/"
    is_elsewhere = bool(parts.scheme or parts.netloc) or wanted.startswith("//")
    is_entrance = parts.path.rstrip("/") in ("/login", "/logout")
    return "/" if is_elsewhere or is_entrance else wanted


def wants_json(request: Request) -> bool:
    """Return whether a program asks, and no browser that shows a page."""
    return "text/html" not in request.headers.get("accept", "")
