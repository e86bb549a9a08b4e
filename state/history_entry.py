"""One message of a chat: its form in Redis, its limits, and the keys of its chat."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal
from urllib.parse import quote

import structlog

from core.errors import QuestionError

log = structlog.get_logger(__name__)

Role = Literal["user", "assistant"]
_ROLES: Final[dict[str, Role]] = {"user": "user", "assistant": "assistant"}

ID_MAX_CHARS: Final = 200
EXTRA_MAX_BYTES: Final = 8192
_JOINED_MAX: Final = 16
"""Characters that one visible character may be made of, when looking for a place to cut."""


@dataclass(frozen=True)
class HistoryEntry:
    """One message of a chat."""

    role: Role
    content: str
    at: float
    """Seconds since 1970."""
    id: str = ""
    """Random, unique in its chat."""
    extra: Mapping[str, Any] | None = None
    """What the writer wants back with the message, JSON-able, at most 8 KB."""


def encoded(entry: HistoryEntry) -> bytes:
    """Return the entry as JSON; an ``extra`` over 8 KB is left out.

    Raises ``TypeError`` for an ``extra`` that is not JSON-able.
    """
    value = {name: getattr(entry, name) for name in ("id", "role", "content", "at")}
    extra = dict(entry.extra or {})
    if (size := len(_json(extra))) > EXTRA_MAX_BYTES:
        log.warning("history.extra_left_out", role=entry.role, bytes=size)
    elif entry.extra is not None:
        value["extra"] = extra
    return _json(value)


def decoded(value: bytes) -> HistoryEntry | None:
    """Return the entry; ``None`` for a value that is not one of ours."""
    try:
        raw = json.loads(value)
        return HistoryEntry(
            role=_ROLES[raw["role"]],
            content=str(raw["content"]),
            at=float(raw["at"]),
            id=str(raw["id"]),
            extra=raw.get("extra"),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        log.warning("history.unreadable_entry", bytes=len(value))
        return None


def turns(entries: Iterable[HistoryEntry]) -> list[tuple[HistoryEntry, HistoryEntry]]:
    """Return question and answer of each whole turn."""
    pairs = pairwise(entries)
    return [(one, two) for one, two in pairs if (one.role, two.role) == ("user", "assistant")]


def history_key(owner: str, session_id: str) -> str:
    """Return the Redis key of a chat; no two chats share one, whatever their ids contain.

    Raises ``QuestionError`` for an id that is empty or longer than 200 characters.
    """
    for what, value in (("owner", owner), ("session id", session_id)):
        if not 0 < len(value) <= ID_MAX_CHARS:
            raise QuestionError(f"The {what} must have 1 to {ID_MAX_CHARS} characters.")
    return f"{owner_prefix(owner)}{_part(session_id)}}}:history"


def owner_prefix(owner: str) -> str:
    """Return what the keys of all chats of ``owner`` begin with, and no others do."""
    return f"xoe:v1:{{{_part(owner)}:"


def _part(name: str) -> str:
    return quote(name, safe="", errors="surrogatepass")


def state_key(key: str) -> str:
    """Return the key of what is noted about the chat whose history is at ``key``."""
    return key.removesuffix(":history") + ":state"


def shortened(text: str, max_chars: int) -> str:
    """Return ``text`` with at most ``max_chars`` characters, an ellipsis at the end if cut.

    A visible character made of several (accents, joined emoji) is kept or dropped as a whole.
    """
    if len(text) <= max_chars:
        return text
    cut = max_chars - 1
    for _ in range(_JOINED_MAX):
        if cut == 0 or not _joined(text[cut - 1], text[cut]):
            break
        cut -= 1
    return text[:cut].rstrip() + "…"


def _joined(before: str, after: str) -> bool:
    joiner = "\u200d"
    skin_tone = "\U0001f3fb" <= after <= "\U0001f3ff"
    return (
        joiner in (before, after) or skin_tone or unicodedata.category(after) in ("Mn", "Me", "Mc")
    )


def _json(value: Mapping[str, Any]) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")  # half a surrogate pair must not lose a turn
