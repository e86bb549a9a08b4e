"""Whether a sentence says yes or no to a yes/no question, decided in code where that is safe.

The part of the sentence that speaks of what is asked is compared with the question: all that the
question names must stand there, and its negations, opposites, numbers, days and exceptions tell
the side. A wrong yes is worse than none, so what is not told stays open.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from chains import lexical
from chains.citations import is_negated
from chains.clauses import AUXILIARIES, is_verb, names
from chains.days import days_named
from chains.opposites import IGNORED, refusing, sides
from chains.predicates import predicate_of, roles_exchanged
from chains.quantities import Quantity, quantities
from ingest.language import ENGLISH

NO_SHARE: Final = 0.75
"""Share of what is asked that a sentence must speak of to say no to it; a yes needs all of it."""
LEAN_SHARE: Final = 0.75
"""The same for a yes that the model says too; a no that it says too needs one word."""
MARK_WORDS: Final = 3
"""A part of fewer words, that names no day, belongs to the one beside it."""


@dataclass(frozen=True)
class Leaning:
    """To which side a sentence leans, and whether that is safe without the model."""

    yes: bool
    is_sure: bool


_BOX = re.compile(r"^\W{0,3}(?:\[(?P<mark>[ xX✓✔]?)\]|(?P<empty>[☐□◻])|(?P<full>[☑☒✓✔✅]))\s*")
_NOT_NEGATING = re.compile(
    r"\bnot (?:only|just|merely)\b|\b(?:no|not) (?:later|more|less|fewer|earlier|sooner) than\b"
    r"|\bno\.\s?\d|\bno matter\b|\bnicht nur\b|\bnon seulement\b|\bno s[oó]lo\b|\bnon solo\b"
    r"|\bnão só\b|\bniet alleen\b",
    re.IGNORECASE,
)
_WITHOUT = re.compile(r"\b(?:without|ohne|sans|sin|senza|sem|zonder)\b", re.IGNORECASE)
_EXCEPT = re.compile(
    r"[,(]?\s*\b(?:except(?:ing)?(?: for| on| in)?|but not|apart from|other than|with the exception"
    r" of|außer|ausgenommen|bis auf|sauf|excepto|salvo|menos|eccetto|tranne|exceto|behalve)\b",
    re.IGNORECASE,
)
_ONLY = re.compile(
    r"\b(?:only|exclusively|solely|nur|ausschließlich|lediglich|seulement|uniquement|sólo|solo"
    r"|solamente|soltanto|solamente|só|somente|apenas|alleen|slechts)\b",
    re.IGNORECASE,
)
_PART = re.compile(
    r"\s*[,;:](?=\s)\s*|\s+[—–-]\s+|\s*\(|\s+(?=(?:and|but|while|whereas|although|though|however|und|aber|sondern|doch"
    r"|während|et|mais|tandis|pero|sino|y|e|ma|mentre|mas|enquanto|en|maar|terwijl)\s)",
    re.IGNORECASE,
)
_OPEN = re.compile(
    r"\b(?:may|might|could|should|would|will|shall|plans?|planned|proposed|expected|perhaps|maybe"
    r"|probably|vielleicht|soll|sollen|könnte|peut-être|quizás|forse|talvez|misschien|some|most"
    r"|partly|sometimes|often|usually|manche|einige|certains|algunos|alcuni|alguns|sommige)\b",
    re.IGNORECASE,
)
_MUST = re.compile(
    r"\b(?:must|have to|has to|need(?:s|ed)?|required|mandatory|compulsory|obligatory|necessary)\b",
    re.IGNORECASE,
)
_MAY = re.compile(
    r"^\W*(?:may|can|could|am i allowed|are we allowed|is it (?:allowed|possible)|darf|dürfen|kann"
    r"|können|peut-on|puis-je|est-ce qu[’']on peut|se puede|puedo|si può|posso|pode-se|mag|kan)\b",
    re.IGNORECASE,
)
_ALL = re.compile(r"\b(?:all|every|each|always|only|both|everyone|everybody)\b", re.IGNORECASE)
_AGENT = re.compile(
    r"\b(?:by|von|durch|par|por|da|dal|dalla|door)\s+"
    r"((?:[^\W\d_a-z][\w’'-]*\s*)+|(?:the|an?)\s+\w+)"
)
_EVENT = re.compile(
    r"\b(?:was|were|did|take place|takes place|held|begins?|starts?|ends?|due|scheduled)\b", re.I
)
_COMPARING: Final = frozenset(
    lexical.stem(word)
    for word in (
        "more less fewer before after above below over under longer shorter older younger higher "
        "lower larger smaller least most until since"
    ).split()
)
_COMPARED = re.compile(r"\b([a-z]+er) than\b")
_NEGATIVE_PREFIXES: Final = ("un", "in", "im", "ir", "il", "dis", "non")


def leaning(question: str, sentence: str, heading: str, language: str) -> Leaning | None:
    """Return what ``sentence``, under ``heading``, says to a yes/no question; ``None``: nothing."""
    asked = _asked(question, language)
    sentence = re.sub(r"\b(non|un|in)-(?=\w)", r"\1", sentence)  # "non-refundable"
    said = _Said.of(sentence, language)
    part, flipped = said.part_for(asked)
    other = _other_agent(asked, sentence)
    share, is_whole = asked.share(sentence, heading, without=other)
    slots = [_of_days(asked, part, sentence), _of_amounts(asked, part, sentence)]
    if None in slots:
        return None
    side = asked.side(part, sentence)
    if side is None or asked.negated:
        return None
    if not asked.opposites and _stems(part, language) & refusing(language) - asked.stems:
        # "Can I swim on Monday?", "The lake is closed on Monday."
        is_sure = is_whole and _MAY.match(question) is not None
        return Leaning(False, is_sure=is_sure) if share else None
    yes = not (side ^ part_negated(part, asked) ^ flipped)
    if other:
        return Leaning(False, is_sure=share >= NO_SHARE)
    if False in slots:
        return Leaning(False, is_sure=share >= NO_SHARE and yes) if yes else None
    if not yes:
        is_sure = share >= NO_SHARE and not _is_of_a_time(asked, part)
        return Leaning(False, is_sure=is_sure) if share else None
    if _ONLY.search(part) and not is_whole:
        return None
    sure = is_whole and not asked.is_bare and not asked.is_open_in(sentence)
    return Leaning(True, is_sure=sure) if share >= LEAN_SHARE else None


@dataclass(frozen=True)
class _Asked:
    """A yes/no question, taken apart."""

    text: str
    language: str
    stems: frozenset[str]
    """What must stand in the evidence, without its days, numbers and opposites."""
    opposites: tuple[tuple[str, tuple[int, int]], ...]
    days: frozenset[int]
    amounts: tuple[Quantity, ...]
    negated: bool

    @classmethod
    def of(cls, question: str, language: str) -> _Asked:
        text = re.sub(r"^\W*(\w+)n['’]t\b", r"\1", question)  # "Isn't it open?" asks "is it open?"
        text = re.sub(r"^is it possible (?:for \w+ )?to\b", "can you", text, flags=re.IGNORECASE)
        days = days_named(text, language)
        amounts = tuple(quantities(text, language))
        counted = {lexical.stem(w, language) for a in amounts for w in lexical.words(a.text)}
        counted |= {lexical.stem(word, language) for word in days.words}
        ignored = {lexical.stem(w, language) for w in IGNORED.get(language, "").split()}
        if language == ENGLISH:
            ignored |= {lexical.stem(word) for word in AUXILIARIES - lexical.codes(question)}
        table = sides(language)
        stems = lexical.asked_stems(text, language)
        if any(amount.bound for amount in amounts):
            counted |= _COMPARING
        for word in _COMPARED.findall(text):
            stems = stems - {lexical.stem(word)} | {lexical.stem(word.removesuffix("er"))}
        sided = tuple((stem, table[stem]) for stem in sorted(stems - counted) if stem in table)
        bare = _WITHOUT.sub(" ", _NOT_NEGATING.sub(" ", text))
        return cls(
            text,
            language,
            stems - counted - ignored - {stem for stem, _ in sided},
            sided,
            days.numbers,
            amounts,
            is_negated(bare, language),
        )

    @property
    def named(self) -> frozenset[str]:
        """The stems of its names."""
        return frozenset().union(*(lexical.content_stems(one.text) for one in names(self.text)))

    @property
    def is_bare(self) -> bool:
        """Whether nothing is left of it but names: what was said of them is not told."""
        return not (self.stems - self.named or self.opposites or self.days)

    def share(self, sentence: str, heading: str, *, without: frozenset[str]) -> tuple[float, bool]:
        """Return which share of the stems is spoken of, and whether nothing is missing."""
        held = lexical.held_stems(sentence, self.language)
        around = held | lexical.held_stems(heading, self.language)
        if not self.stems:
            return 1.0, True
        missing = self.stems - around - without
        missing -= {stem for stem in missing if _opposed(stem, held)}
        if missing & self.named or not (self.stems & held or self.days or self.amounts):
            return 0.0, False
        share = 1 - len(missing) / len(self.stems)
        return share, not missing

    def side(self, part: str, sentence: str) -> bool | None:
        """Return whether the part is on the other side of the question's opposites.

        ``None`` where it is on neither.
        """
        table = sides(self.language)
        other = False
        held = {stem: table[stem] for stem in _stems(part, self.language) if stem in table}
        whole = {stem: table[stem] for stem in _stems(sentence, self.language) if stem in table}
        for stem, (pair, side) in self.opposites:
            found = {s for p, s in held.values() if p == pair}
            found = found or {s for p, s in whole.values() if p == pair}
            if not found and _opposed(stem, _stems(part, self.language)):  # "unpaid"
                other = not other
                continue
            if len(found) > 1 or (not found and stem not in _stems(sentence, self.language)):
                return None
            other ^= bool(found) and side not in found
        if _MAY.match(self.text) and self.language == ENGLISH and not self.opposites:
            pair, side = table[lexical.stem("allowed")]
            other ^= (pair, 1 - side) in held.values()
        stems = _stems(part, self.language)
        return other ^ any(_opposed(stem, stems) for stem in self.stems - stems)

    def is_open_in(self, sentence: str) -> bool:
        """Tell whether the sentence leaves open what is asked, or says it of another degree."""
        hedges = {word.lower() for word in _OPEN.findall(sentence)}
        hedges -= {word.lower() for word in _OPEN.findall(self.text)}
        if _MAY.match(self.text):
            hedges -= {"may", "could"}
        musts = _MUST.search(self.text) is not None, _MUST.search(sentence) is not None
        every = set(map(str.lower, _ALL.findall(self.text)))
        return (
            bool(hedges)
            or (musts[0] and not musts[1])
            or (musts[1] and not musts[0] and _MAY.match(self.text) is not None)
            or not every <= set(map(str.lower, _ALL.findall(sentence)))
            or (_WITHOUT.search(self.text) is None) != (_WITHOUT.search(sentence) is None)
            or self.exchanges_roles(sentence)
        )

    def exchanges_roles(self, sentence: str) -> bool:
        """Tell whether the sentence says it of another who does it to another."""
        if self.language != ENGLISH:
            return False
        predicate = predicate_of(self.text)
        return predicate is not None and roles_exchanged(predicate, sentence)


@lru_cache(maxsize=64)
def _asked(question: str, language: str) -> _Asked:
    return _Asked.of(question, language)


@dataclass(frozen=True)
class _Said:
    """A sentence in the parts that state something each."""

    parts: tuple[str, ...]
    exception: str
    language: str

    @classmethod
    def of(cls, sentence: str, language: str) -> _Said:
        head, tail = sentence, ""
        found = _EXCEPT.search(sentence)
        if found and found.start() > 0:
            head, tail = sentence[: found.start()], sentence[found.end() :]
        parts: list[str] = []
        for piece in _PART.split(head):
            if parts and not all(_states(one, language) for one in (piece, parts[-1])):
                parts[-1] = f"{parts[-1]}, {piece}"
            else:
                parts.append(piece)
        return cls(tuple(parts), tail, language)

    def part_for(self, asked: _Asked) -> tuple[str, bool]:
        """Return the last part that speaks of what only it has, and whether the opposite applies.

        It does to an exception.
        """
        tail = self._anchors(self.exception, asked)
        head = self._anchors(" ".join(self.parts), asked)
        if tail - head or (
            asked.days and asked.days <= days_named(self.exception, self.language).numbers
        ):
            return f"{self.parts[0]} {self.exception}", True
        anchors = [self._anchors(part, asked) for part in self.parts]
        chosen = self.parts[0]
        for number, (part, own) in enumerate(zip(self.parts, anchors, strict=True)):
            others = frozenset().union(*anchors[:number], *anchors[number + 1 :])
            if own - others or (number == 0 and own):
                chosen = part
        return chosen, False

    def _anchors(self, part: str, asked: _Asked) -> frozenset[str]:
        days = {f"day {n}" for n in asked.days & days_named(part, self.language).numbers}
        return (asked.stems & _stems(part, self.language)) | days


def part_negated(part: str, asked: _Asked) -> bool:
    """Tell whether a part denies what it speaks of."""
    box = _BOX.match(part)
    if box is not None:
        return bool(box["empty"]) or box["mark"] in ("", " ")
    bare = _NOT_NEGATING.sub(" ", part)
    return is_negated(_WITHOUT.sub(" ", bare), asked.language)


def _stems(text: str, language: str) -> frozenset[str]:
    return lexical.held_stems(text, language)


def _states(part: str, language: str) -> bool:
    """Tell whether a part says something by itself: it has a verb, a number, a no, a side."""
    low = set(lexical.words(part))
    if len(low) < MARK_WORDS and not days_named(part, language).numbers:  # "(not ticked)"
        return False
    if is_negated(part, language) or re.search(r"\d", part):
        return True
    if language == ENGLISH and (low & AUXILIARIES or any(is_verb(word) for word in low)):
        return True
    return bool(_stems(part, language) & sides(language).keys())


def _opposed(stem: str, held: frozenset[str]) -> bool:
    """Tell whether the opposite of a word is there by its prefix: "unheated" of "heated"."""
    return any(prefix + stem in held for prefix in _NEGATIVE_PREFIXES) or any(
        stem == prefix + other and len(other) > 3
        for prefix in _NEGATIVE_PREFIXES
        if stem.startswith(prefix)
        for other in held
    )


def _of_days(asked: _Asked, part: str, sentence: str) -> bool | None:
    """Return whether the days asked for are those that are told; ``None``: not told."""
    if not asked.days:
        return True
    told = days_named(part, asked.language)
    if not told.numbers:
        told = days_named(sentence, asked.language)
    kinds = {number // 10 for number in asked.days}
    numbers = {number for number in told.numbers if number // 10 in kinds}
    if asked.days <= told.numbers:
        return True
    if not numbers or asked.days & numbers:
        return None
    closes = told.is_range or _ONLY.search(part) or _EVENT.search(f"{asked.text} {part}")
    return False if closes else None


def _of_amounts(asked: _Asked, part: str, sentence: str) -> bool | None:
    """Return whether the amounts asked for agree with those told; ``None``: not told."""
    outcome = True
    for amount in asked.amounts:
        found = _agrees(amount, quantities(part, asked.language))
        if found is False and _is_within_reach(asked, amount, part):
            return None
        if found is False:  # "open from 9 to 12 and 14 to 18"
            unasked = lexical.content_stems(sentence, asked.language) - asked.stems
            if not unasked & _subjects(sentence, part, asked.language):
                found = _agrees(amount, quantities(sentence, asked.language))
        if found is None:
            found = _agrees(amount, quantities(sentence, asked.language))
            found = found or None
        if found is None:
            return None
        outcome &= found
    return outcome


def _is_within_reach(asked: _Asked, amount: Quantity, part: str) -> bool:
    """Tell whether less than what is told is asked for: two may sleep where six may."""
    told = [one.value for one in quantities(part, asked.language) if one.kind == amount.kind]
    return _MAY.match(asked.text) is not None and bool(told) and amount.value < min(told)


def _subjects(sentence: str, part: str, language: str) -> frozenset[str]:
    """Return the stems of the rest of the sentence, without its numbers."""
    rest = re.sub(r"[\d.,:]+", " ", sentence.replace(part, " "))
    return lexical.content_stems(rest, language)


def _agrees(asked: Quantity, told: Sequence[Quantity]) -> bool | None:
    alike = [one for one in told if one.kind == asked.kind or "" in (one.kind, asked.kind)]
    if asked.kind == "" or not alike:
        alike = alike or ([] if asked.kind else list(told))
    if not alike:
        return None
    if asked.bound in ("over", "under", "from", "to"):
        values = {one.value for one in alike}
        same = [one for one in alike if one.bound == asked.bound]
        if len(same) == 1 and asked.bound in ("from", "to"):  # "open until 8" beside "until 6"
            if same[0].value == asked.value:
                return True
            beyond = (asked.value > same[0].value) == (asked.bound == "to")
            return False if beyond else None
        if len(values) != 1:
            return None
        if not alike[0].bound:
            return _within(values.pop(), asked)
        upward = asked.bound in ("over", "from")
        apart = values.pop() - asked.value
        faces = alike[0].bound in (("to", "under") if upward else ("from", "over"))
        return False if faces and (apart <= 0 if upward else apart >= 0) else None
    if not any(one.bound for one in alike):
        values = {one.value for one in alike}
        return True if asked.value in values else (False if len(values) == 1 else None)
    within, lower = False, True
    for one in alike:
        if one.bound == "from":
            lower = _within(asked.value, one)
            within |= lower and one is alike[-1]
        else:
            within |= lower and _within(asked.value, one)
            lower = True
    return within


def _within(value: float, bound: Quantity) -> bool:
    match bound.bound:
        case "over":
            return value > bound.value
        case "under":
            return value < bound.value
        case "from":
            return value >= bound.value
        case "to":
            return value <= bound.value
    return value == bound.value


def _is_of_a_time(asked: _Asked, part: str) -> bool:
    """Tell whether a part is of a day or hour that was not asked for: "no music after 10 pm"."""
    if asked.days or asked.amounts:
        return False
    timed = any(one.kind in ("clock", "year") for one in quantities(part, asked.language))
    return timed or bool(days_named(part, asked.language).numbers)


def _other_agent(asked: _Asked, sentence: str) -> frozenset[str]:
    """Return the stems of who is asked to have done it, where the sentence names another."""
    one, other = _AGENT.search(asked.text), _AGENT.search(sentence)
    if one is None or other is None:
        return frozenset()
    stems = lexical.content_stems(one[1], asked.language)
    return frozenset() if stems & lexical.content_stems(other[1], asked.language) else stems
