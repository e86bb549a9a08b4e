"""Words of a question and of a sentence: stop words, stems, and their weights."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import snowballstemmer

_WORD = re.compile(r"[^\W_]+")
_TOKEN = re.compile(r"[^\W\d_]+|\d|[^\w\s]|_")
_LETTERS_A_TOKEN = 5
_USUAL_WORD = 7
_EAST_ASIAN = 0x2E80
"""The first of the characters that stand for a word or a syllable."""
_STOP_WORDS = frozenset(
    (
        "a about above after again all also am an and any are as at be because been before being "
        "below between both but by can could did do does doing done down during each few for from "
        "further had has have having he her here hers him his how i if in into is it its itself "
        "just let me more most my no nor not of off on once only or other our out over own please "
        "same she should so some such tell than that the their them then there these they this "
        "those through to too under until up us very was we were what when where which while who "
        "whom whose why will with would you your yours give show explain describe name much many "
        "s t re ve ll d m"
    ).split()
)
_STEMMER = snowballstemmer.stemmer("porter")  # the one that FTS5's tokenizer uses


def words(text: str) -> list[str]:
    """Return the words of ``text`` in lower case, cut as FTS5's tokenizer cuts them."""
    return _WORD.findall(text.lower())


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """Return the Porter stem of a lower-case word."""
    stemmed: str = _STEMMER.stemWord(word)
    return stemmed


def content_words(text: str) -> list[str]:
    """Return the words that carry meaning, in order, each once; all words if none does."""
    found = words(text)
    kept = [word for word in found if word not in _STOP_WORDS]
    return list(dict.fromkeys(kept or found))


def content_stems(text: str) -> frozenset[str]:
    """Return the stems of the words that carry meaning; may be empty."""
    return frozenset(stem(word) for word in words(text) if word not in _STOP_WORDS)


def estimated_tokens(text: str) -> int:
    """Return about how many tokens the language model makes of ``text``, without asking it.

    A usual word, a digit and a mark are one each, a longer word one for five letters. Against
    Qwen2.5's tokenizer: 1.04 of the true number for English prose, less for German and tables.
    """
    return sum(_tokens_of(piece) for piece in _TOKEN.findall(text))


def _tokens_of(piece: str) -> int:
    if ord(piece[0]) >= _EAST_ASIAN:
        return len(piece)
    if len(piece) <= _USUAL_WORD and piece.isascii():
        return 1
    return 1 + (len(piece) - 1) // _LETTERS_A_TOKEN


def match_expression(stems_or_words: Iterable[str]) -> str:
    """Return an FTS5 expression that matches any of the words. They are quoted: no syntax."""
    return " OR ".join(f'"{word}"' for word in stems_or_words)


def inverse_frequencies(
    stems: Sequence[str], counts: Mapping[str, int], total: int
) -> dict[str, float]:
    """Return each stem's weight: BM25's inverse document frequency, always above 0."""
    return {
        word: math.log(1 + (total - counts.get(word, 0) + 0.5) / (counts.get(word, 0) + 0.5))
        for word in stems
    }
