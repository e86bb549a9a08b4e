"""The whole way from what is written to what is said."""

from __future__ import annotations

import re

from voice.speakable.dates import dates_to_words
from voice.speakable.markup import strip_markup
from voice.speakable.names import (
    abbreviations_to_words,
    acronyms_to_words,
    compounds_to_words,
    names_to_words,
    versions_to_words,
)
from voice.speakable.numbers import decades_to_words, numbers_to_words
from voice.speakable.quantities import quantities_to_words
from voice.speakable.rules import Rule, rewrite

_UNREAD: Rule = (re.compile(r"[=$€£¥]+"), " ")
"""Signs that no rule for English took."""

_AT_LAST: tuple[Rule, ...] = (
    (re.compile(r"\s?&\s?"), " and "),
    (re.compile(r"(?<=\w)\s?@\s?(?=\w)|(?<!\w)@(?=\s)"), " at "),
    (re.compile(r"#(?=\w)"), ""),
    (re.compile(r"[\[\]{}<>|\\^~_*#@]+"), " "),
    (re.compile(r"\s*[–—]\s*|\s-{1,3}\s"), ", "),
    (re.compile(r"/"), " "),
    (re.compile(r"[“”«»„\"]"), ""),
    (re.compile(r"\(([^()]*)\)"), r", \1,"),
    (re.compile(r"[()]"), " "),
    # A line that ends without a mark is a line of a list or a heading.
    (re.compile(r"(?<=[\w'’])[ \t]*\n\s*\n\s*"), ". "),
    (re.compile(r"\s+"), " "),
    (re.compile(r" (?=[,.;:!?])"), ""),
    (re.compile(r",+(?=[.;:!?])"), ""),
    (re.compile(r"([,;:])(?:\s?[,;:])+"), r"\1"),
    (re.compile(r"\.{2,}|…"), ","),
    (re.compile(r"^[\s,;:.!?–-]+"), ""),
    (re.compile(r",$"), ","),
)


def speakable(text: str, *, language: str = "en-us") -> str:
    """Return ``text`` as it is to be read out; empty when there is nothing to say.

    ``language`` as espeak-ng names it. English is spelled out in full, with the month first in
    American dates; of other languages only the markup is taken away, as their speech engines
    read their own numerals.
    """
    text = strip_markup(text)
    if language.lower().startswith("en"):
        text = versions_to_words(compounds_to_words(names_to_words(text)))
        text = dates_to_words(text, day_first=language.lower() not in ("en", "en-us"))
        text = decades_to_words(abbreviations_to_words(text))
        text = quantities_to_words(text)
        text = acronyms_to_words(text)
        text = rewrite(numbers_to_words(text), (_UNREAD,))
    text = rewrite(text, _AT_LAST).strip()
    return text if any(char.isalnum() for char in text) else ""
