"""Whether two sentences of the documents answer a question differently.

They say the same of what is asked, word for word but for what an answer is made of: a number, a
name, a yes or no, one of two opposites. Said in other words, a contradiction is not seen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from chains import lexical
from chains.citations import is_negated, numbers
from ingest.language import ENGLISH

SHARED_SHARE: Final = 0.5
"""Share of the words of either, apart from those of the answer, that stand in both."""

ASKED_SHARE: Final = 0.6
"""Share of the question's words of which both speak."""

OPPOSITES: Final = {
    lexical.stem(word): (number, side)
    for number, pair in enumerate(
        (
            "open opened|closed shut", "allowed permitted welcome|forbidden prohibited banned",
            "true|false", "yes|no", "left|right", "north|south", "east|west", "hot warm|cold",
            "first|last", "more|less fewer", "before|after", "above|below", "inside|outside",
            "always|never", "free|paid", "safe|dangerous", "public|private", "full|empty",
            "won|lost", "alive|dead", "possible|impossible", "required mandatory|optional",
            "accepted|refused rejected", "increased rose|decreased fell", "high|low", "long|short",
            "day|night", "morning|evening", "summer|winter", "man|woman",
            "married|single",
        )
    )
    for side, alike in enumerate(pair.split("|"))
    for word in alike.split()
}  # fmt: skip
NUMBER_WORDS: Final = frozenset(
    (
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety "
        "hundred thousand million daily weekly monthly yearly once twice noon midnight monday "
        "tuesday wednesday thursday friday saturday sunday january february march april june july "
        "august september october november december"
    ).split()
)
_TITLES: Final = {"mr", "mrs", "ms", "miss", "dr", "prof", "sir", "lady", "herr", "frau"}
_WORD = re.compile(r"[^\W_]+")
_NAME = re.compile(r"\b[^\W\d_a-z][^\W\d_]*(?:[.]?\s+[^\W\d_a-z][^\W\d_]*)*")
"""Capitalised words in a row: "Mrs. Okafor" is one name."""


@dataclass(frozen=True)
class _Said:
    """A sentence, taken apart."""

    stems: frozenset[str]
    numbers: frozenset[str]
    """And days, months and words for numbers."""
    names: tuple[frozenset[str], ...]
    """The stems of each."""
    opposites: frozenset[str]
    negated: bool

    @classmethod
    def of(cls, sentence: str, language: str) -> _Said:
        stems = lexical.content_stems(sentence, language)
        counted = {word for word in lexical.words(sentence) if word in NUMBER_WORDS}
        return cls(
            stems,
            frozenset(numbers(sentence) | counted),
            # In German each noun has a capital.
            () if language == "de" else _names(sentence, without=counted, language=language),
            frozenset(stems & OPPOSITES.keys()),
            is_negated(sentence, language),
        )

    @property
    def core(self) -> frozenset[str]:
        """The words that are no answer by themselves."""
        counted = {lexical.stem(part) for n in self.numbers for part in _WORD.findall(n)}
        return self.stems - counted - self.opposites - frozenset().union(*self.names)

    def own_names(self, other: _Said) -> int:
        """Return how many names it has of which the other says nothing."""
        return sum(not name & other.stems for name in self.names)


def contradicts(
    one: str,
    other: str,
    question: str,
    *,
    headings: tuple[str, str] = ("", ""),
    language: str = ENGLISH,
) -> bool:
    """Tell whether two sentences say the same of what is asked, but answer it differently.

    ``headings``: those above each; what is asked may stand there.
    """
    asked, a, b = (_Said.of(sentence, language) for sentence in (question, one, other))
    above = [lexical.content_stems(heading, language) for heading in headings]
    named = asked.stems - asked.opposites
    spoken_of = named & (a.stems | above[0])
    if spoken_of != named & (b.stems | above[1]) or len(spoken_of) < ASKED_SHARE * len(named):
        return False
    if (asked.numbers & a.numbers) != (asked.numbers & b.numbers):
        return False
    shared = a.core & b.core
    if not shared or len(shared) < SHARED_SHARE * max(len(a.core), len(b.core)):
        return False
    other_number = bool(a.numbers - b.numbers) and bool(b.numbers - a.numbers)
    own = a.own_names(b), b.own_names(a)
    if all(own):
        # Two answers differ in one thing; where two differ they speak of two subjects.
        return own == (1, 1) and not other_number
    return (
        a.negated != b.negated
        or other_number
        or _are_opposite(a.opposites - b.opposites, b.opposites - a.opposites)
    )


def _names(sentence: str, *, without: set[str], language: str) -> tuple[frozenset[str], ...]:
    """Return the names; a single word at the head of the sentence is none."""
    found = []
    for match in _NAME.finditer(sentence):
        if not match.group()[0].isupper():  # "é", which no class of letters tells from "É"
            continue
        words = [word for word in lexical.words(match.group()) if word not in without | _TITLES]
        stems = frozenset(lexical.stem(word, language) for word in words)
        stems &= lexical.content_stems(match.group(), language)
        if stems and (match.start() > 0 or len(match.group().split()) > 1):
            found.append(stems)
    return tuple(found)


def _are_opposite(a: frozenset[str], b: frozenset[str]) -> bool:
    pairs = ((OPPOSITES[x], OPPOSITES[y]) for x in a for y in b)
    return any(pair == other and side != other_side for (pair, side), (other, other_side) in pairs)
