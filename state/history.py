"""The history of each chat in Redis, bounded in turns, characters and time."""

from __future__ import annotations

import json
import secrets
import time
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, cast
from urllib.parse import quote

import structlog
from redis.asyncio import Redis

from state.redis import RedisConnection
from xoe.errors import QuestionError
from xoe.settings import Settings

log = structlog.get_logger(__name__)

Role = Literal["user", "assistant"]

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


class ChatHistory:
    """Reads and writes chats. Every method raises ``RedisError`` when Redis is away."""

    def __init__(
        self,
        connection: RedisConnection,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``clock`` gives seconds since 1970."""
        self._connection = connection
        self._max_entries = 2 * settings.history_max_turns
        self._max_chars = settings.history_max_chars
        self._ttl_s = settings.history_ttl_s
        self._clock = clock

    async def append(
        self,
        session_id: str,
        owner: str,
        user_text: str,
        assistant_text: str,
        *,
        user_extra: Mapping[str, Any] | None = None,
        assistant_extra: Mapping[str, Any] | None = None,
    ) -> None:
        """Add one turn, drop what is over the limit and renew the time to live, all or nothing.

        An ``extra`` over 8 KB is left out and the message kept; one that is not JSON-able raises
        ``TypeError``.
        """
        key = history_key(owner, session_id)
        entries = (
            self._encoded("user", user_text, user_extra),
            self._encoded("assistant", assistant_text, assistant_extra),
        )

        async def write(client: Redis) -> None:
            async with client.pipeline(transaction=True) as pipe:
                pipe.rpush(key, *entries)
                pipe.ltrim(key, -self._max_entries, -1)
                pipe.expire(key, self._ttl_s)
                await pipe.execute()

        await self._connection.run(write)

    async def load(
        self, session_id: str, owner: str, last: int | None = None
    ) -> list[HistoryEntry]:
        """Return the last ``last`` turns (all that are kept by default), oldest first."""
        key = history_key(owner, session_id)
        if last is not None and last < 1:  # LRANGE -0 -1 would give everything
            return []
        first = 0 if last is None else -2 * last
        values = await self._connection.run(
            lambda client: cast(Awaitable[list[bytes]], client.lrange(key, first, -1))
        )
        entries = (_decoded(value) for value in values)
        return [entry for entry in entries if entry is not None]

    async def drop_last(self, session_id: str, owner: str, turns: int) -> None:
        """Forget the last ``turns`` turns of a chat, or all there are when it has fewer."""
        if turns < 1:  # LTRIM 0 -1 would keep everything, and 0 0 the first message
            return
        key = history_key(owner, session_id)
        await self._connection.run(
            lambda client: cast(Awaitable[str], client.ltrim(key, 0, -2 * turns - 1))
        )

    async def clear(self, session_id: str, owner: str) -> None:
        """Forget a chat."""
        key = history_key(owner, session_id)
        await self._connection.run(lambda client: client.delete(key))

    def _encoded(self, role: Role, content: str, extra: Mapping[str, Any] | None) -> bytes:
        entry: dict[str, Any] = {
            "id": secrets.token_hex(8),
            "role": role,
            "content": shortened(content, self._max_chars),
            "at": round(self._clock(), 3),
        }
        if extra is not None:
            size = len(_json(dict(extra)))
            if size <= EXTRA_MAX_BYTES:
                entry["extra"] = dict(extra)
            else:
                log.warning("history.extra_left_out", role=role, bytes=size)
        return _json(entry)


def history_key(owner: str, session_id: str) -> str:
    """Return the Redis key of a chat; no two chats share one, whatever their ids contain.

    Raises ``QuestionError`` for an id that is empty or longer than 200 characters.
    """
    for what, value in (("owner", owner), ("session id", session_id)):
        if not 0 < len(value) <= ID_MAX_CHARS:
            raise QuestionError(f"The {what} must have 1 to {ID_MAX_CHARS} characters.")
    owner_part, session_part = (
        quote(part, safe="", errors="surrogatepass") for part in (owner, session_id)
    )
    return f"xoe:v1:{{{owner_part}:{session_part}}}:history"


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


def _decoded(value: bytes) -> HistoryEntry | None:
    """Return the entry; ``None`` for a value that is not one of ours."""
    try:
        raw = json.loads(value)
        return HistoryEntry(
            role=_role(raw["role"]),
            content=str(raw["content"]),
            at=float(raw["at"]),
            id=str(raw["id"]),
            extra=raw.get("extra"),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        log.warning("history.unreadable_entry", bytes=len(value))
        return None


def _role(value: str) -> Role:
    if value in ("user", "assistant"):
        return cast(Role, value)
    raise ValueError(value)
