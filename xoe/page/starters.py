"""Questions to begin with, made of what the documents say.

A heading that asks or tells how is a question already. A statement of a few common forms, with an
amount, a time or a date, is turned into the question that it answers. The forms are narrow: of most
statements nothing is made, as nothing is better than a question that nobody would ask. Each is
offered with where its answer stands, so that a search can tell whether it would be found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from chains.clauses import AUXILIARIES, PREPOSITIONS, PRONOUNS, QUESTION_WORDS
from ingest.language import ENGLISH
from ingest.sentences import sentence_spans
from ingest.store import Excerpt

LONGEST = 90
FACTS_EACH = 3

_NUMBERING = re.compile(r"^(?:[Cc]hapter )?(?:\d+(?:\.\d+)*[.):]?|[IVX]+[.):]) ")
_EMPTY_WORDS = {
    *("abstract", "appendix", "contents", "foreword", "index", "introduction", "licence"),
    *("license", "notes", "overview", "preface", "references", "summary", "table", "of", "and"),
}
_SHORTEST_TOPIC, _LONGEST_TOPIC = 4, 60

_SUBJECT = (
    r"(?P<subject>(?:The|A|An|Each|Every|Our|Your) (?:[\w'’-]+ ){0,4}?[\w'’-]+"
    r"|[A-Z][\w'’-]+(?: [A-Z][\w'’-]+){1,3})"
)
_VAGUE = (
    AUXILIARIES
    | PRONOUNS
    | QUESTION_WORDS
    | set(
        "first second third last next other others same latter former this these that those".split()
    )
)
_MONEY = (
    r"(?:about |up to |at least |only )?(?:[€$£]\s?\d|\d[\d.,]*\s?(?:€|\$|£|euros?\b|dollars?\b"
    r"|pounds?\b|cents?\b|francs?\b|EUR\b|USD\b|GBP\b|CHF\b))"
)
_AMOUNT = r"(?:about |up to |at least |only )?\d"
_TIME = rf"{_AMOUNT}[\d.,]*\s(?:second|minute|hour|day|night|week|month|year)s?\b"
_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December)"
)
_DAY = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?"
_DATE = rf"\b(?:in|on)\s(?:\d{{1,2}}\s|{_MONTH}\s?|the\s)*(?:\d{{1,2}},?\s)?(?:\d{{4}}|{_MONTH})\b"
_WHEN = rf"(?:at|on|in|from) (?:{_AMOUNT}|{_MONTH}|{_DAY}|noon\b|midnight\b)"
_DONE = r"(?:\w{2,}ed|born|built|sold|bought|written|taken|made|given|won|lost|cut|begun|held)"
_FORMS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"{_SUBJECT} {tail}"), asked)
    for tail, asked in (
        (rf"(?P<verb>costs?) {_MONEY}", "How much {do} {subject} {bare}?"),
        (rf"(?P<verb>pays?|receives?|gets?|earns?) {_MONEY}", "How much {do} {subject} {bare}?"),
        (rf"(?P<verb>is|are) {_MONEY}", "How much {verb} {subject}?"),
        (rf"(?P<verb>takes?|lasts?) {_TIME}", "How long {do} {subject} {bare}?"),
        (rf"(?P<verb>weighs?|holds?) {_AMOUNT}", "How much {do} {subject} {bare}?"),
        (
            r"(?P<verb>has|have) (?:\d+|two|three|four|five|six|seven|eight|nine|ten|twelve)"
            r" (?P<noun>(?:[a-z-]+ )?[a-z-]{3,}s)\b",
            "How many {noun} {do} {subject} have?",
        ),
        (
            rf"(?P<verb>opens?|closes?|starts?|begins?|ends?|arrives?|leaves?|expires?) {_WHEN}",
            "When {do} {subject} {bare}?",
        ),
        (rf"(?P<verb>was|were) (?P<done>{_DONE}) [^,;:]*?{_DATE}", "When {verb} {subject} {done}?"),
        (
            r"(?P<verb>must|should) be (?P<done>\w+ed) (?:[\w-]+ ){0,4}every ",
            "How often {verb} {subject} be {done}?",
        ),
        (
            r"(?P<verb>is|are) (?P<done>\w+ed) (?:[\w-]+ ){0,4}every ",
            "How often {verb} {subject} {done}?",
        ),
    )
)
_ORDER = re.compile(
    r"(?P<verb>[A-Z][a-z]+) (?P<subject>(?:the|your|all) (?:[\w-]+ ){0,3}?[\w-]+)"
    r" (?:at least |once )?every "
)


@dataclass(frozen=True)
class Starter:
    """A question, and where its answer stands."""

    question: str
    document_id: int
    found_in: str
    """Text or heading of the passage that answers; empty where the whole document does."""


def starters(excerpts: Sequence[Excerpt]) -> Iterator[Starter]:
    """Yield questions; every document gets its turn before one gets a second."""
    by_document: dict[int, list[Excerpt]] = {}
    for excerpt in excerpts:
        by_document.setdefault(excerpt.document_id, []).append(excerpt)
    seen: set[str] = set()
    for turn in zip_longest(*(_of_document(found) for found in by_document.values())):
        for starter in turn:
            if starter is not None and starter.question not in seen:
                seen.add(starter.question)
                yield starter


def _of_document(excerpts: Sequence[Excerpt]) -> Iterator[Starter]:
    """Yield a document's questions: of its headings and of its statements by turns."""
    asked = [
        _of_heading(heading, excerpts) for heading in dict.fromkeys(e.heading for e in excerpts)
    ]
    facts = [fact for excerpt in excerpts for fact in _of_text(excerpt)]
    for pair in zip_longest(filter(None, asked), facts[:FACTS_EACH]):
        yield from filter(None, pair)
    first = excerpts[0]
    title = " ".join(first.title.split())
    if first.language == ENGLISH and _topic(title):
        yield Starter(f"Summarise {_name(title)}", first.document_id, "")


