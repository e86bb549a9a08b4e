"""What a question wants: a fact, or a whole document, all its items, two things, the collection.

Pure, and deliberately shallow: it tells the kind of request and what is left of the question when
the request's own words are taken out. Whether that names anything, the store knows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["summary", "outline", "items", "comparison", "collection"]

MAX_WORDS = 60
"""A longer request holds the text that it speaks of, and asks for no document."""

_NUMBERS = {"a": 1, "one": 1, "single": 1, "two": 2, "couple": 2, "three": 3, "few": 3}
_NUMBERS |= {"four": 4, "five": 5}
_COUNTED = r"(?P<number>an?|one|single|two|three|four|five|(?:a )?few|a couple of|\d)"

_LENGTH = re.compile(
    rf"\b(?:in |as |with )?(?:just |only )?{_COUNTED}[ -](?:single |short |brief )?"
    r"(?:lines?|liners?|sentences?)\b",
    re.IGNORECASE,
)
_BRIEF = re.compile(
    r"\b(?:briefly|in short|in brief|short(?:ly)?|brief|quick(?:ly)?|tl;?\s?dr|nutshell|one-liner)"
    r"\b",
    re.IGNORECASE,
)
_POINTS = (
    r"(?:the |its )?(?:main|key|most important|essential|central|major|chief) "
    r"(?:points?|ideas?|facts?|take-?aways?|messages?|findings?|contents?|statements?|things?"
    r"|topics?)"
)
_SUMMARY = re.compile(
    r"\b(?:summari[sz](?:e|es|ed|ing|ation)|sum(?:ming)? (?:(?:it|this|that|them|these) )?up"
    r"|summar(?:y|ies)|recap|synopsis"
    r"|overview|tl;?\s?dr|gist|run-?down|condense|nutshell|boil(?:ed)? down|essence"
    rf"|take-?aways?|{_POINTS})\b",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"\bwhat(?:['’]?s|\s+(?:is|are|was|were))\s+(?P<subject>.{2,160}?)\s+(?:all\s+)?about\s*[?.!]*$"
    r"|\bwhat\s+(?:do|does|did)\s+(?P<says>.{2,160}?)\s+"
    r"(?:say|cover|contain|deal with|describe|discuss|talk about|speak of|treat"
    r"|tell(?: (?:me|us))?)"
    r"\s*[?.!]*$"
    r"|\bwhat(?:['’]?s| is| stands)\s+(?:written\s+)?in(?:side)?\s+(?P<inside>.{2,160}?)\s*[?.!]*$"
    r"|\bwhat\s+(?P<topic>.{2,160}?)\s+(?:(?:is|are)\s+(?:all\s+)?about|says?|covers?|contains?"
    r"|describes?)\s*[?.!]*$"
    r"|^\W*(?:please |can you |could you )*(?:tell (?:me|us) (?:something |more )?about|explain"
    r"|describe|walk me through)\s+(?P<told>.{2,160}?)(?: (?:to|for) me)?\s*[?.!]*$",
    re.IGNORECASE,
)
_OUTLINE = re.compile(
    r"^\W*(?:please |can you |could you )*outline\b|\b(?:an|the) outline of\b|\btable of contents\b"
    r"|^\W*(?:what(?:['’]?s| is)|show(?: me)?|give(?: me)?|tell me) the structure of\b"
    r"|^\W*how is\b(?=.*\bstructured\W*$)|(?<=\w) (?:is )?structured(?=\W*$)|\bcontents page\b"
    r"|^\W*(?:which|what|list|name|show)\b.{0,24}?\b(?:chapters?|sections?|headings?)\b",
    re.IGNORECASE,
)
_COUNT = re.compile(
    r"\bhow many\b|\b(?:the |total )?number of\b|^\W*(?:please )?count\b(?! on)", re.IGNORECASE
)
_LIST = re.compile(
    r"^\W*(?:please |can you |could you |would you |i want you to |i(?:'d| would) like you to )*"
    r"(?:list|enumerate|itemi[sz]e|read out)\b"
    r"|^\W*(?:please |can you |could you |would you )*"
    r"(?:name|give|show|tell|read)\b.{0,12}\b(?:all|every|each|list of)\b"
    r"|\b(?:the |a )?(?:full|complete|whole|entire) list of\b"
    r"|\bwhat (?:are|were) (?:all|each of)\b|\b(?:which|what|who)\b.{0,60}\b(?:are|is|stands?) "
    r"(?:there|listed|on the list|in the (?:list|table))\b"
    r"|^\W*all (?:of )?(?:the )?\w",
    re.IGNORECASE,
)
_WHAT_ARE = re.compile(
    r"^\W*(?:what|which|who)\s*(?:(?:are|were) the (?P<rest>.+)"
    r"|(?:is|['’]s) on (?:the|my|our) (?P<on>.*\blist\b.*)"
    r"|(?P<plural>\w+(?:[^s\W]s|men)\b.{0,60}\b(?:do|does|are|were|have|has)\b.*))$",
    re.IGNORECASE,
)
_COMPARISON = re.compile(
    r"^\W*(?:please |can you |could you |would you |give (?:me )?|show (?:me )?|make (?:me )?"
    r"|i (?:want|need) |tell me |list |what(?:['’]?s| is| are) |an? |all |the |main |key |biggest "
    r"|most important |short |brief |how (?:do|does|did|would) you )*"
    r"(?:compare|comparisons?|contrast|differences?|similarit(?:y|ies)|side by side)\b"
    r"|^\W*(?:how|in what ways?|where) (?:do|does|is|are)\b(?=.*\b(?:differ|compared?|different)\b)"
    r"|^\W*what (?:do|does)\b(?=.*\bin common\W*$)"
    r"|^(?!\W*(?:who|whom|what|which|when|where|why|how|did|do|does|is|are|was|were)\b).*"
    r"\b(?:versus|vs)\b",
    re.IGNORECASE,
)
_SIDES = re.compile(
    r"\s*(?:,\s*(?:and|with|to|versus|vs\.?)\s|\b(?:(?:differ(?:s|ent)?|compares?|compared) )?"
    r"(?:and|with|to|from|versus|vs\.?|against|(?:as )?opposed to)\s)\s*|\s*,\s+",
    re.IGNORECASE,
)
_COMPARED = re.compile(
    r"\b(?:between|compar(?:e|ed|ing|ison of|isons of)|contrast(?:ing)?|side by side"
    r"|(?:how|where|in what way)s? (?:do|does|is|are)|what (?:do|does))\b",
    re.IGNORECASE,
)
_COMPARED_END = re.compile(
    r"\b(?:differ(?:ent)?(?: from each other)?|compared?|have in common|in common|side by side)"
    r"\s*[?.!]*$|\bdifferent\s+(?=from\b)",
    re.IGNORECASE,
)
_ASPECT = re.compile(
    r"\b(?:regarding|concerning|with (?:respect|regard) to|in terms of|as (?:to|regards)"
    r"|when it comes to|(?:compared?|differ) (?:on|in|by|regarding)"
    r"|on the (?:point|question|matter) of|by their|by|in their|for their)\s+"
    r"(?P<aspect>[^?.!]+?)\s*[?.!]*$",
    re.IGNORECASE,
)
_DIFFERENCE_IN = re.compile(
    r"\bdifferences? (?:in|of) (?P<aspect>.{2,60}?) (?=between\b)", re.IGNORECASE
)
_HOLDINGS = (
    r"(?:documents?|docs?|files?|papers?|pdfs?|texts?|notes?|sources?|articles?|recordings?"
    r"|uploads?|letters?|books?|library|collection|anything|something|material|stuff)"
)
_OF_MINE = r"(?:of (?:my|the|our|these|all)\s+)?(?:my |our )?"
_TELLS = (
    r"(?:mentions?|about|on|regarding|concerning|deals?|talks?|covers?|speaks?|discuss(?:es)?"
    r"|contains?)"
)
_COLLECTION = re.compile(
    rf"\b(?:which|what|how many) {_OF_MINE}(?:\w+ )??{_HOLDINGS}\b.{{0,24}}?\b(?:do i have|have i"
    r"|i have|do we have|we have|are there|there are|is there|in (?:my|the|our) (?:library"
    rf"|collection)|uploaded|can you (?:see|read)|you (?:have|know)|{_TELLS})\b"
    r"|\b(?:do i have|have i(?: got)?|do we have|(?:is|are|was|were) there|have you got) "
    rf"(?:any|some|an?|other|more)?\s*(?:\w+ )??{_HOLDINGS}\b"
    rf".{{0,12}}?\b(?:{_TELLS}|that|which|in my)\b"
    rf"|\bdo(?:es)? any {_OF_MINE}{_HOLDINGS}\b"
    r"|^\W*(?:please |can you |could you )*(?:list|show|name|find|give|tell)(?: me)?"
    rf"(?: all| every| a list of| the list of)*(?: of)?(?: my| our| the)* {_HOLDINGS}\b"
    rf"(?=\W*(?:$|please|{_TELLS}|that|which|i have|there|you))"
    rf"|\bwhat are (?:my|our|all|the) {_HOLDINGS}\W*$"
    r"|\bwhat(?:['’]?s| is| do i have| have i(?: got)?) (?:there )?in (?:my|the|our)"
    r" (?:library|collection)\b"
    rf"|\bin (?:which|what) {_OF_MINE}{_HOLDINGS}\b"
    r"|\bwhat (?:do i have|have i(?: got)?|do we have) (?:about|on)\b",
    re.IGNORECASE,
)
_HOLDINGS_ONLY = re.compile(
    rf"^(?:(?:of|all|my|our|the|in|what is|what i have)\s+)*(?:library|collection|{_HOLDINGS}s)"
    r"(?: (?:in|of) (?:my|the|our) (?:library|collection)| i have)?$",
    re.IGNORECASE,
)
_TOPIC = re.compile(
    r"\b(?:about|regarding|concerning|mention(?:s|ed|ing)?|deal(?:s|ing)? with|cover(?:s|ing)?"
    r"|talk(?:s|ing)? (?:about|of)|speak(?:s|ing)? (?:about|of)|discuss(?:es|ing)?"
    rf"|contain(?:s|ing)?|(?:{_HOLDINGS}|have|got|there) (?:on|from|by|with))\s+"
    r"(?P<topic>[^?!]+?)\s*[?.!]*$",
    re.IGNORECASE,
)
_NAMED_IN = re.compile(
    rf"\bin (?:which|what)(?: of (?:my|the|our))? {_HOLDINGS}\b\s*(?:is|are|was|were|do|does|can)?"
    r"\s*(?:i (?:find|read(?: about)?)\s+)?(?P<topic>.+?)"
    r"\s*(?:mentioned|discussed|described|named|covered|appear|found|treated)?\s*[?.!]*$",
    re.IGNORECASE,
)
_IN_MINE = re.compile(
    rf"\s+(?:in|among|of) (?:my|the|our) (?:{_HOLDINGS}|library)(?: do i have)?$|\s+do i have$",
    re.IGNORECASE,
)
_WRAPPING = re.compile(
    r"^(?:[\s,.:;-]|please\b|can you\b|could you\b|would you\b|will you\b|i(?:'d| would) like\b"
    r"|i (?:want|need)\b|let me have\b|give me\b|give us\b|give\b|show me\b|show\b|tell me\b|tell\b"
    r"|write(?: me)?\b|make(?: me)?\b|read me\b|provide\b|what(?:['’]?s| is| are)\b|you to\b"
    r"|to (?:have|get|see)\b|me\b|in\b|an?\b|the\b|of\b|for\b|from\b|to\b|up\b|all\b|short\b|brief"
    r"\b|quick\b|single\b|down\b|about\b|with\b|on\b|it\b(?= up)|hey\b|ok(?:ay)?\b|and\b|so\b"
    r"|as\b)+",
    re.IGNORECASE,
)
_TRAILING = re.compile(
    r"(?:[\s,.:;!?-]|\bplease\b|\bin\b|\bfor me\b|\bof\b|\ba\b|\bup\b|\bthanks?\b|\bthank you\b)+$",
    re.IGNORECASE,
)
_INTERROGATIVE = re.compile(
    r"^\W*(?:how|when|where|who|whom|whose|why|which|does|do|did|is|are|was|were|has|have|should"
    r"|may|must)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Request:
    """A question about more than a passage can hold."""

    kind: Kind
    subject: str
    """The words that name the document, what is counted or listed, or the collection's topic."""
    sides: tuple[str, ...] = ()
    """What is compared: two or more, else the question is none to be answered so."""
    aspect: str = ""
    """In which respect they are compared; empty: in all."""
    sentences: int | None = None
    """How long a summary shall be; ``None``: as the document needs."""
    counts: bool = field(default=False)
    """The number is asked for, not only the list."""
    explicit: bool = True
    """``False``: only where the subject names a document; else it is a question like any other."""


