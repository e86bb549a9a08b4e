"""Makes text safe for the page's Markdown: what a document says never becomes markup.

One path for streamed and for finished text. The model may use emphasis, lists, tables and code;
images, links with a text of their own, HTML and directives come out as the characters they are
written with. Only what would be active is escaped, so that a copied answer reads as it was shown.
The page's own ``[n]`` marks get their links from definitions after the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from core.text import visible

_LONGEST_SPAN = 300
_FENCE_INFO = re.compile(r"[\w+#. -]{0,40}")
_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
_SPACE = re.compile(r"\s+")
_MARK = re.compile(r"[ \t]*\[\d{1,3}\]")
CITATION_LINK = "#cite-"
_DEFINITION = re.compile(rf"^\[\d+\]: {CITATION_LINK}.*\n?", re.MULTILINE)


def plain(text: str, limit: int = 300) -> str:
    """Return ``text`` on one line with every Markdown character escaped, at most ``limit`` long."""
    line = _SPACE.sub(" ", visible(text)).strip()
    if len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return _PUNCTUATION.sub(r"\\\1", line)


class Neutraliser:
    """Escapes Markdown's links, images and HTML in text that arrives in pieces.

    ``feed`` and ``finish`` together return the same characters whatever the pieces were. Code is
    left as it is, since nothing in code is markup and a backslash would show there; but only what
    is code for certain: a fence that begins at a line's first column, and a span that ends on its
    own line outside a table. What may become code is held back until that is known; backticks
    that are neither come out escaped, so that they cannot pair with others.
    """

    def __init__(self) -> None:
        """Start outside code, at the beginning of a line."""
        self._held = ""
        self._line = ""
        self._fence = 0
        self._escaped = False
        self._undecided = ""

    def feed(self, piece: str) -> str:
        """Return what is safe to append to what was returned before; some may be held back."""
        return "".join(self._next(char) for char in visible(piece))

    def finish(self) -> str:
        """Return what was held back, and the end of a fence that was left open."""
        rest = self._release() if self._held else ""
        closing = "\n" + "`" * self._fence if self._fence else ""
        return rest + self._decide("") + closing

    def _next(self, char: str) -> str:
        if self._fence:
            return self._in_fence(char)
        if self._held:
            return self._in_ticks(char)
        if char == "`" and not self._escaped:
            decided = self._decide(char)
            self._held = char
            return decided
        return self._outside(char)

    def _outside(self, char: str) -> str:
        decided = self._decide(char)
        escaped, self._escaped = self._escaped, char == "\\" and not self._escaped
        before, self._line = self._line, "" if char == "\n" else (self._line + char)[-2:]
        if escaped:
            return decided + char
        if char == "<" or (char == ":" and before[-1:] != "]"):
            self._undecided = char
            return decided
        is_active = (
            (char in "(:" and before[-1:] == "]")  # a link's address, a definition
            or (char == "[" and before[-1:] in ("!", "]"))  # an image, a reference
            or (char == "~" and before == "~~")  # a fence of the kind that is not followed here
        )
        return f"{decided}\\{char}" if is_active else decided + char

    def _decide(self, following: str) -> str:
        """Return the ":" or "<" before ``following``; it was held back to see what comes.

        A letter makes a colon one of Chainlit's directives, and a bracket a tag or an address.
        """
        char, self._undecided = self._undecided, ""
        starts = following.isalpha() or (char == "<" and following in ("/", "!", "?"))
        return "\\" + char if char and starts else char

    def _in_ticks(self, char: str) -> str:
        if char == "`" and len(self._held) > _LONGEST_SPAN:  # a row of them is looked at in pieces
            return self._release() + self._next(char)
        ticks = len(self._held) - len(self._held.lstrip("`"))
        info = self._held[ticks:]
        may_be_fence = ticks >= 3 and not self._line and bool(_FENCE_INFO.fullmatch(info))
        if may_be_fence and char == "\n":
            fence, self._held, self._fence = self._held, "", ticks
            return fence + char
        is_over = char in "\n|" or len(self._held) > _LONGEST_SPAN
        if char != "`" and (_is_span(self._held) or (is_over and not may_be_fence)):
            return self._release() + self._next(char)
        self._held += char
        return ""

    def _release(self) -> str:
        """Return what is held: as it is when it is code, escaped as text when it is not."""
        held, self._held = self._held, ""
        if _is_span(held):
            self._line = held[-2:]
            return held
        return "".join(self._tick() if char == "`" else self._outside(char) for char in held)

    def _tick(self) -> str:
        decided = self._decide("`")
        escaped, self._escaped = self._escaped, False
        self._line = (self._line + "`")[-2:]
        return decided + ("`" if escaped else "\\`")

    def _in_fence(self, char: str) -> str:
        if char != "\n":
            if len(self._line) <= 2 * _LONGEST_SPAN:  # what closes a fence is shorter
                self._line += char
            return char
        line, self._line = self._line.lstrip(" "), ""
        if len(line) - len(line.lstrip("`")) >= self._fence:
            self._fence = 0
        return char


def _is_span(held: str) -> bool:
    """Whether ``held``, which begins with backticks, is a whole code span."""
    body = held.lstrip("`")
    content = body.rstrip("`")
    return bool(content) and len(held) - len(body) == len(body) - len(content)


def neutralise(text: str) -> str:
    """Return a whole text made safe, as ``Neutraliser`` makes its pieces."""
    neutraliser = Neutraliser()
    return neutraliser.feed(text) + neutraliser.finish()


def with_citation_links(text: str, places: Mapping[int, str]) -> str:
    """Return the neutralised text with its ``[n]`` marks as links to their passages.

    ``places`` says for each number where the passage stands, such as ``handbook.pdf, page 3``.
    """
    if not places:
        return text
    definitions = [
        f'[{number}]: {CITATION_LINK}{number} "{_title(place)}"' for number, place in places.items()
    ]
    return "\n".join([text, "", *definitions])


def without_citation_links(text: str) -> str:
    """Return a shown answer without the definitions that ``with_citation_links`` added."""
    return _DEFINITION.sub("", text)


def without_marks(text: str) -> str:
    """Return an answer without the ``[n]`` marks of its citations."""
    return _MARK.sub("", text)


def _title(place: str) -> str:
    line = _SPACE.sub(" ", visible(place)).strip()[:200]
    return line.replace("\\", "\\\\").replace('"', '\\"')
