"""Mends words that were divided at the end of a line, by the document's own vocabulary."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")
_LAST = re.compile(r"([^\W\d_]+)$")
_FIRST = re.compile(r"[^\W\d_]+")
_MAX_WORD_CHARS = 100
# "pre- and post-war": the hyphen stands for a word left out.
_CONJUNCTIONS = frozenset("and or to nor und oder bis et ou y o e".split())


class Hyphens:
    """Decides whether a hyphen at a line's end belongs to the word or to the line."""

    def __init__(self, words: Iterable[str]) -> None:
        """Take the words, in lower case, that stand whole in the document."""
        self._words = frozenset(words)

    @classmethod
    def from_lines(cls, lines: Iterable[tuple[str, bool]]) -> Hyphens:
        """Gather the words of ``(text, broken)`` lines, without the halves of divided ones."""
        words: set[str] = set()
        after_break = any_broken = False
        for text, broken in lines:
            found = _WORD.findall(text.lower())
            words.update(found[int(after_break) : len(found) - 1 if broken else None])
            any_broken = any_broken or broken
            after_break = broken
        return cls(words if any_broken else ())

    def join(self, above: str, below: str) -> str:
        """Return what stands between two parts: nothing, a hyphen, or a hyphen and a space."""
        last, first = _LAST.search(above[-_MAX_WORD_CHARS:]), _FIRST.match(below)
        if last is None or first is None or first.group()[0].isupper():
            return "-"  # "1990-2000", "Anglo-Saxon"
        left, right = last.group().lower(), first.group().lower()
        if right in _CONJUNCTIONS:
            return "- "
        if left + right in self._words:
            return ""
        if f"{left}-{right}" in self._words or (left in self._words and right in self._words):
            return "-"
        return ""
