"""Exports of each kind, bounded."""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from xoe.chats.export.clean import line
from xoe.chats.export.data import json_of
from xoe.chats.export.markdown import Neutralise, markdown_of
from xoe.chats.export.page import html_of
from xoe.chats.types import StoredMessage, StoredThread

Kind = Literal["html", "md", "json"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
MAX_MESSAGES: Final = 2_000
MAX_CHARS: Final = 10_000_000
"""Of all the texts of one export; what is beyond it is left out, the oldest first, and counted."""
_MEDIA: Final = {
    "html": "text/html; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "json": "application/json",
}
_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Export:
    """One file."""

    filename: str
    """ASCII letters, digits and dashes, and the kind behind a dot."""
    media_type: str
    content: bytes
    """UTF-8."""


def export(
    thread: StoredThread,
    kind: Kind,
    *,
    neutralise: Neutralise,
    clock: Callable[[], float] = time.time,
) -> Export:
    """Return ``thread`` as a file.

    Takes a quarter of a minute for the longest: not for the event loop.
    """
    kept = _latest(thread.messages)
    left_out = len(thread.messages) - len(kept)
    bounded = replace(thread, messages=kept)
    if kind == "html":
        text = html_of(bounded, left_out=left_out)
    elif kind == "md":
        text = markdown_of(bounded, neutralise, left_out=left_out)
    else:
        text = json_of(bounded, now=clock(), left_out=left_out)
    return Export(f"{_slug(thread.name)}.{kind}", _MEDIA[kind], text.encode("utf-8", "replace"))


def answer_of(thread: StoredThread, message_id: str) -> StoredThread | None:
    """Return the chat with one answer and its question alone; ``None`` where it is not in it.

    Given a question, its answer comes with it. The name is the question's then: the chat's own
    may tell of what else was talked about.
    """
    places = [n for n, message in enumerate(thread.messages) if message.id == message_id]
    if not places:
        return None
    place = places[0]
    messages = thread.messages[place : place + 1]
    if messages[0].role == "assistant":
        if place and thread.messages[place - 1].role == "user":
            messages = thread.messages[place - 1 : place + 1]
    elif place + 1 < len(thread.messages) and thread.messages[place + 1].role == "assistant":
        messages = thread.messages[place : place + 2]
    asked = line(messages[0].text, 80) if messages[0].role == "user" else "An answer"
    return replace(thread, messages=messages, name=asked, created_at=messages[0].at)


def _latest(messages: tuple[StoredMessage, ...]) -> tuple[StoredMessage, ...]:
    chars, first = 0, len(messages)
    for message in reversed(messages[-MAX_MESSAGES:]):
        chars += _length(message)
        if chars > MAX_CHARS and first < len(messages):
            break
        first -= 1
    return messages[first:]


def _length(message: StoredMessage) -> int:
    cited = (*message.citations, *message.nearest)
    return len(message.text) + sum(len(citation.passage) for citation in cited)


def _slug(name: str) -> str:
    plain = unicodedata.normalize("NFKD", line(name, 80)).encode("ascii", "ignore").decode()
    return _NOT_IN_NAMES.sub("-", plain.lower()).strip("-")[:60].rstrip("-") or "conversation"
