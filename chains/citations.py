"""Citations, computed from the texts: which sentence of a document supports which of the answer.

What the model claims about its sources is never looked at. A sentence of the answer is supported
by a sentence of a passage when what it adds to the question stands there: nearly all its words,
all its numbers and names, and the same yes or no. No safe match, no citation.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chains import lexical
from chains.types import Citation, Passage
from ingest.language import ENGLISH, language_of
from ingest.sentences import sentence_spans

NOVEL_SHARE = 0.7
"""Share of the words that are new against the question and must stand in the source."""

REPEATED_SHARE = 0.75
"""The same for a sentence that only repeats the question's words."""

TOPIC_SHARE = 0.4
"""Share of the question's words that the source and the sentence before it must hold."""

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"(?<![.!?]\s)(?<!^)\b[^\W\d_a-z][\w’'-]*[^\W_]")
_NEGATIONS = {
    language: re.compile(rf"\b(?:{listed})\b{more}", re.IGNORECASE)
    for language, listed, more in (
        ("en", "no|not|never|none|nobody|nothing|neither|nor|without|cannot", r"|n['’]t\b"),
        ("de", "nicht|kein(?:e[mnrs]?)?|nie|niemals|niemand|nichts|nirgends|weder|ohne|nein", ""),
        ("fr", "pas|jamais|aucune?s?|rien|sans|ni|non|nulle?s?|guère", ""),
        ("es", r"no|nunca|jamás|ning[uú]n(?:[oa]s?)?|nadie|nada|sin|tampoco|ni", ""),
        ("it", "non|mai|nessun[oa]?|niente|nulla|senza|né|neanche|nemmeno|no", ""),
        ("pt", "não|nunca|jamais|nenhum(?:as?)?|nenhuns|ninguém|nada|sem|nem|tampouco", ""),
        ("nl", "niet|geen|nooit|niemand|niets|zonder|noch|nergens|nee", ""),
        ("zh", "(?!)", "|[不没沒无無未勿非]"),
        ("ja", "(?!)", "|ない|なかった|なく|ません|なし|[無不未]|ず(?=[にっ、。])"),
        ("ko", "(?!)", "|않|없|못|아니"),
        ("th", "(?!)", "|ไม่|ห้าม"),
    )
}
_BARE = frozenset("ye sure ja nein oui non si sim nao nee no はい 네 예".split())
"""A yes or no alone, as stems."""
_MARK = re.compile(r"\s*\[\d{1,3}\]")


@dataclass(frozen=True)
class Support:
    """A sentence of a passage, and how well it supports a sentence of the answer."""

    passage: Passage
    start: int
    """Offsets in the document's text."""
    end: int
    score: float

    @property
    def text(self) -> str:
        """The sentence."""
        return self.passage.text[self.start - self.passage.start : self.end - self.passage.start]


@dataclass(frozen=True)
class CheckedSentence:
    """A sentence of the answer and what supports it."""

    text: str
    lead: str
    """The white space and list marks before it."""
    support: Support | None
    claims: bool
    """False for what states nothing, like "Yes." or "Here is the list:"."""


def strip_marks(text: str) -> str:
    """Remove the ``[n]`` that a model made up."""
    return _MARK.sub("", text)


def check_sentences(
    answer: str, passages: Sequence[Passage], question: str
) -> list[CheckedSentence]:
    """Return the answer's sentences in order, each with its best support."""
    checked = []
    end_before = 0
    for start, end in sentence_spans(answer):
        text = answer[start:end]
        states = _states_something(text, question)
        support = find_support(text, passages, question) if states else None
        checked.append(CheckedSentence(text, answer[end_before:start], support, states))
        end_before = end
    return checked


def find_support(sentence: str, passages: Sequence[Passage], question: str) -> Support | None:
    """Return the sentence of ``passages`` that supports ``sentence`` best, if one does.

    The sentence before it counts as its context: names are often there, and a pronoun here.
    """
    best: Support | None = None
    for passage in passages:
        claim = _Claim.of(sentence, question, passage.language)
        previous = ""
        for start, end in sentence_spans(passage.text):
            source = passage.text[start:end]
            score = claim.score(source, f"{passage.heading} {previous} {source}")
            if score is not None and (best is None or score > best.score + 1e-9):
                best = Support(passage, passage.start + start, passage.start + end, score)
            previous = source
    return best


