"""What must be true of the evidence for a question, apart from what it talks about.

A passage can hold every topic word of a question and still not answer it: it speaks of another
year, of the first where the last was asked, of what was done where it was asked what was not. So
each number, date, name, negation, superlative and opposite of the question is looked for. As it is
written: "4" is also "four" and 1672 is in the 17th century, but no sum is worked out.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Final, Literal

from chains import lexical
from chains.citations import is_negated
from chains.clauses import AUXILIARIES, QUESTION_WORDS, TOKEN, is_capital, lowered, names
from chains.contradictions import NUMBER_WORDS, OPPOSITES
from chains.leaning import COMMANDS

Kind = Literal["number", "date", "name", "negation", "superlative", "opposite"]


@dataclass(frozen=True)
class Constraint:
    """Something that must stand in the evidence."""

    kind: Kind
    what: str
    """The number, name or word, as the question has it."""


NAME_SHARE: Final = 0.5
"""Share of a name's words that must be found: of "Duke Richard II" the "Richard"."""
ALIKE: Final = 0.8
"""Likeness of two words, from which on one is the other misspelt or inflected …"""
MISSPELT: Final = 0.75
"""… and the same where one stands in the other's place."""
NEAR_WORDS: Final = 8
AGAIN_WORDS: Final = 3
"""A question of fewer words behind its "what" says too little to be said again."""

_NUMBER = re.compile(r"(?<![\w.,])\d+(?:[.,]\d+)*(?!\w|['’]s)")
_YEAR = re.compile(r"(?<!\d)(?:1\d|20)\d\d(?!\d|['’]?s\b)")
_RELATIVE_YEAR = re.compile(
    r"\b(?:before|after|since|until|till|by|prior to|between|from|later than|earlier than) "
    r"(?:the |early |late )?(?:1\d|20)\d\d",
    re.IGNORECASE,
)
_PERIOD = re.compile(
    r"(?P<century>\d{1,2})(?:st|nd|rd|th) century|(?P<decade>\d{3}0)['’]?s", re.IGNORECASE
)
_CENTURY = re.compile(r"\b(\d{1,2})(?:st|nd|rd|th)\b")
_WORDS: Final = {
    str(number): words.split("/")
    for number, words in enumerate(
        "zero one/i two/ii three/iii four/iv five/v six/vi seven/vii eight/viii nine/ix ten/x "
        "eleven/xi twelve/xii".split()
    )
}
_MONTHS_AND_DAYS: Final = (
    "January February March April May June July August September October November December "
    "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
).split()
_WORD_OR_MARK = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[,;:.()!?]")
_WHICH = re.compile(r"\W*(?:what|which)\s+(?P<rest>[^?]+)", re.IGNORECASE)
_ARTICLE = re.compile(r"^(?:the|an?)\s+", re.IGNORECASE)
_GAP = re.compile(r"[^\w'’]+")
_ROMAN = re.compile(r"[IVX]+")
_JOINING: Final = frozenset("of the for de la le von van du".split())
_PARTING: Final = frozenset("and or in to at on a an by from with as is was are were".split())
_COMMON_IN_NAMES: Final = frozenset(
    "new old great north south east west northern southern eastern western upper lower saint st "
    "mount lake river city".split()
)
"""Beside these one name tells nothing of another: New York is not in the place of the New World."""
_ABBREVIATION = re.compile(r"[A-Z0-9]{2,5}s?")
_DATE = re.compile(rf"\b(?:{'|'.join(_MONTHS_AND_DAYS)})\b")
_NEGATIVE = re.compile(
    r"\b(?:fail|lack|refus|prevent|prohibit|forb[ia]d|ban(?:ned|s)?\b|except|exempt|unable|unlike"
    r"|instead|rather than|lose|lost|reject|oppos|exclud|avoid|stop|den[iy]|few|hardly|absen)",
    re.IGNORECASE,
)
_SUPERLATIVE = re.compile(r"\b(?:(?:most|least)(?! of\b| often\b)|only|[a-z]{3,}est)\b")
_NONE: Final = frozenset(
    "forest interest honest modest protest request contest suggest west arrest invest harvest "
    "conquest inquest guest quest priest digest manifest northwest southwest tempest".split()
)
_EXTREME = re.compile(
    r"\b(?:first|last|main\w*|chief\w*|primar\w*|top|peak|max\w*|min\w*|principal\w*|major\w*|more"
    r"|best|worst|record|largely|sole\w*|just|alone|single|unique\w*|exclusive\w*|except)\b"
)


