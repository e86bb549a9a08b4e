"""How finished a transcript sounds: the longer the speaker is likely to go on, the longer we wait.

It is told from the words: a person who stops at "the" or "um" has more to say.
"""

from __future__ import annotations

import re

UNKNOWN = 0.5
"""Neither finished nor unfinished: no text yet, or nothing to tell from."""

_FINISHED = 0.9
_PLAIN_WORDS = 0.6
_UNFINISHED = 0.0

_GOES_ON = frozenset(
    # articles and determiners, prepositions, conjunctions, auxiliaries, fillers
    "a an the this these those my your his her its our their some any every each no "
    "of to in on at by for from with without into onto about between through during under over "
    "against towards behind beside until since than as like via per "
    "and or but nor so because if when while although though unless whether that which who whose "
    "is are was were be been am do does did has have had will would can could shall should may "
    "might must what's where's who's i'm i'd i've i'll we're you're they're it's there's let's "
    "i we they he she very really quite more "
    "um uh er erm hm hmm mm well okay like".split()
)
_ENDS_A_QUESTION = frozenset(
    # may end a question or an answer after all: "what is that", "is it on", "what are they for"
    "this these those that on in off of to for from with about like is are was were do does did "
    "has have had can could will would should may might must no so more which who his hers "
    "under over through without since then they he she i we".split()
)
_WHOLE = frozenset(
    "yes no okay ok stop thanks right sure please hello hi yeah nope exactly".split()
)
_TRAILING_DOTS = re.compile(r"(\.{2,}|…|[—–-])\s*$")
_WORDS = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def finished(text: str) -> float:
    """Return 0 (goes on) … 1 (over) for the transcript of the turn so far; knows English words."""
    text = text.strip().rstrip("\"'”’)]")
    words = [word.lower().replace("’", "'") for word in _WORDS.findall(text)]
    if not words:
        return UNKNOWN
    if _TRAILING_DOTS.search(text) or text[-1] in ",:;、，":
        return _UNFINISHED
    last = words[-1]
    if len(words) == 1 and last in _WHOLE:
        return _FINISHED
    # Whisper writes a full stop behind anything, so the last word counts for more; a
    # question mark it writes only where the sentence is one.
    asked = text[-1] in "?？"
    if last in _GOES_ON and not (asked and last in _ENDS_A_QUESTION):
        return _UNFINISHED
    if asked or text[-1] in ".!。！।":
        return _FINISHED if len(words) > 1 else _PLAIN_WORDS
    return _PLAIN_WORDS