def _of_heading(path: str, excerpts: Sequence[Excerpt]) -> Starter | None:
    heading = path.rpartition(" › ")[2]
    topic = _topic(heading)
    if topic.endswith("?"):
        return Starter(topic, excerpts[0].document_id, heading)
    if topic.lower().startswith("how to "):
        return Starter(f"How do I {topic[len('how to ') :]}?", excerpts[0].document_id, heading)
    return None


def _of_text(excerpt: Excerpt) -> Iterator[Starter]:
    if excerpt.language != ENGLISH:
        return
    for start, end in sentence_spans(excerpt.text):
        statement = " ".join(excerpt.text[start:end].split())
        question = asked_by(statement)
        if question:
            yield Starter(question, excerpt.document_id, excerpt.text[start:end])


def asked_by(statement: str) -> str:
    """Return the question that an English statement answers; empty where none is sure."""
    order = _ORDER.match(statement)
    if order and order["verb"].lower() not in PREPOSITIONS | _VAGUE:
        return _bounded(f"How often must I {order['verb'].lower()} {order['subject']}?")
    for form, asked in _FORMS:
        match = form.match(statement)
        if match and not _VAGUE & set(match["subject"].lower().split()):
            verb = match["verb"]
            is_one = verb in ("is", "was", "has") or (verb.endswith("s") and verb != "pass")
            return _bounded(
                asked.format(
                    **{"noun": "", "done": "", **match.groupdict()}
                    | {
                        "subject": _in_the_middle(match["subject"]),
                        "do": "does" if is_one else "do",
                        "bare": verb.removesuffix("s"),
                    }
                )
            )
    return ""


def _bounded(question: str) -> str:
    return question if len(question) <= LONGEST else ""


def _in_the_middle(subject: str) -> str:
    return re.sub(r"^(?:The|A|An|Each|Every|Our|Your)\b", lambda first: first[0].lower(), subject)


def _topic(heading: str) -> str:
    topic = _NUMBERING.sub("", " ".join(heading.split())).strip(" .:–—-#")
    says_something = bool(set(re.findall(r"[^\W\d_]+", topic.lower())) - _EMPTY_WORDS)
    return topic if says_something and _SHORTEST_TOPIC <= len(topic) <= _LONGEST_TOPIC else ""


def _name(title: str) -> str:
    """Return a document's title as it stands in the middle of a sentence."""
    return re.sub(r"^(?:The|A|An|Our|My)\b", lambda article: article[0].lower(), title)