_ASKS_NUMBER = re.compile(
    r"\bhow (?:many|much|long|old|far|large|big|tall|high|deep|wide|heavy|often|late|early)\b"
    r"|\bwhat (?:number|percentage|proportion|share|amount)\b",
    re.IGNORECASE,
)
_ASKS_TIME = re.compile(
    r"^\W*when\b|\b(?:what|which|whose) (?:year|date|day|month|decade|century|time)\b",
    re.IGNORECASE,
)
_QUANTITIES: Final = NUMBER_WORDS | frozenset(
    "dozen dozens hundreds thousands millions billion billions half third thirds quarter quarters "
    "several both pair none no zero single every all most majority always never free rarely "
    "seldom couple few many".split()
)
_TIMES: Final = NUMBER_WORDS | frozenset(
    "morning mornings afternoon evening evenings night nights today tomorrow yesterday spring "
    "summer autumn fall winter easter christmas weekend weekends weekday weekdays hour hours day "
    "days week weeks month months year years decade decades century centuries after before during "
    "until since once every always never soon ago dawn dusk mondays tuesdays wednesdays thursdays "
    "fridays saturdays sundays".split()
)


def is_of_asked_kind(question: str, text: str) -> bool:
    """Tell whether ``text`` holds a number or a time where an English question asks for one."""
    if re.search(r"\d", text):
        return True
    held = set(lexical.words(text))
    if _ASKS_NUMBER.search(question):
        return bool(held & _QUANTITIES)
    return _ASKS_TIME.search(question) is None or bool(held & _TIMES)


def asks_for_more(question: str) -> bool:
    """Tell whether an English question asks for something that it does not say itself.

    A yes or no, and which of two, may be answered in its own words.
    """
    words = lowered(list(TOKEN.finditer(question)))
    return bool(QUESTION_WORDS & set(words)) and words[0] not in AUXILIARIES and "or" not in words


def leaves_open(question: str, statement: str) -> bool:
    """Tell whether ``statement`` says the question again, and not which one.

    "The church in Virginia is looked after by Huguenots, with services now and then" tells nobody
    what church in Virginia is looked after by Huguenots. A name or a number behind it may.
    """
    asked = _WHICH.match(question)
    if asked is None:
        return False
    again = _GAP.sub(" ", asked.group("rest")).lower().split()
    said = _ARTICLE.sub("", _GAP.sub(" ", statement).strip()).split()
    if len(again) < AGAIN_WORDS or [word.lower() for word in said[: len(again)]] != again:
        return False
    return not any(is_capital(word) or word[0].isdigit() for word in said[len(again) :])


def unmet(
    question: str, passages: Sequence[str], told: str | None = None
) -> tuple[Constraint, ...]:
    """Return what the question demands and the evidence lacks.

    ``passages``, with their headings, best first; ``told``: the sentence of the first that fits
    best, or all of it. The best must hold everything; a name may stand
    in any of them, and counts only where all the question's names are in none: people often write
    where or of what ("in England") though the text takes it for granted.
    """
    if not passages:
        return ()
    demands = demanded(question)
    lacking = [
        one for one in demands if one.kind != "name" and not _CHECKS[one.kind](one, passages[0])
    ]
    everything = "\n".join(passages)
    named = [one for one in demands if one.kind == "name"]
    if not any(_has_name(one, everything) for one in named):
        lacking += named
    elif named and (word := exchanged_word(question, everything, told or passages[0])) is not None:
        lacking.append(Constraint("name", word))
    return tuple(lacking)


