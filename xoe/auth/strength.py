"""Refuses passwords that are easy to guess, and says why."""

from __future__ import annotations

import unicodedata
from typing import Any, Final

from core.errors import WeakPasswordError

MIN_LENGTH: Final = 10
"""NIST asks for 8 where attempts are limited; a stolen copy of the database has no such limit."""
MAX_LENGTH: Final = 256
_DISTINCT: Final = 5
_DIGITS: Final = 16
_ROW: Final = 4
"""So many neighbours on the keyboard or in the alphabet are a row."""
_GUESSES: Final = 200_000_000
"""A core takes more than half a year for so many hashes of a stolen copy. Of random passwords of
ten characters zxcvbn takes two in a thousand for easier than that."""
_LOOKED_AT: Final = 32
"""Characters that zxcvbn is given: half a second for the worst of that length, and seconds for
twice as many."""
# What stands near the top of lists of leaked passwords in other languages, or of this project.
_COMMON: Final = (
    *("xoe", "novai", "xoenovai", "login", "signin", "changeit", "trustnoone"),
    *("passwort", "kennwort", "geheim", "willkommen", "sommer", "ichliebedich", "motdepasse"),
    *("bienvenue", "jetaime", "contrasena", "teamo", "wachtwoord", "senha", "parola", "haslo"),
    *("correcthorsebatterystaple", "correct horse battery staple"),
)
_NAME: Final = "This password is little more than the account's name."


def normalised(password: str) -> str:
    """Return a password in the one form in which it is hashed, whatever keyboard wrote it."""
    return unicodedata.normalize("NFKC", password)


def check(password: str, *, name: str) -> None:
    """Raise ``WeakPasswordError`` with the reason when a password is easy to guess.

    ``name`` is the account's. Takes up to half a second: not for the event loop.
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
    if (reason := _reason(lowered[:_LOOKED_AT], name)) is not None:
        raise WeakPasswordError(reason)


def _reason(lowered: str, name: str) -> str | None:
    """Return why a text is guessed early; ``None`` where it is not."""
    from zxcvbn import matching, scoring  # only where a password is set: it brings lists of words

    left = lowered.replace(name, "").replace(name[::-1], "") if name else lowered
    if left != lowered and sum(map(str.isalpha, left)) < 4:
        return _NAME
    words = matching.build_ranked_dict([name, *_COMMON])
    matches = matching.omnimatch(lowered, {**matching.RANKED_DICTIONARIES, "ours": words})
    in_rows = {
        at
        for match in matches
        if match["pattern"] == "sequence" or match.get("graph") == "qwerty"
        if len(match["token"]) >= _ROW
        for at in range(match["i"], match["j"] + 1)
    }
    if len(lowered) - len(in_rows) < _DISTINCT:
        return (
            "This password is little more than a row of neighbouring keys, letters or digits, "
            "which is tried early."
        )
    if len(lowered) < _DIGITS and not any(character.isalpha() for character in lowered):
        return f"This password has no letters. Add some, or make it {_DIGITS} characters long."
    likeliest = scoring.most_guessable_match_sequence(lowered, matches)
    if likeliest["guesses"] >= _GUESSES:
        return None
    parts: list[dict[str, Any]] = likeliest["sequence"]
    if any(part.get("matched_word") == name for part in parts):
        return _NAME
    if parts[0]["pattern"] == "repeat" and len(parts) == 1:
        return "This password is one short piece repeated, which is tried early."
    if any(part.get("dictionary_name") in ("passwords", "ours") for part in parts):
        return (
            "This password is one of those that are tried first. Put several unrelated words "
            "together instead."
        )
    return (
        "This password is little more than a word, a name or a date, which is tried early. Put "
        "several unrelated words together instead."
    )
