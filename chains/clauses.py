"""Phrases of an English sentence, found by its closed classes of words: no tagger, no model.

What is not a determiner, preposition, auxiliary, pronoun, conjunction or question word is taken for
part of a noun phrase or for a verb; where a question's verb stands is told by its auxiliary, by
irregular past forms and by endings. A phrase cut at the wrong word is still about the same thing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

TOKEN: Final = re.compile(
    r"(?:St|Mr|Mrs|Ms|Dr|Prof|Jr|Sr|No)\.|[^\W_]+(?:[-'’.&][^\W_]+)*(?:['’](?=\s))?|[^\w\s]"
)

DETERMINERS: Final = frozenset(
    "the a an this that these those my your our their its his her some any each every all both "
    "another no".split()
)
BE: Final = frozenset("is are was were be been being am 's".split())
DO: Final = frozenset("do does did".split())
AUXILIARIES: Final = (
    BE
    | DO
    | frozenset("has have had can could will would shall should may might must cannot".split())
)
QUESTION_WORDS: Final = frozenset("who whom whose what which when where why how".split())
PREPOSITIONS: Final = frozenset(
    "of in on at by for from to with about into onto over under after before between during "
    "against since until till through without within per near around as than like off up down out "
    "across behind below above among towards toward".split()
)
PRONOUNS: Final = frozenset(
    "i you he she it we they me him us them one ones mine yours hers ours theirs himself herself "
    "itself themselves there here then".split()
)
_OTHERS: Final = frozenset(
    "and or but so if because while although though despite however whereas "
    "that not n't also too only just ever never still now today "
    "many much more most less least other please really actually first second third last".split()
)
ORDINALS: Final = {
    word: number
    for number, words in enumerate(
        ("first 1st", "second 2nd", "third 3rd", "fourth 4th", "fifth 5th", "sixth 6th"), start=1
    )
    for word in words.split()
}
_CLOSED: Final = AUXILIARIES | QUESTION_WORDS | PREPOSITIONS | PRONOUNS | _OTHERS | DETERMINERS
_PAST: Final = frozenset(
    "became began bought brought built came caught chose cut did drew drove fell felt fought found "
    "gave got grew had held hit kept knew laid led left lent lost made meant met paid put ran read "
    "rose said sat saw sent set shot shut sold spent spoke stood struck swore taught thought threw "
    "told took went won wore wrote born broken built chosen done drawn driven eaten fallen flown "
    "forbidden forgotten given gone grown hidden known lain written seen shown spoken stolen sworn "
    "taken thrown torn worn woven understood withdrew overthrew".split()
)
_JOINED: Final = frozenset("of the and de von van der la le du al bin ibn di da".split())
MAX_WORDS: Final = 14
"""A phrase that is longer is a sentence, and says more than what is meant."""


@dataclass(frozen=True)
class Phrase:
    """A part of a text."""

    text: str
    start: int
    """Offsets in the text."""
    end: int

    @property
    def words(self) -> list[str]:
        """Its words, in lower case."""
        return [match.group().lower() for match in TOKEN.finditer(self.text)]

    @property
    def is_name(self) -> bool:
        """Whether it is capitalised beyond what begins it."""
        return any(is_capital(match.group()) for match in TOKEN.finditer(self.text))

    @property
    def is_person(self) -> bool:
        """Whether it is a name and nothing else, as a person's is."""
        words = [match.group() for match in TOKEN.finditer(self.text)]
        return is_capital(words[0]) and all(is_capital(w) or w.lower() in _JOINED for w in words)

    @property
    def is_plural(self) -> bool:
        """Whether its head ends like a plural; of "the rights to X" that is "rights"."""
        head = re.split(r"\s(?:of|in|to|at|from|that)\s", self.text)[0].split()[-1]
        return len(head) > 3 and head.endswith("s") and not head.endswith(("ss", "us", "is", "’s"))


def is_capital(word: str) -> bool:
    """Tell whether a word begins like a name."""
    return word[:1].isupper() or (word[:1].isdigit() and any(c.isupper() for c in word))


def is_closed(word: str) -> bool:
    """Tell whether a lower-case word is of a closed class."""
    return word in _CLOSED


def is_verb(word: str) -> bool:
    """Tell whether a lower-case word looks like a verb in the past, or a participle."""
    return word in _PAST or (len(word) > 4 and word.endswith("ed") and not word.endswith("eed"))