def exchanged_word(question: str, text: str, told: str) -> str | None:
    """Return the word of a name in ``question`` in whose place ``told`` has another one.

    "the House of Lords" where the House of Commons is told of, "the Finnish research network"
    where it is the French one, "World War I" where it is the second. ``told`` is the sentence that
    fits best, ``text`` all that was found: where the whole name stands there, the text speaks of
    both. A word that is near, or is like the one in its place ("Rhou", "Rou"), is none such.
    """
    asked, everything, said = (_in_order(part) for part in (question, text, told))
    run_together = "".join(_folded(text))
    for place, word in enumerate(asked):
        is_plain = is_capital(word) and not word.isupper() and lexical.content_stems(word)
        if place == 0 or not (is_plain or _ROMAN.fullmatch(word)):
            continue
        for side in (1, -1):
            beside = _kept_beside(asked, place, side)
            if not beside or any(
                f"{one}{other}".lower() in run_together
                for one, other in ((word, beside[0]), (beside[0], word))
            ):
                continue
            known = _places_beside(everything, beside, side)
            if any(_stands_in(word, [everything[there]]) for there in known):
                continue
            for there in _places_beside(said, beside, side):
                near = said[max(0, there - NEAR_WORDS) : there + NEAR_WORDS + 1]
                if _is_other(said[there], word, asked, text) and not _stands_in(word, near):
                    return word
    return None


def _in_order(text: str) -> list[str]:
    """Return the words of a text without those that join names; "" parts clauses."""
    found = []
    for match in _WORD_OR_MARK.finditer(text):
        word = re.sub(r"['’]s$", "", match.group())
        if not word[0].isalnum() or word.lower() in _PARTING:
            found.append("")
        elif word.lower() not in _JOINING:
            found.append(word)
            found += [""] if word != match.group() else []
    return found


def _kept_beside(words: Sequence[str], place: int, side: int) -> tuple[str, ...]:
    """Return what must stand beside a word: a capitalised one, or two that have none."""
    near = [words[at] if 0 <= (at := place + side * step) < len(words) else "" for step in (1, 2)]
    kept = near[:1] if is_capital(near[0]) else near
    tells = near[0].lower() not in _COMMON_IN_NAMES
    return tuple(kept) if tells and all(map(lexical.content_stems, kept)) else ()


def _places_beside(words: Sequence[str], beside: Sequence[str], side: int) -> Iterator[int]:
    """Yield the places in ``words`` beside which ``beside`` stands, on that side."""
    for place in range(len(words)):
        at = [place + side * step for step in range(1, len(beside) + 1)]
        if not 0 <= at[-1] < len(words) or not words[place]:
            continue
        if all(
            is_capital(words[there]) == is_capital(word) and _stands_in(word, [words[there]])
            for there, word in zip(at, beside, strict=True)
        ):
            yield place


def _is_other(told: str, word: str, asked: Sequence[str], text: str) -> bool:
    """Tell whether a name's word is another than ``word``, and none that was asked about.

    Not where it has its capital, as far as ``text`` shows, for beginning a sentence.
    """
    one, other = told.lower(), word.lower()
    if _ROMAN.fullmatch(word):
        return told != word and _ROMAN.fullmatch(told) is not None and told not in asked
    return (
        is_capital(told)
        and bool(lexical.content_stems(told))
        and not (one in other or other in one)
        and SequenceMatcher(None, one, other).ratio() < MISSPELT
        and not _stands_in(told, asked)
        and re.search(rf"[\w,;)\]'’–-] \W?{re.escape(told)}\b", text) is not None
    )


def _stands_in(word: str, words: Collection[str]) -> bool:
    """Tell whether ``word`` is among ``words``, inflected or misspelt."""
    held = [part for one in words if one for part in _folded(one)]
    return any(_is_same(part, other) for part in _folded(word) for other in held)


def is_of_another_year(question: str, sentence: str, above: str) -> bool:
    """Tell whether a sentence has years, and none of those that the question asks about.

    ``above``: its title and headings, which may hold the year. Not where the question asks for a
    time before, after or between years, nor where the sentence spans the year.
    """
    asked = [int(year) for year in _numbers(question) if _YEAR.fullmatch(year)]
    told = [int(year) for year in _YEAR.findall(sentence)]
    if not asked or not told or _RELATIVE_YEAR.search(question):
        return False
    if any(_has_number(Constraint("number", str(year)), f"{above} {sentence}") for year in asked):
        return False
    return not any(min(told) < year < max(told) for year in asked)


