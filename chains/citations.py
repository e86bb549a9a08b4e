"""Citations, computed from the texts: which sentence of a document supports which of the answer.

What the model claims about its sources is never looked at. A sentence of the answer is supported
by a sentence of a passage when what it adds to the question stands there: nearly all its words,
all its numbers and names, and the same yes or no. No safe match, no citation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from chains import lexical
from chains.types import Citation, Passage
from ingest.sentences import sentence_spans

NOVEL_SHARE = 0.7
"""Share of the words that are new against the question and must stand in the source."""

REPEATED_SHARE = 0.75
"""The same for a sentence that only repeats the question's words."""

TOPIC_SHARE = 0.25
"""Share of the question's words that the source's window must hold."""

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_NAME = re.compile(r"(?<![.!?]\s)(?<!^)\b[^\W\d_a-z][\w’'-]*[^\W_]")
_NEGATION = re.compile(
    r"\b(?:no|not|never|none|nobody|nothing|neither|nor|without|cannot)\b|n['’]t\b", re.IGNORECASE
)
_MARK = re.compile(r"\s*\[\d{1,3}\]")


@dataclass(frozen=True)
class Support:
    """A sentence of a passage, and how well it supports a sentence of the answer."""

    passage: Passage
    start: int
    """Offsets in the document's text."""
    end: int
    score: float


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
    """Return the sentence of ``passages`` that supports ``sentence`` best, if one does."""
    stems = lexical.content_stems(sentence)
    asked = lexical.content_stems(question)
    novel = stems - asked
    numbers = set(_NUMBER.findall(sentence)) - set(_NUMBER.findall(question))
    names = _names(sentence) - asked
    negated = bool(_NEGATION.search(sentence))
    best: Support | None = None
    for passage in passages:
        around = lexical.content_stems(f"{passage.title} {passage.heading} {passage.text}")
        if asked and len(asked & around) < TOPIC_SHARE * len(asked):
            continue
        if not names <= around:
            continue
        for start, end in sentence_spans(passage.text):
            source = passage.text[start:end]
            held = lexical.content_stems(source)
            if not numbers <= set(_NUMBER.findall(source)):
                continue
            if negated != bool(_NEGATION.search(source)):
                continue
            if novel and len(novel & held) < NOVEL_SHARE * len(novel):
                continue
            if not novel and len(stems & held) < REPEATED_SHARE * len(stems):
                continue
            score = (
                len(novel & held) / max(1, len(novel))
                + len(stems & held) / max(1, len(stems))
                + len(asked & held) / max(1, len(asked))
            )
            if best is None or score > best.score + 1e-9:
                best = Support(passage, passage.start + start, passage.start + end, score)
    return best


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
                quote=passage.text[support.start - passage.start : support.end - passage.start],
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
    if sentence.endswith(":") or sentence.endswith("?"):
        return False
    return bool(lexical.content_stems(sentence) - {"ye", "sure"})


def _names(sentence: str) -> set[str]:
    """Return the stems of capitalised words that do not begin the sentence."""
    found = (lexical.words(match) for match in _NAME.findall(sentence))
    return {
        lexical.stem(word) for group in found for word in group if lexical.content_stems(word)
    }
