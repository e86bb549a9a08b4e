"""Characters that nobody sees: they can hide what a text says, or turn its direction."""

from __future__ import annotations

import re
from typing import Final

INVISIBLE: Final = (
    "\x00-\x08\x0e-\x1f\x7f-\x9f"  # control characters, less the tab and those that end a line
    "\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e"  # soft hyphen, fillers, vowels without a sign
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"  # zero-width and bidirectional controls
    "\u3164\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"  # fillers, marks, non-characters
    "\ud800-\udfff"  # half a surrogate pair: no character at all
    "\U0001d173-\U0001d17a\U0001fffe\U0001ffff"  # musical format controls, non-characters
    "\U000e0000-\U000e0fff"  # tags and the selectors that can carry hidden bytes
)
"""As in a regular expression's brackets: what no text loses anything by."""

JOINING: Final = "\u034f\u180b-\u180d\u180f\u200c\u200d\ufe00-\ufe0f"
"""Joiners and selectors, which choose the form of the character beside them. What is shown keeps
them; what is searched and compared does not, as they can hide in it too."""

_INVISIBLE: Final = re.compile(f"[{INVISIBLE}]+")


def visible(text: str) -> str:
    """Return ``text`` without what cannot be seen, as it may be shown."""
    return _INVISIBLE.sub("", text)
