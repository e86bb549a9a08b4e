"""A page with one thing to say, in the app's look and without any script."""

from __future__ import annotations

from html import escape
from typing import Final

from starlette.responses import HTMLResponse

POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; font-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""For pages that run no script and load only what ships with the program."""

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>{title} · Xoe-NovAi</title>
<link rel="icon" href="/public/favicon.svg">
<link rel="stylesheet" href="/public/notice.css">
</head>
<body>
<main>
<img class="mark" src="/public/favicon.svg" alt="" width="48" height="48">
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""


def page(title: str, body: str, *, status: int = 200) -> HTMLResponse:
    """Return a page; ``title`` is text, ``body`` is HTML whose parts were escaped."""
    return HTMLResponse(
        _PAGE.format(title=escape(title), body=body),
        status_code=status,
        headers={"Content-Security-Policy": POLICY, "Cache-Control": "no-store"},
    )


def notice(title: str, sentence: str, *, status: int = 200) -> HTMLResponse:
    """Return a page that says one thing; both are text."""
    return page(title, f"<p>{escape(sentence)}</p>", status=status)