@dataclass(frozen=True)
class _Claim:
    """What a sentence of the answer states, in the words of one language."""

    language: str

    stems: frozenset[str]
    asked: frozenset[str]
    numbers: frozenset[str]
    """The numbers that are new against the question."""
    names: frozenset[str]
    negated: bool

    @classmethod
    def of(cls, sentence: str, question: str, language: str) -> _Claim:
        asked = lexical.asked_stems(question, language)
        names = _names(sentence, language)
        return cls(
            language,
            stems=lexical.content_stems(sentence, language),
            asked=asked,
            numbers=numbers(sentence) - numbers(question),
            # In German each noun has a capital, those of the question's subject too.
            names=names - asked if language == "de" else names,
            negated=is_negated(sentence, language),
        )

    def score(self, source: str, context: str) -> float | None:
        """Return how well ``source`` supports this, up to 3; None when it does not."""
        if not self.numbers <= numbers(source):
            return None
        if self.negated != is_negated(source, self.language):
            return None
        held = lexical.held_stems(source, self.language)
        around = lexical.held_stems(context, self.language)
        if not self.names <= around:
            return None
        if len(self.asked & around) < TOPIC_SHARE * len(self.asked):
            return None
        novel = self.stems - self.asked
        if novel and len(novel & held) < NOVEL_SHARE * len(novel):
            return None
        if not novel and len(self.stems & held) < REPEATED_SHARE * len(self.stems):
            return None
        return (
            len(novel & held) / max(1, len(novel))
            + len(self.stems & held) / max(1, len(self.stems))
            + len(self.asked & held) / max(1, len(self.asked))
        )


def sentences(passages: Sequence[Passage]) -> Iterator[Support]:
    """Yield each sentence of the passages, in order."""
    for passage in passages:
        for start, end in sentence_spans(passage.text):
            yield Support(passage, passage.start + start, passage.start + end, passage.score)


def best_support(passage: Passage) -> Support:
    """Return the passage's best sentence, quoted for its own sake."""
    return Support(passage, passage.best_start, passage.best_end, passage.score)


class CitationList:
    """Numbers citations in the order in which they are first used."""

    def __init__(self) -> None:
        """Start with none."""
        self._citations: list[Citation] = []

    def number(self, support: Support) -> int:
        """Return the number of this source sentence, a new one if it was not cited yet."""
        passage = support.passage
        for known in self._citations:
            if (known.document_id, known.start, known.end) == (
                passage.document_id,
                support.start,
                support.end,
            ):
                return known.number
        number = len(self._citations) + 1
        self._citations.append(
            Citation(
                number=number,
                document_id=passage.document_id,
                chunk_id=passage.chunk_id,
                source=passage.source,
                title=passage.title,
                heading=passage.heading,
                page=passage.page,
                quote=support.text,
                start=support.start,
                end=support.end,
                passage=passage.text,
                passage_start=passage.start,
            )
        )
        return number

    def all(self) -> tuple[Citation, ...]:
        """Return the citations by number."""
        return tuple(self._citations)


def _states_something(sentence: str, question: str) -> bool:
    if sentence.endswith((":", "?")):
        return False
    stems = lexical.content_stems(sentence, language_of(sentence) or ENGLISH)
    return bool(stems - _BARE)


def numbers(sentence: str) -> frozenset[str]:
    """Return the numbers in digits, as they are written."""
    # Some keyboards write digits as wide as Chinese characters.
    return frozenset(_NUMBER.findall(unicodedata.normalize("NFKC", sentence)))


def _names(sentence: str, language: str) -> frozenset[str]:
    """Return the stems of capitalised words that do not begin the sentence."""
    # No class of letters tells "é" from "É".
    capitalised = (match for match in _NAME.findall(sentence) if match[0].isupper())
    found = (lexical.words(match) for match in capitalised)
    return frozenset(
        lexical.stem(word, language)
        for group in found
        for word in group
        if lexical.content_stems(word, language)
    )


def is_negated(sentence: str, language: str = ENGLISH) -> bool:
    """Tell whether there is a no or not in it."""
    return _NEGATIONS.get(language, _NEGATIONS[ENGLISH]).search(sentence) is not None