def request_of(question: str) -> Request | None:
    """Return what is asked of a whole document, of all items, of two things or the collection."""
    text = " ".join(question.split())
    if len(text.split()) > MAX_WORDS:
        return None
    compared = _comparison(text)
    if compared is not None:
        return compared
    if _SUMMARY.search(text):
        summary = _summary(text)
        whole = _HOLDINGS_ONLY.match(summary.subject)
        return Request("collection", "") if whole else summary
    if _COLLECTION.search(text):
        return Request("collection", _topic(text), counts=_COUNT.search(text) is not None)
    if _OUTLINE.search(text) and not _COUNT.search(text):
        return Request("outline", _rest(_OUTLINE, text))
    if _COUNT.search(text):
        return Request("items", _rest(_COUNT, text), counts=True)
    if _LIST.search(text):
        return Request("items", _clean(text))
    about = _ABOUT.search(text)
    if about is not None:
        subject = next(group for group in about.groups() if group)
        return Request("summary", subject, sentences=_sentences(text), explicit=False)
    if _LENGTH.search(text) and not _INTERROGATIVE.search(_LENGTH.sub("", text)):
        return Request("summary", _clean(_LENGTH.sub(" ", text)), sentences=_sentences(text))
    what_are = _WHAT_ARE.match(text)
    if what_are is not None:
        rest = next(group for group in what_are.groups() if group)
        return Request("items", _clean(rest), explicit=False)
    return None


