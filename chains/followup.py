"""Does a question stand alone, and if not, what it is about."""

from __future__ import annotations

import re
from collections.abc import Sequence

from chains import lexical

_POINTS_BACK = re.compile(
    r"^\s*(?:and|but|or|so|what about|how about|then)\b"
    r"|\b(?:it|its|they|them|their|theirs|he|him|his|she|her|hers|those|these|that one|this one"
    r"|the (?:first|second|third|last|latter|former|other|same)(?: one)?)\b",
    re.IGNORECASE,
)
_SMALL_TALK = re.compile(
    r"^\W*(?:hi|hello|hey|good (?:morning|afternoon|evening)|thanks?(?: you)?(?: very much)?"
    r"|thank you(?: very much)?|bye|goodbye|how are you(?: today)?|who are you"
    r"|what(?:'s| is) your name)\W*$",
    re.IGNORECASE,
)
FEW_WORDS = 2
"""A question with at most this many words of meaning may need its predecessor."""


def search_text(question: str, earlier: Sequence[str]) -> str:
    """Return the text to search for: the question, led by the one before where it needs it.

    ``earlier`` holds the user's previous questions, oldest first.
    """
    if not earlier:
        return question
    pointing = _POINTS_BACK.search(question) is not None
    if pointing or len(lexical.content_words(question)) < FEW_WORDS:
        return f"{earlier[-1]}\n{question}"
    return question


def is_small_talk(question: str) -> bool:
    """Tell whether this is a greeting or thanks, not a question to the library."""
    return _SMALL_TALK.match(question) is not None
