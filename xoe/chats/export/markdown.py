"""A conversation as Markdown that stays text in whatever shows it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final

from ingest.loaders.kinds import place
from xoe.chats.export.clean import clean, line, shown_date
from xoe.chats.export.page import parts_of
from xoe.chats.types import StoredCitation, StoredMessage, StoredThread

Neutralise = Callable[[str], str]
"""Makes Markdown safe: links with a text of their own, pictures and HTML become characters."""

_PUNCTUATION: Final = re.compile(r"([!-/:-@\[-`{-~])")
_SPACE: Final = re.compile(r"\s+")


def markdown_of(thread: StoredThread, neutralise: Neutralise, *, left_out: int = 0) -> str:
    """Return the whole conversation; ``left_out`` tells how many messages are not in it."""
    return "\n\n".join(_parts(thread, neutralise, left_out)) + "\n"


def _parts(thread: StoredThread, neutralise: Neutralise, left_out: int) -> Iterator[str]:
    yield f"# {_plain(line(thread.name) or 'A conversation')}"
    if date := shown_date(thread.created_at):
        yield date
    if left_out:
        yield f"*{left_out} earlier messages are left out.*"
    for message in thread.messages:
        yield from _message(message, neutralise)


def _message(message: StoredMessage, neutralise: Neutralise) -> Iterator[str]:
    date = shown_date(message.at)
    yield ("## Question" if message.role == "user" else "## Answer") + (
        f" ({date})" if date else ""
    )
    text = clean(message.text)
    if message.role == "user":  # as it was typed, a line for a line
        yield "\n".join(f"> {_plain(row)}" for row in text.split("\n"))
    else:
        yield neutralise(text)
    for file in message.files:
        yield f"File: {_plain(line(file.name))}"
    if message.role == "assistant" and message.level != "full":
        level = _plain(line(message.level.replace("_", " "), 40))
        yield f"*Answered while a part was missing: {level}.*"
    if message.note:
        yield f"*{_plain(line(message.note, 1000))}*"
    yield from _notes("Sources", message.citations)
    if not message.citations:
        yield from _notes("Nearest passages", message.nearest)


def _notes(heading: str, citations: tuple[StoredCitation, ...]) -> Iterator[str]:
    if citations:
        yield f"### {heading}"
    for citation in citations:
        at = place(citation.source, citation.page)
        page = f", {at}" if at else ""
        before, marked, after = (_SPACE.sub(" ", part) for part in parts_of(citation))
        # A space inside the asterisks, or none outside of them, would leave them as they are.
        quote = f"**{_plain(marked.strip())}**" if marked.strip() else ""
        passage = " ".join(
            part for part in (_plain(before.strip()), quote, _plain(after.strip())) if part
        )
        yield f"\\[{int(citation.number)}\\] {_plain(line(citation.source))}{page}"
        yield f"> {passage}"


def _plain(text: str) -> str:
    return _PUNCTUATION.sub(r"\\\1", text)