def _summary(text: str) -> Request:
    about = _ABOUT.search(_LENGTH.sub("", text))
    rest = next((g for g in about.groups() if g), "") if about else _LENGTH.sub(" ", text)
    return Request("summary", _rest(_SUMMARY, rest), sentences=_sentences(text))


def _sentences(text: str) -> int | None:
    length = _LENGTH.search(text)
    if length is not None:
        words = length.group("number").lower().split()
        return next((_NUMBERS[w] for w in reversed(words) if w in _NUMBERS), None) or (
            int(words[0]) if words[0].isdigit() and words[0] != "0" else 1
        )
    return 2 if _BRIEF.search(text) else None


def _comparison(text: str) -> Request | None:
    if not _COMPARISON.search(text):
        return None
    aspect = ""
    for pattern in (_DIFFERENCE_IN, _ASPECT):
        found = pattern.search(text)
        if found is not None and not aspect:
            aspect = _clean(found.group("aspect"))
            text = f"{text[: found.start()]} {text[found.end() :]}"
    compared = _COMPARED.search(text)
    rest = text[compared.end() :] if compared else text
    ended = _COMPARED_END.search(rest)
    if ended:
        rest = f"{rest[: ended.start()]} {rest[ended.end() :]}"
    sides = [_clean(side) for side in _SIDES.split(rest)]
    sides = [side for side in sides if re.search(r"\w", side)]
    return Request("comparison", _clean(rest), sides=tuple(sides), aspect=aspect)


def _topic(text: str) -> str:
    named = _NAMED_IN.search(text) or _TOPIC.search(text)
    return _clean(_IN_MINE.sub("", named.group("topic"))) if named else ""


def _rest(request: re.Pattern[str], text: str) -> str:
    """Return what is left of ``text`` without the words that make it a request."""
    return _clean(request.sub(" ", text))


def _clean(text: str) -> str:
    text = _TRAILING.sub("", " ".join(text.split()))
    return _WRAPPING.sub("", text).strip(" \"'“”‘’`")
