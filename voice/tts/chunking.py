"""An answer's text, as it is written, in clauses that can be spoken one by one.

The first is short, so that the voice starts early; then come whole sentences. The text arrives in
pieces that break anywhere; where it is cut does not depend on how it arrived.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from voice.tts.borders import (
    Token,
    break_after,
    choose_border,
    tokens_of,
)

FIRST_WORDS = 6
"""The first clause has no more. Six words sound for two seconds, time to make the next."""

FEWEST_WORDS = 3
"""A first clause ends at a comma only with so many: "Yes," would leave no time for the next."""

SECOND_WORDS = 8
"""The second one ends at a comma from here on: the model writes barely faster than one speaks."""

MOST_WORDS = 36
MOST_CHARS = 280
"""A sentence longer than this is cut at a comma, or between words if need be."""

HARD_LIMIT_CHARS = 2000
"""Text without a single space, or code, is not held back beyond this."""

_FENCE = re.compile(r"[ \t]*(?:```|~~~)[^\n`]*(?:\n|$)")
_FENCE_BELOW = re.compile(r"\n[ \t]*(?:```|~~~)")
_FENCE_BEGUN = re.compile(r"[ \t]*(?:`{1,3}|~{1,3})[^\n`]*\Z")
_CJK_STOP = re.compile(r"[。！？]+[”’」』）]*")


@dataclass(frozen=True)
class Clause:
    """A piece of an answer's text; the pieces put together are the text."""

    text: str
    start: int
    """Where it begins in the answer, in characters."""
    end: int
    is_code: bool = False
    """Whether it is a block of code, fences included, or a part of one."""


class ClauseChunker:
    """Takes one answer's text piece by piece. Pure: no clock, no engine."""

    def __init__(self) -> None:
        """Begin an answer."""
        self._buffer = ""
        self._offset = 0
        self._spoken = 0
        self._in_code = False
        self._begun_code = False

    def feed(self, piece: str) -> list[Clause]:
        """Take the next piece of text; return the clauses that are complete with it."""
        self._buffer += piece
        return list(self._cuts(final=False))

    def flush(self) -> list[Clause]:
        """Return what is left, as the text has ended."""
        return list(self._cuts(final=True))

    def _cuts(self, *, final: bool) -> Iterator[Clause]:
        while self._buffer.strip():
            cut, is_code = self._code_cut(final) or (self._text_cut(final), False)
            if cut is None:
                if not final:
                    return
                cut = len(self._buffer)
            if cut == 0:
                return
            yield self._take(cut, is_code)

    def _take(self, length: int, is_code: bool) -> Clause:
        text, self._buffer = self._buffer[:length], self._buffer[length:]
        clause = Clause(text, self._offset, self._offset + length, is_code)
        self._offset += length
        if not is_code and any(char.isalnum() for char in text):
            self._spoken += 1
        return clause

    def _code_cut(self, final: bool) -> tuple[int, bool] | None:
        """Return how much of the buffer is code, ``0`` for "wait", or ``None`` outside of code."""
        text = self._buffer
        scan = 0
        if not self._in_code:
            start = len(text) - len(text.lstrip("\n\r"))
            line = _FENCE.match(text, start)
            if line is None or (not final and not text[start : line.end()].endswith("\n")):
                begun = _FENCE_BEGUN.match(text, start)
                return (0, True) if begun is not None and not final else None
            self._in_code, scan = True, line.end()
            self._begun_code = True
        elif self._begun_code:
            first = _FENCE.match(text, len(text) - len(text.lstrip("\n\r")))
            scan = first.end() if first is not None else 0
        for line in re.finditer(r"(?m)^[ \t]*(?:```|~~~)[ \t]*(\n|\Z)", text[scan:]):
            if line.group(1) or final:
                self._in_code = self._begun_code = False
                return scan + line.end(), True
        if final:
            self._in_code = self._begun_code = False
            return len(text), True
        if len(text) > HARD_LIMIT_CHARS:
            self._begun_code = False
            return text.rfind("\n", 0, HARD_LIMIT_CHARS) + 1 or HARD_LIMIT_CHARS, True
        return 0, True

    def _text_cut(self, final: bool) -> int | None:
        fence = _FENCE_BELOW.search(self._buffer)
        text = self._buffer if fence is None else self._buffer[: fence.start() + 1]
        ended = final or fence is not None
        cut = self._cut_in(text, ended)
        if cut is None and fence is not None:
            return len(text)
        if cut is None and len(text) > HARD_LIMIT_CHARS:
            return HARD_LIMIT_CHARS
        return cut

    def _cut_in(self, text: str, ended: bool) -> int | None:
        """Return where the first clause of ``text`` ends; ``None`` when that is not known yet."""
        words = 0
        comma: int | None = None
        tokens = tokens_of(text)
        seen: list[Token] = []
        for index, token in enumerate(tokens):
            stop = _CJK_STOP.search(token.text)
            if stop is not None and (token.start + stop.end() < len(text) or ended):
                return token.start + stop.end()
            following = tokens[index + 1] if index + 1 < len(tokens) else None
            if following is None:
                break  # the end of this token, or what comes after it, is not known yet
            words += token.is_word
            seen.append(token)
            is_whole = ended or index + 2 < len(tokens) or following.end < len(text)
            kind = break_after(text, token, following, is_whole=is_whole)
            if kind == "unknown":
                return None
            if kind in ("block", "sentence"):
                return following.start
            if kind == "clause":
                if words >= self._fewest_words():
                    return following.start
                comma = following.start
            if token.end - tokens[0].start > MOST_CHARS or words >= self._most_words():
                border = choose_border(
                    text, seen, following if is_whole else None, fewest=FEWEST_WORDS
                )
                if self._spoken and comma is not None:
                    return comma
                return border
        return None

    def _fewest_words(self) -> int:
        return (FEWEST_WORDS, SECOND_WORDS)[self._spoken] if self._spoken < 2 else MOST_WORDS + 1

    def _most_words(self) -> int:
        return FIRST_WORDS if self._spoken == 0 else MOST_WORDS
