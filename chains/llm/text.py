"""From the bytes of sampled tokens to text: whole characters only, nothing after a stop string."""

from __future__ import annotations

import codecs
from collections.abc import Sequence


class AnswerText:
    """Puts an answer's text together.

    A character whose bytes are spread over tokens is kept back until it is whole, and so is
    what may turn out to be the beginning of a stop string. Bytes that are no UTF-8 are dropped.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        """``stop``: the answer ends before the first of these."""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="ignore")
        self._stop = tuple(text for text in stop if text)
        self._held = ""
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """True once a stop string has come; no text comes after it."""
        return self._stopped

    def push(self, piece: bytes) -> str:
        """Add a token's bytes; return the text that is certain by now, often ``""``."""
        if self._stopped:
            return ""
        self._held += self._decoder.decode(piece)
        return self._release(self._overlap())

    def finish(self) -> str:
        """Return what was kept back; half a character at the end is dropped."""
        if self._stopped:
            return ""
        return self._release(0)

    def _release(self, keep: int) -> str:
        found = [at for at in (self._held.find(text) for text in self._stop) if at >= 0]
        if found:
            self._stopped = True
            text, self._held = self._held[: min(found)], ""
            return text
        cut = len(self._held) - keep
        text, self._held = self._held[:cut], self._held[cut:]
        return text

    def _overlap(self) -> int:
        """Return how many characters at the end may begin a stop string."""
        longest = max((len(text) for text in self._stop), default=0) - 1
        for size in range(min(longest, len(self._held)), 0, -1):
            if any(text.startswith(self._held[-size:]) for text in self._stop):
                return size
        return 0
