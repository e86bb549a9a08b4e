"""A conversation as JSON, for programs.

The file is one object::

    {"format": "xoe-novai-conversation", "version": 1, "exported_at": TIME,
     "name": TEXT, "created_at": TIME, "left_out": N,
     "messages": [{"role": "user" | "assistant", "text": TEXT, "at": TIME,
                   "level": TEXT, "note": TEXT, "outcome": TEXT, "files": [TEXT, …],
                   "citations": [CITATION, …], "nearest": [CITATION, …]}, …]}

TIME is ISO 8601 in UTC, or null. An answer's text is Markdown with ``[n]`` where the citation of
that number supports it. A CITATION is ``{"number", "source", "page", "heading", "quote",
"passage", "start", "end"}``; ``passage[start:end]`` is the quote, counted in Unicode code points;
``page`` is 1-based, or null. ``level`` tells what of the program answered: "full", or less.
``outcome`` is "answered", "nearest_passages" (quoted, not an answer), "not_in_library" or "" (the
library was not asked, or the message is older than this field).

Texts are as they were written and must be made safe before they are shown. The file itself is
ASCII, with ``<``, ``>`` and ``&`` escaped, so that nothing takes it for a page. A later version
keeps these fields or has another number; what reads it should ignore fields that it does not know.
"""

from __future__ import annotations

import json
from typing import Any, Final

from xoe.chats.export.clean import TEXT_MAX_CHARS, date_of
from xoe.chats.types import StoredCitation, StoredMessage, StoredThread

FORMAT: Final = "xoe-novai-conversation"
VERSION: Final = 1
_NAME_MAX_CHARS: Final = 1_000
"""Of names, titles and notes."""
_ESCAPES: Final = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def json_of(thread: StoredThread, *, now: float, left_out: int = 0) -> str:
    """Return the conversation as JSON; ``now`` in Unix seconds."""
    value = {
        "format": FORMAT,
        "version": VERSION,
        "exported_at": _time(now),
        "name": thread.name[:_NAME_MAX_CHARS],
        "created_at": _time(thread.created_at),
        "left_out": left_out,
        "messages": [_message(message) for message in thread.messages],
    }
    # These three stand in strings alone.
    return (
        json.dumps(value, ensure_ascii=True, indent=1, allow_nan=False).translate(_ESCAPES) + "\n"
    )


def _message(message: StoredMessage) -> dict[str, Any]:
    return {
        "role": message.role,
        "text": message.text[:TEXT_MAX_CHARS],
        "at": _time(message.at),
        "level": message.level[:_NAME_MAX_CHARS],
        "note": message.note[:_NAME_MAX_CHARS],
        "outcome": message.outcome[:_NAME_MAX_CHARS],
        "files": [file.name[:_NAME_MAX_CHARS] for file in message.files],
        "citations": [_citation(citation) for citation in message.citations],
        "nearest": [_citation(citation) for citation in message.nearest],
    }


def _citation(citation: StoredCitation) -> dict[str, Any]:
    return {
        "number": citation.number,
        "source": citation.source[:_NAME_MAX_CHARS],
        "page": citation.page,
        "heading": citation.heading[:_NAME_MAX_CHARS],
        "quote": citation.quote[:TEXT_MAX_CHARS],
        "passage": citation.passage[:TEXT_MAX_CHARS],
        "start": citation.start,
        "end": citation.end,
    }


def _time(at: float) -> str | None:
    moment = date_of(at)
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}"
