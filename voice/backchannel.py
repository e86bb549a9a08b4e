"""What a listener says without wanting the floor."""

from __future__ import annotations

import re
from typing import Final

BACKCHANNELS: Final = frozenset(
    "mm mmm mhm mmhm mmhmm hm hmm uhhuh aha ah oh um uh yeah yep yes ok okay right sure "
    "isee gotit good great nice cool".split()
)
MOST_WORDS: Final = 4

_NO_LETTERS = re.compile(r"[^a-z\s]")


def is_backchannel(text: str) -> bool:
    """Tell whether ``text`` is only what listeners say, such as "mm-hm, okay"."""
    words = _NO_LETTERS.sub("", text.lower().replace("-", "")).split()
    return 0 < len(words) <= MOST_WORDS and _is_made_of_backchannels(words)


def _is_made_of_backchannels(words: list[str]) -> bool:
    """Tell whether ``words`` are backchannels one after the other, of one word or two."""
    if not words:
        return True
    return any(
        "".join(words[:length]) in BACKCHANNELS and _is_made_of_backchannels(words[length:])
        for length in (1, 2)
        if length <= len(words)
    )
