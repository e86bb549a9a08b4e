"""The words by which an English question leans on what was said before it."""

from __future__ import annotations

import re
from typing import Final

from chains.clauses import (
    AUXILIARIES,
    BE,
    PREPOSITIONS,
    clause,
    is_verb,
    names,
)

_AUXILIARY = "|".join(sorted(AUXILIARIES))
_PREPOSITION = "|".join(sorted(PREPOSITIONS))

LEAD: Final = re.compile(
    r"^\s*(?:(?:and|but|so|ok(?:ay)?|then|also|well|thanks|thank you|hm+|ah|oh|please|yes|right"
    r"|no|nope|sorry|actually|rather|wait|i mean(?:t)?|i was asking about|i wanted to know"
    r"|what about|how about)\b[\s,.;:!—–-]*)+",
    re.IGNORECASE,
)
"""What goes before a question that goes on or corrects."""

POINTING: Final = re.compile(
    r"\b(?:(?P<person>he|him|she|her|hers|his)|(?P<thing>it|its)"
    r"|(?P<several>they|them|their|theirs)|(?P<place>there)"
    r"|(?P<time>(?:(?:at|in|of) )?that (?:time|year|day|period|moment)|back then)"
    r"|(?P<kind>(?:this|that|these|those) "
    r"(?!(?:is|was|are|were|did|does|do|had|has|have|\w+ed)\b)[^\W\d]\w+)"
    r"|(?P<other>that|this|those|these))\b",
    re.IGNORECASE,
)
CHOICE: Final = re.compile(
    r"\b(?:the|number|no\.)\s+"
    r"(?P<which>first|second|third|fourth|fifth|last|former|latter|one|two|three|four)"
    r"(?:\s+(?:one|item|point))?(?=\s*(?:$|[?.,!]|(?:is|was|does|did|do|has|have|had|in|say|says"
    r"|mean|means|cost|costs)\b))",
    re.IGNORECASE,
)
NUMBERED: Final = {
    "former": 1, "latter": 2, "last": -1, "one": 1, "two": 2, "three": 3, "four": 4,
}  # fmt: skip
ONE: Final = re.compile(
    r"\b(?:the|that|this|a|an|those|these)\s+(?:(\w+(?:\s\w+)?)\s+)?ones?\b", re.IGNORECASE
)
PLACED_ONE: Final = re.compile(rf"(?:the|that) ones? ((?:{_PREPOSITION})\b.+)", re.IGNORECASE)
BARE: Final = re.compile(
    r"^(?:(?:by|for|from|with|to|since|until|in|on|at|of)\s+)?"
    r"(?:who|whom|whose|what|which|when|where|why"
    r"|how(?:\s+(?:many|much|long|far|old|often|big|large|come|so))?)"
    r"(?:\s+(?:not|exactly|else|ones?))?(?:\s+(?:is|was|were|are)\s+(?:that|this|so))?$",
    re.IGNORECASE,
)
"""A question word and nothing that it asks about."""
ADVERBIAL: Final = re.compile(rf"(?:when|where|why|how)\b(?=\s+(?:{_AUXILIARY})\b)", re.IGNORECASE)
BOUND: Final = re.compile(r"\b(?:it|they|them|he|she|him|her|that)\b", re.IGNORECASE)
DEFINITE: Final = re.compile(
    r"\bthe ((?:[a-z]+ )?)((?!now|today)[a-z]{3,})\b"
    rf"(?=[?.,!]|$|\s+(?:{_AUXILIARY}|{_PREPOSITION.replace('|of|', '|')}|now|today|[a-z]+ed)\b)"
)
"""A noun with "the" and nothing after it that says which."""
COMPLEMENT: Final = re.compile(r"\s(?:of|in|to|for|on|at|from)\s")
COMMANDS: Final = frozenset(
    "tell give show explain describe list name find compare summarise summarize define translate "
    "say write count quote".split()
)
ALIKE: Final = {
    word: number
    for number, words in enumerate(
        (
            "in on at during near within inside outside", "before after since until", "from to",
            "by with for without", "under over above below",
        )
    )
    for word in words.split()
}  # fmt: skip
"""Prepositions that step into each other's places."""

_EXPLETIVE = re.compile(
    r"\b(?:(?:is|was|be|'s) it|it (?:is|was|be|'s|would be|will be)) (?:\w+ )?"
    r"(?:possible|impossible|necessary|true|right|allowed|permitted|forbidden|ok(?:ay)?|safe|legal"
    r"|illegal|worth|better|best|good|bad|easy|hard|difficult|enough|important|likely|required"
    r"|advisable|useful|wrong|dangerous|normal|usual|raining|snowing|late|early|time|that)\b"
    r"|\bit (?:take|takes|took|cost|costs|matter|matters)\b[^?]*\bto\b|\btime is it\b|\bis it to\b"
    r"|\b(?:is|are|was|were|be|been) there\b|\bthere (?:is|are|was|were|be|been|has|have|will)\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"(?:,|\b(?:when|after|before|because|while|if|until|although|that|since|and)\b)[^,]*$",
    re.IGNORECASE,
)


def points_back(text: str, pronoun: re.Match[str]) -> bool:
    """Tell whether a match of ``POINTING`` means something before the question, not in it."""
    word, before = pronoun.group(), text[: pronoun.start()]
    if word.isupper() and len(word) > 1 and not text.isupper():
        return False  # "IT" is not "it"
    if any(match.start() <= pronoun.start() < match.end() for match in _EXPLETIVE.finditer(text)):
        return False
    previous = (re.findall(r"\w+", before) or [""])[-1].lower()
    after = re.match(r"\W*(\w*)", text[pronoun.end() :])
    follows = after.group(1).lower() if after else ""
    stands = not previous or previous in AUXILIARIES | PREPOSITIONS or is_verb(previous)
    match pronoun.lastgroup:
        case "other":
            return stands and (not follows or follows in AUXILIARIES or is_verb(follows))
        case "kind":
            return stands or not word.lower().startswith("that ")
        case "place" | "time":
            return True
    return not before.strip() or not _is_bound(before, pronoun)


def _is_bound(before: str, pronoun: re.Match[str]) -> bool:
    """Whether what comes before a pronoun in its own question is what it stands for."""
    low = pronoun.group().lower()
    owns = low in ("its", "his", "their", "her")
    plural = pronoun.lastgroup == "several"
    boundary = _CLAUSE.search(before[1:])
    asked = clause(before)
    person = low in ("his", "her")
    if (
        owns
        and asked.word in (("who",) if person else ("who", "which", "what"))
        and asked.predicate
    ):
        return asked.predicate.split()[0].lower() not in BE
    if asked.subject is not None and (boundary or owns):
        between = before[before.find(asked.subject.text) + len(asked.subject.text) :].split()
        if owns and all(word.lower() in PREPOSITIONS for word in between):
            return False
        if pronoun.lastgroup == "person":
            return asked.subject.is_person
        return asked.subject.is_plural == plural
    return boundary is not None and bool(names(before))
