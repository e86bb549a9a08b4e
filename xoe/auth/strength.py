"""Refuses passwords that are easy to guess, and says why."""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from typing import Final

from core.errors import WeakPasswordError

MIN_LENGTH: Final = 10
"""NIST asks for 8 where attempts are limited; a stolen copy of the database has no such limit."""
MAX_LENGTH: Final = 256
_DISTINCT: Final = 5
_DIGITS: Final = 16
_RUN: Final = 4
"""So many neighbours on the keyboard or in the alphabet count as one character."""
_ROWS: Final = (
    *("abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "qwertzuiop", "azertyuiop"),
    *("asdfghjkl", "qsdfghjklm", "zxcvbnm", "yxcvbnm", "1qaz2wsx3edc4rfv5tgb6yhn7ujm"),
)
_NEIGHBOURS: Final = frozenset(
    pair for row in _ROWS for way in (row, row[::-1]) for pair in pairwise(way)
)
_LEET: Final = str.maketrans("013457@$!|", "oieastasil")
# What is left of a guessable password once the digits and marks round it are gone. Put together
# for this project: words that stand near the top of lists of leaked passwords.
_COMMON: Final = frozenset(
    """
    password passwort passw passwd motdepasse contrasena kennwort wachtwoord senha parola haslo
    letmein welcome willkommen bienvenue login signin access geheim secret topsecret changeme
    changeit default administrator admin root guest user test testing tester demo example operator
    iloveyou ichliebedich jetaime teamo loveme love lovely sunshine princess monkey dragon master
    football baseball basketball soccer hockey superman batman spiderman starwars pokemon shadow
    michael jennifer jordan charlie daniel thomas jessica ashley hunter killer trusto trustno
    trustnoone whatever freedom summer sommer winter spring autumn monday friday january computer
    internet samsung google facebook windows linux microsoft apple iphone hello hallo bonjour ciao
    hola correcthorsebatterystaple blahblah nothing something forever cheese chocolate cookie
    pepper ginger flower purple orange banana mustang ferrari porsche liverpool arsenal chelsea
    barcelona realmadrid juventus xoe xoenovai novai assistant temporary temp asdf qwer qwerty
    """.split()
)
_EDGES: Final = re.compile(r"^[\W\d_]+|[\W\d_]+$")
_NOT_LETTERS: Final = re.compile(r"[\W\d_]+")


def normalised(password: str) -> str:
    """Return a password in the one form in which it is hashed, whatever keyboard wrote it."""
    return unicodedata.normalize("NFKC", password)


def check(password: str, *, name: str) -> None:
    """Raise ``WeakPasswordError`` with the reason when a password is easy to guess.

    ``name`` is the account's.
    """
    text = normalised(password)
    if any(unicodedata.category(character) in ("Cc", "Cs", "Cn") for character in text):
        raise WeakPasswordError("A password cannot hold control characters.")
    if len(text) < MIN_LENGTH:
        raise WeakPasswordError(
            f"This password is too short: it needs {MIN_LENGTH} characters at least. "
            "Three or four unrelated words are easy to remember."
        )
    if len(text) > MAX_LENGTH:
        raise WeakPasswordError(f"A password may have {MAX_LENGTH} characters at most.")
    lowered = text.casefold()
    if len(set(lowered)) < _DISTINCT:
        raise WeakPasswordError(
            "This password repeats the same few characters, which is tried early. Mix in others."
        )
    if _is_name(lowered, name):
        raise WeakPasswordError("This password is little more than the account's name.")
    if len(_unit(lowered)) < MIN_LENGTH:
        raise WeakPasswordError("This password is one short piece repeated, which is tried early.")
    if _without_runs(lowered) < MIN_LENGTH // 2:
        raise WeakPasswordError(
            "This password is little more than a row of neighbouring keys, letters or digits, "
            "which is tried early."
        )
    if len(text) < _DIGITS and not any(character.isalpha() for character in text):
        raise WeakPasswordError(
            f"This password has no letters. Add some, or make it {_DIGITS} characters long."
        )
    if _is_common(lowered):
        raise WeakPasswordError(
            "This password is one of those that are tried first. Put several unrelated words "
            "together instead."
        )


def _is_name(lowered: str, name: str) -> bool:
    """Return whether fewer than four letters are left of a text without the name in it."""
    left = lowered
    for form in (name, name[::-1]):
        left = left.replace(form, "") if form else left
    return left != lowered and len(_NOT_LETTERS.sub("", left)) < 4


def _unit(lowered: str) -> str:
    """Return the piece that a text repeats (the last time perhaps cut), else the text."""
    for size in range(1, len(lowered) // 2 + 1):
        unit = lowered[:size]
        if (unit * (len(lowered) // size + 1)).startswith(lowered):
            return unit
    return lowered


def _without_runs(lowered: str) -> int:
    """Return the length of a text in which each run of neighbours counts as one character."""
    length, run = 0, 0
    for place, character in enumerate(lowered):
        previous = lowered[place - 1] if place else ""
        goes_on = character == previous or (previous, character) in _NEIGHBOURS
        run = run + 1 if goes_on else 1
        length += 1
        if run == _RUN:
            length -= _RUN - 1  # the run so far is one
        elif run > _RUN:
            length -= 1
    return length


def _is_common(lowered: str) -> bool:
    plain = _EDGES.sub("", lowered)
    forms = (plain, plain.translate(_LEET), lowered.translate(_LEET))
    words = {_NOT_LETTERS.sub("", _EDGES.sub("", form)) for form in forms}
    return not _COMMON.isdisjoint(words | {_unit(word) for word in words})
