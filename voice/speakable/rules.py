"""How a rewriting rule looks: a pattern and what becomes of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

Replacement = str | Callable[[re.Match[str]], str]
Rule = tuple[re.Pattern[str], Replacement]


def rewrite(text: str, rules: Iterable[Rule]) -> str:
    """Apply the rules in order, each to what the ones before it left."""
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text


def any_of(words: Iterable[str]) -> str:
    """Return a pattern for one of ``words``, the longest that fits."""
    return "(?:" + "|".join(sorted(map(re.escape, words), key=len, reverse=True)) + ")"
