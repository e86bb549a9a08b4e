"""What may stand in the database: bounded text that both kinds of it take, and JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from xoe.chats.types import StoredCitation, StoredFile

TEXT_MAX_CHARS: Final = 100_000
"""Of one message."""
NAME_MAX_CHARS: Final = 120
NOTE_MAX_CHARS: Final = 1_000
REASON_MAX_CHARS: Final = 2_000
ID_MAX_CHARS: Final = 200
CITATIONS_MAX: Final = 50
FILES_MAX: Final = 200
EXTRA_MAX_CHARS: Final = 20_000

_SPACE: Final = re.compile(r"\s+")


def clean(text: str, limit: int = TEXT_MAX_CHARS) -> str:
    """Return ``text`` at most ``limit`` long, without what a database refuses.

    That is a NUL, and half a surrogate pair.
    """
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return cut.replace("\0", "").encode("utf-8", "replace").decode()


def element_id(message_id: str, kind: str) -> str:
    """Return the id of what a message shows beside its text."""
    return f"{clean(message_id, ID_MAX_CHARS)}-{kind}"


def name_of(text: str) -> str:
    """Return what a chat is called: one line of its first question, or what somebody typed."""
    return clean(_SPACE.sub(" ", text).strip(), NAME_MAX_CHARS)


def extra_json(extra: Mapping[str, Any] | None) -> str | None:
    """Return what a history keeps beside a message, as JSON; nothing where it is too large."""
    if extra is None:
        return None
    text = clean(json.dumps(extra, ensure_ascii=False), EXTRA_MAX_CHARS + 1)
    return text if len(text) <= EXTRA_MAX_CHARS else None


def loaded(text: str | None) -> Any:
    """Return what a JSON text holds; ``None`` where there is none, or it cannot be read."""
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return None


def citations_json(citations: Sequence[StoredCitation]) -> str:
    """Return citations as JSON, at most ``CITATIONS_MAX``."""
    values = [asdict(citation) for citation in citations[:CITATIONS_MAX]]
    return _json(values)


def citations_of(text: str | None) -> tuple[StoredCitation, ...]:
    """Return the citations of ``citations_json``; none where it cannot be read."""
    try:
        return tuple(StoredCitation(**value) for value in loaded(text) or ())
    except TypeError:
        return ()


def files_json(files: Sequence[StoredFile]) -> str:
    """Return files as JSON, at most ``FILES_MAX``."""
    return _json([asdict(file) for file in files[:FILES_MAX]])


def files_of(text: str | None) -> tuple[StoredFile, ...]:
    """Return the files of ``files_json``; none where it cannot be read."""
    try:
        return tuple(StoredFile(**value) for value in loaded(text) or ())
    except TypeError:
        return ()


def _json(value: Any) -> str:
    # Escaped, so that neither a NUL nor half a surrogate pair reaches the database; \u0000 is
    # refused by nothing in a column of text.
    return json.dumps(value)
