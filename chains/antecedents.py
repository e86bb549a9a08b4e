"""What a pronoun of a question may stand for in the turns before it, the likeliest first.

Salience by syntax, after Lappin and Leass (1994) and centering (Grosz, Joshi and Weinstein 1995):
what was asked about comes before what was mentioned, a subject before an object, and the answer
before the question where the question asked for a somebody or a something. Number, and the gender
that titles and words of kinship tell, rule out.
"""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Final

from chains import lexical
from chains.clauses import (
    DETERMINERS,
    MAX_WORDS,
    PREPOSITIONS,
    TOKEN,
    Clause,
    Phrase,
    clause,
    is_closed,
    is_verb,
    items,
    names,
)

MALE: Final = frozenset(
    "king duke prince emperor lord count baron sir mr brother son father husband uncle nephew "
    "grandfather grandson boy man pope monk abbot bishop khan".split()
)
FEMALE: Final = frozenset(
    "queen duchess princess empress lady countess baroness mrs ms miss sister daughter mother wife "
    "aunt niece grandmother granddaughter girl woman nun abbess fiancee fiancée".split()
)
_PLACED: Final = frozenset("in at on to near into through towards under outside".split())
_COUNTED: Final = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
_DATE: Final = re.compile(
    r"\b(?:(?:\d{1,2} )?(?:January|February|March|April|May|June|July|August|September|October"
    r"|November|December)(?: \d{1,2},?)?(?: \d{4})?|\d{4}s?|\d{1,2}(?:st|nd|rd|th) century)\b"
)
_OF: Final = re.compile(r"\s(?:of|in|to|for|on|at|from|that)\s")


@dataclass(frozen=True)
class Said:
    """An earlier turn."""

    question: str
    """As it stands alone."""
    answer: str


