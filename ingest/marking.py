"""Finds where words stand among the letters of a page, whatever stands between them there.

A document's text was cleaned, its lines were joined and its columns put in order; a page has
letters at places. So only letters and digits are compared, without case, accents and ligatures:
spaces, hyphens at line ends and marks do not count. Pure functions.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MAX_LETTERS = 400_000
"""Of a page, that are looked at."""
_PIECE_CHARS = 8
"""Longer words are cut: of some scripts a whole sentence is one."""
_SURE_CHARS = 20
_SURE_PIECES, _SURE_PIECES_CHARS = 3, 12
"""That so much of a sentence stands on a page by chance is unlikely."""
_NEAR_CHARS = 200
"""From one found part to a short one behind it."""
_MAX_PLACES = 100
"""Compared, where the same words stand several times."""


@dataclass(frozen=True)
class Letters:
    """The letters of a page in the order in which they stand there."""

    text: str
    """One character for each, as ``letters_of`` makes them."""
    owners: Sequence[int]
    """The number of the character or line that each is of."""

    @classmethod
    def of(cls, parts: Iterable[tuple[int, str]]) -> Letters:
        """Put the letters of numbered parts together, ``MAX_LETTERS`` of them at most."""
        found: list[str] = []
        owners: list[int] = []
        for number, part in parts:
            letters = letters_of(part)
            found.append(letters)
            owners += [number] * len(letters)
            if len(owners) >= MAX_LETTERS:
                break
        return cls("".join(found), owners)


@dataclass(frozen=True)
class Found:
    """Where words stand: stretches ``start`` to ``end`` of a page's letters."""

    spans: tuple[tuple[int, int], ...]
    share: float
    """Of the words' letters, that were found."""


def letters_of(text: str) -> str:
    """Return the letters and digits of a text without case, accents and ligatures."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    return "".join(char for char in plain if char.isalnum())


def find(page: str, words: str, *, before: str = "", after: str = "") -> Found:
    """Find ``words`` among the letters of a page; ``before`` and ``after`` tell which of several.

    Where they do not stand there in one piece, their longest parts are found.
    """
    whole = letters_of(words)
    if not whole:
        return Found((), 0.0)
    places = _places(page, whole)
    if places:
        left, right = letters_of(before), letters_of(after)
        best = max(places, key=lambda place: _agreeing(page, place, len(whole), left, right))
        return Found(((best, best + len(whole)),), 1.0)
    spans = _parts(page, _pieces(words))
    return Found(tuple(sorted(spans)), sum(end - start for start, end in spans) / len(whole))


def _places(page: str, letters: str) -> list[int]:
    places: list[int] = []
    place = page.find(letters)
    while place >= 0 and len(places) < _MAX_PLACES:
        places.append(place)
        place = page.find(letters, place + 1)
    return places


def _agreeing(page: str, place: int, length: int, left: str, right: str) -> int:
    """Return how many letters before and after a place are those that should be there."""
    above = page[max(0, place - len(left)) : place][::-1]
    below = page[place + length :]
    return _common(above, left[::-1]) + _common(below, right)


def _common(one: str, other: str) -> int:
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count


def _pieces(words: str) -> list[str]:
    pieces = []
    for word in words.split():
        letters = letters_of(word)
        pieces += [letters[at : at + _PIECE_CHARS] for at in range(0, len(letters), _PIECE_CHARS)]
    return pieces


def _parts(page: str, pieces: Sequence[str]) -> list[tuple[int, int]]:
    """Return the places of the longest runs of ``pieces``, and of short ones right behind one."""
    spans: list[tuple[int, int]] = []
    at = 0
    while at < len(pieces):
        last = spans[-1][1] if spans else 0
        count, place = _longest(page, pieces, at, last)
        run = "".join(pieces[at : at + count])
        if count and _is_sure(count, run, pieces):
            spans.append((place, place + len(run)))
        elif spans and count:
            near = page.find(run, last, last + _NEAR_CHARS)
            if near >= 0:
                spans.append((near, near + len(run)))
        at += max(1, count)
    return spans


def _is_sure(count: int, run: str, pieces: Sequence[str]) -> bool:
    return (
        len(run) >= _SURE_CHARS
        or (count >= _SURE_PIECES and len(run) >= _SURE_PIECES_CHARS)
        or count == len(pieces)
    )


def _longest(page: str, pieces: Sequence[str], at: int, last: int) -> tuple[int, int]:
    """Return how many pieces from ``at`` on stand together on the page, and where.

    Behind ``last`` if they do there, else the first time.
    """
    low, high = 0, len(pieces) - at
    while low < high:  # what stands there stands there cut short, too
        middle = (low + high + 1) // 2
        if "".join(pieces[at : at + middle]) in page:
            low = middle
        else:
            high = middle - 1
    run = "".join(pieces[at : at + low])
    behind = page.find(run, last)
    return low, behind if behind >= 0 else page.find(run)