def names(text: str) -> list[Phrase]:
    """Return the capitalised names in order; a closed-class word that begins a sentence is none."""
    tokens = list(TOKEN.finditer(text))
    found: list[Phrase] = []
    position = 0
    while position < len(tokens):
        if not _begins_name(tokens, position):
            position += 1
            continue
        last = position
        while (after := _name_goes_on(tokens, last)) is not None:
            last = after
        start, end = tokens[position].start(), tokens[last].end()
        bare = text[start:end].removesuffix("'s").removesuffix("’s")
        found.append(Phrase(bare, start, start + len(bare)))
        position = last + 1
    return found


def _begins_name(tokens: Sequence[re.Match[str]], position: int) -> bool:
    word = tokens[position].group()
    if is_code(tokens[position]):
        return True
    return is_capital(word) and word.lower() not in _CLOSED


def _name_goes_on(tokens: Sequence[re.Match[str]], position: int) -> int | None:
    """Return the place of the name's next capitalised word, if it has one more."""
    if tokens[position].group().endswith(("'s", "’s")):
        return None
    for after in range(position + 1, min(position + 4, len(tokens))):
        word = tokens[after].group()
        if is_capital(word):
            return after if _is_open(tokens, after) else None
        if word not in _JOINED:
            return None
    return None


def phrase_at(tokens: Sequence[re.Match[str]], first: int, *, verb: bool) -> int:
    """Return the place after the noun phrase that begins at ``first``; ``first`` if none does.

    ``verb``: a bare verb comes after it, as "did" and "can" demand.
    """
    end = first
    determined = end < len(tokens) and tokens[end].group().lower() in DETERMINERS
    end += determined
    nouns = 0
    while end < len(tokens):
        word = tokens[end].group()
        low = word.lower()
        joins = low == "of" or (low in ("and", "the") and _joins_names(tokens, end))
        if joins and nouns and end + 1 < len(tokens):
            inner = phrase_at(tokens, end + 1, verb=verb)
            if inner == end + 1:
                break
            end = inner
            continue
        if not word[0].isalnum() or not _is_open(tokens, end):
            break
        if nouns and not is_capital(word):
            before = tokens[end - 1].group()
            is_bare = verb and ((is_capital(before) and not determined) or _ends_plural(before))
            if is_bare or is_verb(low):
                return end
        nouns += 1
        end += 1
    if not nouns:
        return first
    last = tokens[end - 1].group()
    of_name = tokens[end - 2].group().lower() == "of"
    if verb and nouns > 1 and not (is_capital(last) or _ends_plural(last) or of_name):
        end -= 1
    return end


def _is_open(tokens: Sequence[re.Match[str]], position: int) -> bool:
    word = tokens[position].group()
    if word.lower() not in _CLOSED or word.lower() in ORDINALS or is_code(tokens[position]):
        return True
    return word == "I" and position > 0 and is_capital(tokens[position - 1].group())


def is_code(token: re.Match[str]) -> bool:
    """Whether a word is written like an abbreviation among small letters: "IT" is not "it"."""
    return len(token.group()) > 1 and token.group().isupper() and not token.string.isupper()


def lowered(tokens: Sequence[re.Match[str]]) -> list[str]:
    """Return the words in lower case; abbreviations, which are of no closed class, as they are."""
    return [token.group() if is_code(token) else token.group().lower() for token in tokens]


def _ends_plural(word: str) -> bool:
    return len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "'s", "’s"))


def _joins_names(tokens: Sequence[re.Match[str]], position: int) -> bool:
    around = tokens[position - 1 : position + 2 : 2]
    return len(around) == 2 and all(is_capital(token.group()) for token in around)


@dataclass(frozen=True)
class Clause:
    """A question, taken apart."""

    text: str
    word: str
    """Its question word, in lower case; empty where it has none."""
    is_adverbial: bool
    """Whether a time, a place, a reason or the like is asked for, not what somebody or something
    is or does."""
    noun: str
    """What the question word stands before: "country" of "which country"."""
    predicate: str
    """What is said of the question word where it is itself the subject."""
    subject: Phrase | None
    others: tuple[Phrase, ...]
    """The noun phrases after the subject."""

    @property
    def phrases(self) -> tuple[Phrase, ...]:
        """All its noun phrases."""
        return (self.subject, *self.others) if self.subject else self.others