class Antecedents:
    """What one turn offers to be pointed at."""

    def __init__(self, said: Said) -> None:
        """Take the turn apart."""
        self.said = said
        aside = re.search(r"\((.+)\)\?$", said.question)
        self.asked: Clause = clause(aside.group(1) if aside else said.question)
        self._known = lexical.content_stems(said.question)

    def things(self, *, answered: bool = False) -> list[str]:
        """Return what "it" may be; ``answered``: "that", which rather means the answer."""
        asked, found = self.asked, []
        plain = _texts(asked.phrases)
        if asked.word in ("who", "whom", "whose"):
            if asked.subject is not None and not asked.predicate:
                found += _OF.split(asked.subject.text, maxsplit=1)[1:]
            return _short([*found, *_texts(asked.others), *plain])
        if asked.predicate and asked.noun and not _ends_plural(asked.noun) and asked.word != "how":
            return _short([*self._answering(), *plain])
        support = re.search(r"\b(do|does|did)\b", asked.text)
        if support and asked.subject is not None and not asked.is_adverbial:
            if asked.noun:
                found += self._answering()
            elif answered or support.group() == "did":
                found.append(self._done("what"))
        return _short([*found, *plain])

    def persons(self, *, female: bool) -> list[str]:
        """Return who "she" or "he" may be."""
        asked = self.asked
        wrong = MALE if female else FEMALE
        subject = set(asked.subject.words) if asked.subject and not asked.predicate else set()
        asks_for_one = asked.word in ("who", "whom", "whose") or "name of" in asked.text
        asks_for_one |= bool(asked.noun and asked.predicate) and asked.word != "how"
        named = self.names()
        within = sorted(asked.phrases, key=lambda phrase: not phrase.is_person)
        spoken_of = [owner(name.text) for phrase in within for name in names(phrase.text)]
        if asks_for_one and not wrong & subject:
            found = [*self._introduced(named), *spoken_of]
        else:
            found = [*spoken_of, *named]
        return [name for name in _short(found) if not wrong & set(lexical.words(name))]

    def several(self) -> list[str]:
        """Return who or what "they" may be."""
        asked, found = self.asked, []
        if asked.subject is not None and (asked.subject.is_plural or asked.subject.is_person):
            found.append(asked.subject.text)
        found += [phrase.text for phrase in asked.phrases if phrase.is_plural]
        if _ends_plural(asked.noun) and asked.predicate:
            found.append(f"the {bare(asked.noun)} that {asked.predicate}")
        parts = [_OF.split(phrase.text, maxsplit=1) for phrase in asked.phrases]
        tails = [part[1] for part in parts if len(part) > 1]
        found += [tail for tail in tails if Phrase(tail, 0, len(tail)).is_plural]
        if asked.predicate and asked.word in ("who", "which", "what"):
            found += self.names()[:1]
        return _short([*found, *tails, *_texts(asked.phrases)])

    def places(self) -> list[str]:
        """Return where "there" may be."""
        asked, found = self.asked, []
        if asked.word == "where" or (asked.noun and (asked.is_adverbial or asked.predicate)):
            found += self.names(placed=True)[:1]
        found += [
            phrase.text
            for phrase in reversed(asked.others)
            if _word_before(asked.text, phrase.start) in _PLACED and phrase.is_name
        ]
        return _short([*found, *_texts(asked.phrases)])

    def times(self) -> list[str]:
        """Return when "then" and "that year" are: a date of the answer, else of the question."""
        found = (_DATE.search(text) for text in (self.said.answer, self.said.question))
        return [match.group() for match in found if match]

    def of_kind(self, noun: str) -> list[str]:
        """Return the phrases whose head is ``noun``: what "the church" or "that aid" is."""
        stem = lexical.stem(noun.lower())
        found = [
            phrase.text
            for phrase in self.asked.phrases
            if lexical.stem(head(phrase.text)) == stem and len(phrase.words) > 2
        ]
        if self.asked.noun and lexical.stem(head(self.asked.noun)) == stem:
            found += self._answering() if self.asked.predicate else []
        for match in re.finditer(
            rf"([\w’'-]+)\s+{re.escape(noun)}\b(?:\s+(?:to|of|for|by)\s+[\w-]+)?", self.said.answer
        ):
            if not is_closed(match.group(1)):
                found.append(match.group())
        return _short(found)

    def item(self, number: int, *, of_two: bool = False) -> str | None:
        """Return the ``number``-th of what the answer enumerates; counted from the end below 0.

        ``of_two``: "the former" is one of the last two.
        """
        if self.asked.is_adverbial and not self.asked.noun:
            return None
        subject = asked_of.text if (asked_of := self.asked.subject) else ""
        counted = [_COUNTED[word] for word in lexical.words(self.asked.text) if word in _COUNTED]
        if not (counted or _ends_plural(self.asked.noun) or _ends_plural(subject)):
            return None
        count = 2 if of_two else counted[0] if counted else None
        listed = items(self.said.answer, count)
        place = number - 1 if number > 0 else number
        if not -len(listed) <= place < len(listed):
            return None
        return _trimmed(listed[place])

    def owners(self) -> list[str]:
        """Return X where X's something was asked about: whose "his son" goes on about."""
        found = []
        for phrase in self.asked.phrases:
            owned = re.match(r"(.+?)['’]s?\s", phrase.text) or re.search(r"\sof (.+)$", phrase.text)
            if owned and names(owned.group(1)):
                found.append(owned.group(1))
        return found

    def names(self, *, placed: bool = False) -> list[str]:
        """Return the names that only the answer has, the likeliest first.

        That is the one nearest to the words of the question: they say the same of it.
        """
        text = self.said.answer
        words = [match for match in TOKEN.finditer(text) if match.group()[0].isalnum()]
        shared = [
            match.start() for match in words if lexical.content_stems(match.group()) & self._known
        ]
        scored = []
        for name in names(text):
            stems = lexical.content_stems(name.text)
            if not stems - self._known or name.text.isdigit():
                continue
            score = 0.01 + sum(1 / (1 + _words_between(words, at, name)) for at in shared)
            before = _word_before(text, name.start)
            after = re.match(r"\s+([^\W\d_]+)", text[name.end :])
            modifies = after is not None and not is_closed(after.group(1).lower())
            if modifies and after and not is_verb(after.group(1)):
                score *= 0.3
            if stems & self._known:
                score *= 0.3
            if placed:
                before = _word_before(text, name.start, skipped=DETERMINERS)
                score *= 1 if before in _PLACED else 0.5 if before == "of" else 0.1
            elif self.asked.word in ("who", "whom", "whose"):
                score *= 2 if before == "by" else 0.3 if before in _PLACED | {"the"} else 1
                score *= 1.5 if " " in name.text else 1
                score *= 2 if before in ("", ".") and self.asked.predicate else 1
            scored.append((score, name))
        scored.sort(key=lambda one: (-one[0], one[1].start))
        return [name.text for _, name in scored]

    def _answering(self) -> list[str]:
        """Return what answers "which treaty …": its name if there is one, and what was asked."""
        asked = self.asked
        which = f"the {bare(asked.noun)} that"
        described = f"{which} {asked.predicate}" if asked.predicate else self._done(which)
        named = self.names()
        spoken = list(TOKEN.finditer(self.said.answer))
        for number, match in enumerate(spoken):
            near = " ".join(token.group() for token in spoken[max(0, number - 4) : number + 5])
            if match.group() == head(asked.noun) and named and named[0] not in near:
                return [described]  # the answer tells something of it, and not its name
        return [*self._introduced(named, described)[:1], described]

    def _done(self, what: str) -> str:
        """Return "what X did develop" of "what did X develop"."""
        asked = self.asked
        support = re.search(r"\b(?:do|does|did)\b", asked.text)
        if support is None or asked.subject is None:
            return what
        rest = asked.text[asked.subject.end :].strip()
        return f"{what} {asked.subject.text} {support.group()} {rest}"

    def _introduced(self, named: list[str], described: str = "") -> list[str]:
        """Return the names; where it is not sure which answers, with what was asked beside it."""
        asked = self.asked
        if not described:
            described = asked.subject.text if asked.subject and not asked.predicate else ""
            if asked.predicate and not asked.noun:
                described = f"who {asked.predicate}"
        if len(named) < 2 or not described or "'s " in described:
            return named
        return _short([f"{named[0]}, {described},"]) + named


