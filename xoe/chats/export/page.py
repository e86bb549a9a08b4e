"""A conversation as one HTML file: no script, nothing loaded, readable in fifty years."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Final

from ingest.loaders.kinds import place
from xoe.chats.export.answer import Cite, blocks
from xoe.chats.export.clean import clean, date_of, line, shown_date
from xoe.chats.types import StoredCitation, StoredMessage, StoredThread

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Written into the file, so that it holds wherever the file is opened."""

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="Xoe-NovAi">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1 dir="auto">{title}</h1>
<p class="soft">{subtitle}</p>
</header>
<main>
{body}
</main>
<footer class="soft">
<p>Answers are written by a language model from the sources named under them. {left_out}</p>
</footer>
</body>
</html>
"""


def html_of(thread: StoredThread, *, subtitle: str = "", left_out: int = 0) -> str:
    """Return the whole page.

    ``subtitle`` is a line of text under the name; ``left_out`` tells how many messages are not in
    it.
    """
    missing = f"{left_out} earlier messages are left out." if left_out else ""
    return _PAGE.format(
        policy=escape(POLICY),
        title=escape(line(thread.name) or "A conversation"),
        style=_style(),
        subtitle=escape(line(subtitle) or shown_date(thread.created_at)),
        body="\n".join(
            _message(number, message) for number, message in enumerate(thread.messages, 1)
        ),
        left_out=missing,
    )


@cache
def _style() -> str:
    return (files("xoe.chats.export") / "style.css").read_text("utf-8")


def _message(number: int, message: StoredMessage) -> str:
    asked = message.role == "user"
    known = {citation.number for citation in message.citations}

    def cite(mark: int) -> str | None:
        return f"n{number}-{mark}" if mark in known and not asked else None

    return "\n".join(
        [
            f'<article class="{"asked" if asked else "answer"}" aria-labelledby="m{number}">',
            f'<h2 id="m{number}">{"Question" if asked else "Answer"}{_time(message.at)}</h2>',
            *_text(message, cite),
            *_remarks(message),
            *_notes(f"n{number}-", "Sources", message.citations),
            *(_notes("", "Nearest passages", message.nearest) if not message.citations else ()),
            "</article>",
        ]
    )


def _text(message: StoredMessage, cite: Cite) -> Iterator[str]:
    text = clean(message.text)
    if message.role == "user":  # as it was typed; only an answer is Markdown
        yield f'<p class="typed" dir="auto">{escape(text)}</p>'
        if names := [line(file.name) for file in message.files]:
            items = "".join(f'<li dir="auto">{escape(name)}</li>' for name in names)
            yield f'<ul class="soft files" aria-label="Files">{items}</ul>'
    else:
        yield blocks(text, cite)


def _remarks(message: StoredMessage) -> Iterator[str]:
    if message.role == "assistant" and message.level != "full":
        level = line(message.level.replace("_", " "), 40)
        yield f'<p class="degraded">Answered while a part was missing: {escape(level)}.</p>'
    if message.note:
        yield f'<p class="soft" dir="auto">{escape(line(message.note, 1000))}</p>'


def _notes(prefix: str, heading: str, citations: Sequence[StoredCitation]) -> Iterator[str]:
    if not citations:
        return
    yield f"<h3>{heading}</h3>"
    yield '<ol class="notes">'
    seen: set[int] = set()
    for citation in citations:
        name = ""
        if prefix and citation.number not in seen:
            name = f' id="{prefix}{int(citation.number)}"'
            seen.add(citation.number)
        at = place(citation.source, citation.page)
        page = f", {at}" if at else ""
        before, marked, after = parts_of(citation)
        yield (
            f'<li{name} value="{int(citation.number)}"><p class="source">'
            f'<bdi class="file">{escape(line(citation.source))}</bdi>{page}</p>'
            f'<blockquote dir="auto">{escape(before)}<mark>{escape(marked)}</mark>{escape(after)}'
            "</blockquote></li>"
        )
    yield "</ol>"


def parts_of(citation: StoredCitation) -> tuple[str, str, str]:
    """Return what stands before the cited sentence, the sentence, and what stands after it.

    Offsets that do not fit the passage are not believed: the quote stands alone then.
    """
    start, end, passage = citation.start, citation.end, citation.passage
    if not 0 <= start < end <= len(passage):
        return "", clean(citation.quote), ""
    return clean(passage[:start]), clean(passage[start:end]), clean(passage[end:])


def _time(at: float) -> str:
    moment = date_of(at)
    if moment is None:
        return ""
    return f' <time datetime="{moment:%Y-%m-%dT%H:%M:%SZ}">{shown_date(at)}</time>'
