"""What of a text that is still being written is whole: its next sentence, row or line of code.

A piece is given out once nothing that can follow changes where it ends, so a text comes in the same
pieces however it is written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ingest.sentences import sentence_spans

SURE_CHARS = 24
"""Of what follows a sentence, or a whole word of it: till then it may turn out to go on."""

_FENCE_BEGINS = re.compile(r"`{1,2}\Z|~{1,2}\Z|```|~~~")
_SPACELESS_STOPS = "。｡！？"


@dataclass(frozen=True)
class Piece:
    """Something of the text that is judged by itself."""

    kind: Literal["prose", "row", "line"]
    lead: str
    """The white space and list marks before it."""
    text: str
    length: int
    """How much of the text that was not judged yet it takes, the lead included."""


def next_piece(text: str, *, at_line: bool, in_code: bool, is_whole: bool) -> Piece | None:
    """Return the next piece of ``text``; ``None`` where none is whole yet.

    ``at_line``: whether the text begins a line; ``in_code``: whether it is between two fences;
    ``is_whole``: whether nothing follows it.
    """
    if in_code:
        return _line("line", text, "", is_whole=is_whole)
    bare = text.lstrip()
    if not bare:
        return None
    lead = text[: len(text) - len(bare)]
    if at_line or "\n" in lead:
        if _FENCE_BEGINS.match(bare):
            opening = _line("line", text, lead, is_whole=is_whole)
            if opening is None or "`" not in opening.text.lstrip("`~"):
                return opening
        if bare.startswith("|"):
            return _line("row", text, lead, is_whole=is_whole)
    return _prose(text, is_whole=is_whole)


def _line(kind: Literal["row", "line"], text: str, lead: str, *, is_whole: bool) -> Piece | None:
    """Return the line behind ``lead``, once it is whole."""
    end = text.find("\n", len(lead))
    if end < 0 and not (is_whole and text):
        return None
    line = text[len(lead) : end] if end >= 0 else text[len(lead) :]
    return Piece(kind, lead, line, len(text) if end < 0 else end + 1)


def _prose(text: str, *, is_whole: bool) -> Piece | None:
    """Return the next sentence, once nothing that follows can change where it ends."""
    spans = sentence_spans(text[: _block_border(text)])
    for number, (_, end) in enumerate(spans):
        piece = text[spans[0][0] : end]
        is_last = number == len(spans) - 1
        goes_on = not is_last and "\n\n" not in text[end : spans[number + 1][0]]
        if goes_on and piece.replace("```", "").count("`") % 2:
            continue  # the stop stands in a span of code
        if is_whole or _is_sure(text, end, None if is_last else spans[number + 1][0]):
            return Piece("prose", text[: spans[0][0]], piece, end)
        return None
    return None


def _block_border(text: str) -> int:
    """Return where a table or a fence begins at the head of a line, else the text's end."""
    match = re.search(r"\n[ \t]*(?:\||```|~~~)", text)
    return match.start() if match and text[: match.start()].strip() else len(text)


def _is_sure(text: str, end: int, following: int | None) -> bool:
    if following is None:
        return bool(re.match(r"[ \t]*\n[ \t]*(?:\||```|~~~)", text[end:]))
    rest = text[following:]
    if text[end - 1] in _SPACELESS_STOPS and following == end:
        return rest[0] not in "”’」』）"
    return len(rest) >= SURE_CHARS or bool(re.match(r"\S+\s", rest))