def head(phrase: str) -> str:
    """Return a noun phrase's main noun, in lower case."""
    words = lexical.words(_OF.split(phrase)[0])
    return words[-1] if words else ""


def bare(noun: str) -> str:
    """Return a noun phrase without its determiner."""
    return re.sub(r"^(?:the|a|an|other)\s+", "", noun, flags=re.IGNORECASE)


def owner(name: str) -> str:
    """Return X of "X's something"."""
    return re.split(r"['’]s?(?:\s|$)", name)[0]


def _ends_plural(noun: str) -> bool:
    return bool(noun) and Phrase(noun, 0, len(noun)).is_plural


def _words_between(words: Sequence[re.Match[str]], at: int, name: Phrase) -> int:
    low, high = sorted((at, name.start))
    return sum(low < word.start() < high for word in words)


def _word_before(text: str, offset: int, skipped: Container[str] = ()) -> str:
    words = re.findall(r"\w+|[.,;:(\"“]", text[max(0, offset - 40) : offset].lower())
    while words and words[-1] in skipped:
        words.pop()
    return words[-1] if words else ""


def _texts(phrases: Sequence[Phrase]) -> list[str]:
    return [phrase.text for phrase in phrases]


def _short(texts: Sequence[str]) -> list[str]:
    return [text for text in texts if 0 < len(text.split()) <= MAX_WORDS]


def _trimmed(item: str) -> str:
    """Return an item without the sentence that came before it or goes on after it."""
    capital = names(item)
    if capital:
        return capital[-1].text
    words = item.split()
    if len(words) <= 5:
        return item
    cut = next((i for i, word in enumerate(words) if word.lower() in PREPOSITIONS), len(words))
    return " ".join(words[:cut][-4:])
