"""Yes/no questions: told by their words, and answered with the yes or no that a sentence gives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from chains import lexical
from chains.citations import Support, best_support, numbers, sentences
from chains.clauses import AUXILIARIES, QUESTION_WORDS
from chains.days import days_named
from chains.leaning import COMMANDS, LEAD
from chains.phrases import TRANSLATED, said
from chains.polarity import leaning
from chains.types import Passage
from ingest.language import ENGLISH, fold
from ingest.splitter import cells, columns_in

WORDS: Final = ("Yes", "No")

_POLITE = re.compile(
    r"^\W*(?:(?:please|hello|hi|hey)\b\W*)*"
    r"(?:(?:can|could|would|will) you (?:please )?(?:tell|say|check|let)\b(?: (?:me|us)(?: know)?)?"
    r"|(?:please )?(?:tell|let) (?:me|us)(?: know)?|do you know|i (?:want|need|would like)"
    r" to know|i wonder|is it (?:true|correct|right|the case) that)\b\s*(?P<asks>if|whether)?\s*",
    re.IGNORECASE,
)
_TAG = re.compile(
    r",\s*(?:right|correct|yes|(?:is|are|do|does|did|was|were|has|have|can|will)n['’]t \w+"
    r"|nicht wahr|oder|n['’]est-ce pas|verdad|vero|certo|toch)\s*\?\s*$",
    re.IGNORECASE,
)
_OR: Final = {
    "en": "or", "de": "oder", "fr": "ou", "es": "o", "it": "o", "pt": "ou", "nl": "of",
}  # fmt: skip
_ASKS: Final = {
    language: re.compile(rf"\b(?:{words})\b", re.IGNORECASE)
    for language, words in {
        "de": "wer|wen|wem|wessen|was|wann|wo|wohin|woher|wie|wieso|warum|weshalb|wieviele?"
        r"|welche[mnrs]?|wo(?:mit|für|zu|ran|rauf|rin|durch|von|bei)",
        "fr": "qui|quoi|quand|où|comment|combien|pourquoi|quel(?:le)?s?|lequel|qu['’]est-ce"
        r"|que (?=\w+-)",
        "es": "qué|quién(?:es)?|cuándo|dónde|adónde|cómo|cuánt[oa]s?|cuál(?:es)?",
        "it": "chi|cosa|quando|dove|come|quant[oiae]|quale|quali|perché|qual",
        "pt": "quem|que|quê|quando|onde|como|quant[oa]s?|qual|quais",
        "nl": "wie|wat|wanneer|waar(?:om|mee|voor|in|op|aan)?|hoe|hoeveel|welke?|waarheen",
    }.items()
}
_ORDERS = re.compile(
    r"^\W*(?:nenne?|sage?|gib|erkläre?|beschreibe?|zeige?|liste|vergleiche?|fasse|donne|dis|liste"
    r"|explique|décris|compare|résume|di|dime|dame|explica|compara|resume|dimmi|elenca|spiega"
    r"|confronta|riassumi|diga|liste|noem|geef|vertel|leg|vergelijk)\b",
    re.IGNORECASE,
)
_SAID = re.compile(
    r"^\W*(?P<word>yes|no|nope|ja|nein|nee|oui|non|sí|si|sì|sim|não)\b(?:\s*[,.:;!—–-]+\s*|\s*$)",
    re.IGNORECASE,
)
_YES: Final = frozenset("yes ja oui si sim".split())


@dataclass(frozen=True)
class Ruling:
    """What a sentence of the documents says to a yes/no question."""

    yes: bool
    is_sure: bool
    """Whether it holds without the model's saying so too."""
    support: Support

    def word(self, language: str) -> str:
        """Return the yes or no in the answer's language."""
        return said(WORDS[not self.yes], language)


def is_yes_no(question: str, language: str = ENGLISH) -> bool:
    """Tell whether a question wants a yes or no, and not which of two."""
    return _statement(question, language) is not None


def ruling(question: str, passages: Sequence[Passage], language: str) -> Ruling | None:
    """Return what the passages say to a yes/no question, by the sentence that tells most.

    ``None`` where it is none, where no sentence tells, and where two say the opposite.
    """
    if language != ENGLISH and language not in TRANSLATED:
        return None
    asked = _statement(question, language)
    if asked is None:
        return None
    found: list[Ruling] = []
    for place in [best_support(one) for one in passages] + list(sentences(passages)):
        passage = place.passage
        if passage.language == language:
            above = f"{passage.title} {passage.heading}"
            lean = leaning(asked, _read(place, asked), above, language)
            if lean is not None:
                found.append(Ruling(lean.yes, lean.is_sure, place))
    sure = [one for one in found if one.is_sure]
    chosen = sure or found
    if not chosen or len({one.yes for one in chosen}) > 1:
        return None
    return chosen[0]


def _read(place: Support, asked: str) -> str:
    """Return a sentence; of a table's row its first cell and those of the columns asked for."""
    columns = columns_in(place.passage.heading)
    row = cells(place.text)
    if not len(row) == len(columns) > 1:
        return place.text
    stems = lexical.content_stems(asked)
    named = [n for n, column in enumerate(columns) if n and lexical.content_stems(column) & stems]
    shown = named or range(1, len(row))
    return " ".join([row[0], *(f"{columns[n]} {row[n] or '-'}" for n in shown)])