def demanded(question: str) -> tuple[Constraint, ...]:
    """Return what must stand in the evidence.

    Nothing for a yes or no ("Is the fee 500 euros?" is answered by any other fee), for a command,
    and for a question that is not English.
    """
    words = lowered(list(TOKEN.finditer(question)))
    if not QUESTION_WORDS & set(words) or words[0] in AUXILIARIES | COMMANDS:
        return ()
    found = [Constraint("number", number) for number in sorted(_numbers(question))]
    found += [Constraint("number", match.group().lower()) for match in _PERIOD.finditer(question)]
    found += [Constraint("date", match.group()) for match in _DATE.finditer(question)]
    found += [
        Constraint("name", name.text)
        for name in names(question)
        if not (_DATE.search(name.text) or _ABBREVIATION.fullmatch(name.text))
    ]
    if is_negated(question):
        found.append(Constraint("negation", "not"))
    found += [
        Constraint("superlative", word)
        for word in _SUPERLATIVE.findall(question)
        if word not in _NONE
    ]
    found += [
        Constraint("opposite", word)
        for word in lexical.content_words(question)
        if lexical.stem(word) in OPPOSITES
    ]
    return tuple(found)


def _numbers(text: str) -> frozenset[str]:
    """Return the numbers in digits, without separators; "17th" and "1600s" are none."""
    return frozenset(re.sub(r"[.,]", "", number) for number in _NUMBER.findall(text))


def _has_number(one: Constraint, text: str) -> bool:
    if one.what in _numbers(text):
        return True
    if set(_WORDS.get(one.what, ())) & set(lexical.words(text)):
        return True
    period = _PERIOD.fullmatch(one.what)
    if period is not None and re.sub(r"['’]", "", one.what) in re.sub(r"['’]", "", text.lower()):
        return True
    if period is None:
        short = one.what[2:] if len(one.what) == 4 else "-"
        return re.search(rf"\d[-–/]{short}\b", text) is not None  # 1763 of "1756-63"
    years = [int(number) for number in _numbers(text) if len(number) == 4 and number < "2100"]
    if period.group("century"):
        century = int(period.group("century"))
        return any(year // 100 + 1 == century for year in years) or f"{century - 1}00s" in text
    first = int(period.group("decade"))
    if first % 100:
        return any(year // 10 == first // 10 for year in years)
    centuries = {int(number) for number in _CENTURY.findall(text)}
    return any(year // 100 == first // 100 for year in years) or first // 100 + 1 in centuries


def _has_date(one: Constraint, text: str) -> bool:
    return re.search(rf"\b{one.what[:3]}(?:{one.what[3:]})?\b", text) is not None


def _has_name(one: Constraint, text: str) -> bool:
    wanted = [word for word in _folded(one.what) if lexical.content_stems(word)]
    held = _words_of(text)
    found = sum(any(_is_same(word, other) for other in held) for word in wanted)
    return found >= NAME_SHARE * len(wanted)


def _is_negative(_one: Constraint, text: str) -> bool:
    return is_negated(text) or _NEGATIVE.search(text) is not None


def _has_superlative(_one: Constraint, text: str) -> bool:
    return _SUPERLATIVE.search(text) is not None or _EXTREME.search(text.lower()) is not None


def _has_side(one: Constraint, text: str) -> bool:
    """Tell whether this side of a pair of opposites is spoken of, or not even the other."""
    pair, side = OPPOSITES[lexical.stem(one.what)]
    stems = {lexical.stem(word) for word in lexical.words(text)}
    sides = {OPPOSITES[stem] for stem in stems if stem in OPPOSITES}
    return (pair, side) in sides or not any(other == pair for other, _ in sides)


_CHECKS: Final[dict[Kind, Callable[[Constraint, str], bool]]] = {
    "number": _has_number,
    "date": _has_date,
    "negation": _is_negative,
    "superlative": _has_superlative,
    "opposite": _has_side,
}


def _folded(text: str) -> list[str]:
    """Return the words in small letters, without accents and possessives."""
    plain = unicodedata.normalize("NFKD", re.sub(r"['’]s\b", "", text))
    return lexical.words("".join(c for c in plain if not unicodedata.combining(c)))


@lru_cache(maxsize=64)
def _words_of(text: str) -> frozenset[str]:
    return frozenset(_folded(text))


def _is_same(word: str, other: str) -> bool:
    """Tell whether two words are one, inflected ("French", "Normans") or misspelt."""
    if word == other or lexical.stem(word) == lexical.stem(other):
        return True
    if word[:1] != other[:1] or min(len(word), len(other)) < 4:
        return False
    if abs(len(word) - len(other)) > 3:
        return False
    if word[:4] == other[:4]:
        return True
    return SequenceMatcher(None, word, other).ratio() >= ALIKE
