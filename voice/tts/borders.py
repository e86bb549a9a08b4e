"""Where a text may be cut so that it still sounds right: after sentences, commas, or words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

Break = Literal["block", "sentence", "clause", "unknown"]

_TOKEN = re.compile(r"\S+")
_LIST_MARK = re.compile(r"(?:[-*+•▪◦·–]|\d{1,3}[.)]|#{1,6}|>+|\|)\Z")
_LINE_MARK = re.compile(r"(?:[-*+•▪◦·]\s|\d{1,3}[.)]\s|#{1,6}\s|>|\||```|~~~)")
_OWN_LINE = re.compile(r"[ \t]*(?:#{1,6}\s|\|)")
_CLOSING = re.compile(r"(?:[\"'”’»)\]*_`~]|\[\d{1,3}(?:,\s?\d{1,3})*\])+\Z")
_CITATION = re.compile(r"(?:\[\d{1,3}(?:[,–-]\s?\d{1,3})*\])+[.,;:!?]?\Z")
_MAY_BE_MARK = re.compile(r"[-*+•▪◦·]|\d{1,3}[.)]?|#{1,6}|`{1,2}|~{1,2}")
_PLAIN_MARKS = ".,;:"
_CLAUSE_MARKS = (",", ";", ":", "—", "–", "，", "；", "：", "、")

ABBREVIATIONS = frozenset(
    (
        "mr mrs ms mx dr prof sr jr st mt ft vs etc eg ie cf al fig figs eq eqs no nos vol pp p "
        "ed eds inc ltd co corp dept univ approx est ca gen col sgt capt lt rev hon pres gov sen "
        "rep jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri "
        "sat sun e.g i.e u.s u.k e.u a.m p.m b.c a.d ph.d m.d b.sc m.sc sec min max art para resp "
        "ave blvd rd ext tel incl misc temp avg dist ver viz"
    ).split()
)
_ENDS_A_SENTENCE_TOO = frozenset(
    "etc inc ltd co corp a.m p.m u.s u.k e.u b.c a.d ph.d jr sr".split()
)
"""Abbreviations that often stand last, and do when a word after them begins a sentence."""

_BEGINS_A_SENTENCE = frozenset(
    (
        "the it he she they this these those there we i you but and however in on at for if when "
        "while then next after before as a an its his her their our my that what who why how yes "
        "no so also both each some many most all"
    ).split()
)

_STARTERS = frozenset(
    (
        "and or but nor so yet because although though while when where which who whom whose that "
        "if unless until since as than is are was were has have had can could will would should "
        "may might must do does did in on at by for from with without into onto over under about "
        "between through during after before of to"
    ).split()
)
"""Words that a pause may stand before."""

_BETWEEN_NUMBERS = frozenset("to by of in and or".split())

_WEAK = frozenset(
    (
        "a an the of to in on at by for from with into and or but nor as if than that which who is "
        "are was were be been its his her their our your my this these those not no very more most "
        "i he she it we they you there has have had can could will would should may might must do "
        "does did about over under between during after before without because when where while"
    ).split()
)
"""Words that nobody pauses after."""


@dataclass(frozen=True)
class Token:
    """A run of characters without white space, by its place in the text."""

    text: str
    start: int
    end: int
    is_word: bool
    """Whether it counts as a word: marks of lists and lone punctuation do not."""


def tokens_of(text: str) -> list[Token]:
    """Return the tokens of ``text`` in order."""
    found = []
    for match in _TOKEN.finditer(text):
        token = match.group()
        at_line_start = not text[text.rfind("\n", 0, match.start()) + 1 : match.start()].strip()
        is_mark = at_line_start and _LIST_MARK.match(token) is not None
        is_word = not is_mark and any(char.isalnum() for char in token)
        is_word = is_word and _CITATION.fullmatch(token) is None
        found.append(Token(token, match.start(), match.end(), is_word))
    return found


def break_after(text: str, token: Token, following: Token, *, is_whole: bool) -> Break | None:
    """Return what kind of break stands between two tokens next to each other, if any.

    ``is_whole``: nothing can be added to ``following`` any more. Where it takes the whole of it
    to tell, the answer is "unknown" until then.
    """
    gap = text[token.end : following.start]
    if "\n" in gap:
        if _is_block(text, token, following, gap):
            return "block"
        if not is_whole and _MAY_BE_MARK.fullmatch(following.text):
            return "unknown"
    bare = _CLOSING.sub("", token.text) or token.text
    if bare[-1] in ".!?…":
        if not is_whole and not _is_enough(bare, following):
            return "unknown"
        if _ends_sentence(text, token, bare, following):
            return "sentence"
    if _is_open(text, token):
        return None
    if bare[-1] in _CLAUSE_MARKS or token.text[-1] in _CLAUSE_MARKS:
        if token.text[-1] not in _PLAIN_MARKS and not is_whole:
            return "unknown"
        # A dash between two numbers is a range; a list of numbers is kept in one breath.
        return None if _is_glued(token, following) else "clause"
    return None


def choose_border(
    text: str, seen: Sequence[Token], following: Token | None, *, fewest: int
) -> int | None:
    """Return the best place to cut between the words of ``seen``, counted from its start.

    ``following`` is the token after them, ``None`` when it is not known whole; without it there
    may be no answer yet. Never inside a number with its unit, a name with its title or brackets.
    """
    candidates: list[tuple[Token, Token]] = []
    words = 0
    chain = [*seen, *([following] if following is not None else [])]
    for token, after in pairwise(chain):
        words += token.is_word
        if words >= fewest and token.is_word:
            candidates.append((token, after))
    candidates.reverse()
    for token, after in candidates:
        is_pause = _plain(after.text) in _STARTERS and _plain(token.text) not in _WEAK
        if is_pause and not _is_glued(token, after) and not _is_open(text, token):
            return after.start
    if following is None:
        return None
    for token, after in candidates:
        may = _plain(token.text) not in _WEAK and not _is_glued(token, after)
        if may and not _is_open(text, token):
            return after.start
    for token, after in candidates:
        if not _is_glued(token, after) and not _is_open(text, token):
            return after.start
    for token, after in candidates:
        if not _is_glued(token, after):
            return after.start
    return following.start


def _is_block(text: str, token: Token, following: Token, gap: str) -> bool:
    if gap.count("\n") > 1 or _LINE_MARK.match(text, following.start):
        return True
    line = text[text.rfind("\n", 0, token.start) + 1 : token.end]
    return _OWN_LINE.match(line) is not None


def _is_enough(bare: str, following: Token) -> bool:
    """Whether the beginning of ``following`` tells if a sentence ends before it."""
    is_abbreviation = _plain(bare) in ABBREVIATIONS
    return not is_abbreviation and any(char.isalnum() for char in following.text)


def _ends_sentence(text: str, token: Token, bare: str, following: Token) -> bool:
    if _is_list_number(text, token):
        return False
    first = next((char for char in following.text if char.isalnum()), "")
    if bare[-1] in "!?":
        return not first.islower()
    word = bare.rstrip(".…").lstrip("\"'“‘«([*_`")
    key = word.lower()
    if first.islower():
        return False
    if bare.endswith(("…", "...")):
        return True
    if key in ABBREVIATIONS:
        return key in _ENDS_A_SENTENCE_TOO and _plain(following.text) in _BEGINS_A_SENTENCE
    # "J. R. R. Tolkien": an initial is no end, except for "I" and the letter that names a thing.
    return not (len(word) == 1 and word.isalpha() and word.isupper() and word != "I")


def _is_list_number(text: str, token: Token) -> bool:
    line_start = text.rfind("\n", 0, token.start) + 1
    return not text[line_start : token.start].strip() and bool(_LIST_MARK.match(token.text))


def _is_open(text: str, token: Token) -> bool:
    """Whether a bracket, a link or a quotation of code is open after ``token``."""
    before = text[: token.end]
    if before.count("`") % 2:
        return True
    return before.count("[") > before.count("]") or before.count("(") > before.count(")")


def _is_glued(token: Token, following: Token) -> bool:
    """Whether the two are said in one breath: "5 km", "Dr. Smith", "March 3", "3 to 5"."""
    if token.text[-1] in _PLAIN_MARKS and _plain(token.text) not in ABBREVIATIONS:
        return token.text[-1] == "," and token.text[-2:-1].isdigit() and following.text[0].isdigit()
    if _plain(token.text) in ABBREVIATIONS:
        return True
    if any(char.isdigit() for char in following.text):
        return True
    after = _plain(following.text)
    is_apart = after in _STARTERS and after not in _BETWEEN_NUMBERS
    return any(char.isdigit() for char in token.text) and not is_apart


def _plain(word: str) -> str:
    return word.strip("\"'“”‘’«»()[]*_`.,;:!?…").lower()