def agrees(decision: Ruling | None, statement: str, source: str, question: str) -> bool:
    """Tell whether what a model states goes with its source and the ruling, to a yes/no question.

    A statement that only says the question again holds numbers and days that the source lacks.
    """
    language = ENGLISH if decision is None else decision.support.passage.language
    if not numbers(statement) <= numbers(source):
        return False
    if not days_named(statement, language).numbers <= days_named(source, language).numbers:
        return False
    asked = _statement(question, language) or question
    lean = leaning(asked, statement, "", language)
    own = leaning(asked, source, "", language) if decision is None else decision
    return lean is None or own is None or lean.yes == own.yes


def bears_out(decision: Ruling, statement: str, question: str) -> bool:
    """Tell whether a statement says by itself what was ruled."""
    passage = decision.support.passage
    asked = _statement(question, passage.language) or question
    above = f"{passage.title} {passage.heading}"
    lean = leaning(asked, statement, above, passage.language)
    return lean is not None and lean.yes == decision.yes and lean.is_sure >= decision.is_sure


def parted(text: str) -> tuple[bool | None, str]:
    """Return the yes or no that a text begins with, and the rest of it."""
    match = _SAID.match(text)
    if match is None:
        return None, text
    rest = text[match.end() :]
    return fold(match["word"]) in _YES, rest[:1].upper() + rest[1:]


class YesNo:
    """The yes or no of an answer to such a question, while a model writes it.

    The model's own yes or no counts only where a sentence leans that way too.
    """

    def __init__(self, question: str, passages: Sequence[Passage], language: str) -> None:
        """``language``: that of the answer."""
        self._question = question
        self._language = language
        self._claimed: bool | None = None
        self._begun = self._told = False
        self.ruling = ruling(question, passages, language)

    @property
    def word(self) -> str:
        """What the answer begins with; empty where no yes or no is said."""
        return f"{self.ruling.word(self._language)}:" if self.ruling and self._told else ""

    def first(self, text: str) -> str:
        """Take the model's own yes or no off what it begins with."""
        self._claimed, rest = parted(text)
        return rest

    def agrees(self, statement: str, source: Support) -> bool:
        """Tell whether a statement goes with its source and with what was ruled."""
        return agrees(self.ruling, statement, source.text, self._question)

    def takes(self, statement: str, source: Support) -> bool:
        """Tell whether a statement that agrees is kept: none is before the one that rules."""
        if self._told or (self._begun and not self._is_sure):
            return True
        self._begun = True
        may_say = self.ruling is not None and (self._is_sure or self._claimed == self.ruling.yes)
        self._told = may_say and self._tells(statement, source)
        return self._told or not self._is_sure

    @property
    def _is_sure(self) -> bool:
        return self.ruling is not None and self.ruling.is_sure

    def _tells(self, statement: str, source: Support) -> bool:
        """Tell whether a statement says what was ruled, from the place that rules it."""
        assert self.ruling is not None  # noqa: S101 - else nothing is told
        place = self.ruling.support
        here, there = ((one.passage.document_id, one.start) for one in (source, place))
        return here == there and bears_out(self.ruling, statement, self._question)


@lru_cache(maxsize=512)
def _statement(question: str, language: str) -> str | None:
    """Return the question without what leads it in, where it is a yes/no question."""
    text = " ".join(question.split())
    polite = _POLITE.match(text)
    if polite:
        text = text[polite.end() :]
    tag = _TAG.search(text)
    if tag:
        text = text[: tag.start()] + "?"
    words = re.findall(r"[^\W_]+", text.lower())
    if not words or (_OR.get(language) in set(words) - lexical.codes(text) and not tag):
        return None
    led = polite[0].lower().rstrip() if polite else ""
    indirect = led.endswith(("if", "whether", "that"))
    if language == ENGLISH:
        return text if indirect or tag or _inverted(text) else None
    asks = _ASKS.get(language)
    if asks is None or not question.rstrip().endswith("?") or _ORDERS.match(text):
        return None
    bare = re.sub(r"(?<!u['’])\best-ce que?\b|\best-ce qu['’]", " ", text, flags=re.IGNORECASE)
    return None if asks.search(bare) else bare


def _inverted(text: str) -> bool:
    """Tell whether an English question begins with its auxiliary, after a place or time at most."""
    bare = LEAD.sub("", text).strip()
    head, comma, rest = bare.partition(",")
    for clause in (bare, rest.strip() if comma and len(head.split()) <= 5 else ""):
        words = re.findall(r"[^\W_]+", clause.lower())
        if words and words[0] not in QUESTION_WORDS | COMMANDS and _leads(words):
            return clause == bare or not QUESTION_WORDS & set(head.lower().split())
    return False


def _leads(words: Sequence[str]) -> bool:
    first = re.sub(r"n$", "", words[0]) if words[1:2] == ["t"] else words[0]
    if words[0] not in AUXILIARIES | {"ca", "wo", "sha", "am"} and first not in AUXILIARIES:
        return False
    asks_us = words[0] in ("can", "could", "would", "will") and words[1:2] == ["you"]
    return not (asks_us and len(words) > 2 and words[2] in COMMANDS | {"please", "help", "tell"})