def clause(question: str) -> Clause:
    """Take a question apart."""
    text = question.strip().rstrip("?.! ")
    tokens = list(TOKEN.finditer(text))
    low = lowered(tokens)
    at = next((i for i, word in enumerate(low[:6]) if word in QUESTION_WORDS), None)
    word = low[at] if at is not None else ""
    start = 0 if at is None else at + 1
    counts = word == "how" and low[start : start + 1] in (["many"], ["much"])
    start += counts
    verb_at = next((i for i in range(start, len(low)) if low[i] in AUXILIARIES), None)
    leads = at is not None and at > 0 and low[at - 1] in PREPOSITIONS
    is_adverbial = at is None or leads or (word in ("when", "where", "why", "how") and not counts)
    noun_end = start
    if counts or word in ("what", "which", "whose"):
        noun_end = phrase_at(tokens, start, verb=False)
    if verb_at is not None and verb_at > noun_end and not is_adverbial:
        verb_at = None  # "Who led the army that was beaten?"
    subject, predicate, rest = None, "", noun_end
    if verb_at is not None:
        begins = verb_at + 1
        while (
            begins < len(low)
            and low[begins].endswith("ly")
            and not is_capital(tokens[begins].group())
        ):
            begins += 1
        has = low[verb_at] in ("has", "have", "had")
        ends = phrase_at(tokens, begins, verb=low[verb_at] not in BE and not has)
        main = has and not is_adverbial and not (ends < len(low) and is_verb(low[ends]))
        if ends > begins and not is_verb(low[begins]) and not main:
            subject, rest = _phrase(tokens, text, begins, ends), ends
        else:
            rest = begins
            predicate = text[tokens[verb_at].start() :]
    elif noun_end < len(tokens):
        predicate = text[tokens[noun_end].start() :]
    noun = text[tokens[start].start() : tokens[noun_end - 1].end()] if noun_end > start else ""
    others = _phrases(tokens, text, rest)
    return Clause(text, word, is_adverbial, noun, predicate, subject, others)


def _phrases(tokens: Sequence[re.Match[str]], text: str, first: int) -> tuple[Phrase, ...]:
    """Return the noun phrases from ``first`` on: what a determiner, name or preposition begins."""
    found = []
    position = first
    while position < len(tokens):
        word = tokens[position].group()
        before = tokens[position - 1].group().lower() if position else ""
        if word.lower() in DETERMINERS or is_capital(word) or before in PREPOSITIONS:
            end = phrase_at(tokens, position, verb=False)
            if end > position:
                found.append(_phrase(tokens, text, position, end))
                position = end
                continue
        position += 1
    return tuple(found)


def _phrase(tokens: Sequence[re.Match[str]], text: str, first: int, end: int) -> Phrase:
    start, stop = tokens[first].start(), tokens[end - 1].end()
    return Phrase(text[start:stop], start, stop)


_ITEM: Final = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,2}[.)])[ \t]+(.+)$", re.MULTILINE)
_LAST_TWO: Final = re.compile(r"([^,.;:()\n]{1,80})(,?)\s+(?:and|or)\s+([^,.;:()\n]{1,80})")
_ITEM_WORDS: Final = 6


def items(text: str, count: int | None = None) -> list[str]:
    """Return what a text enumerates: the lines of a list, or "a, b and c"; empty if nothing.

    ``count``: how many there must be, where that is known; of more, the last so many.
    """
    rows = [[match.strip() for match in _ITEM.findall(text)]]
    for match in _LAST_TWO.finditer(text):
        row = [match.group(1).strip(), match.group(3).strip()]
        before = text[: match.start()].rstrip()
        while before.endswith(",") and len(row) < 20:
            rest, _, part = re.sub(r"[.;:()\n]", "\0", before[:-1]).rpartition(",")
            part = part.rpartition("\0")[2].strip()
            if not part or len(part.split()) > _ITEM_WORDS or len(row) == count:
                break
            row.insert(0, part)
            before = before[: len(rest) + 1] if rest else ""
        rows.append(row)
    fitting = [row for row in rows if len(row) > 1 and (count is None or len(row) >= count)]
    best = max(fitting, key=len, default=[])
    return best if count is None else best[-count:]
