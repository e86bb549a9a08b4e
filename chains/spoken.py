"""What of an answer is said, and in which order.

The sentence of the library that answers best is said first, with where it stands: it is true, and
it is there before the model has read a word. What the model adds follows when it has been checked;
what only says the same again is left out.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from chains.citations import strip_marks
from chains.compose import LEFT_OUT, NEAREST, OTHERWISE, speaks_of
from chains.lexical import content_stems
from chains.phrases import said
from chains.prompt import named_cells
from chains.quotation import code_lines
from chains.types import Answer, AnswerEvent, Citation, Done, Outcome, Passage, Sources, Token
from chains.yes_no import WORDS, parted, ruling
from ingest.language import ENGLISH
from ingest.sentences import sentence_spans
from state.ladder import Level

MIN_WORDS = 4
MAX_WORDS = 40
"""A sentence that is shorter is a heading, and one that is longer is no answer to listen to."""
WITHOUT_LIBRARY = "Without your documents: "
ONLY_NEAREST = "That is the nearest passage, and not an answer."
REPEATED_SHARE = 0.6
"""Share of a sentence's words that were said already, from which on it is not said again."""

_QUOTED = re.compile(r"^>\s?", re.MULTILINE)
_LINK = re.compile(r"\s*\[\d+\]")
_LEAD = re.compile(r"^[\s>*#-]+")


class SpokenAnswer:
    """Turns the events of one answer into what is said. Pure."""

    def __init__(
        self,
        passages: tuple[Passage, ...],
        question: str,
        *,
        grounds: bool,
        library_lost: bool = False,
        language: str = ENGLISH,
    ) -> None:
        """``passages``: what may be quoted, none where they are known not to answer.

        ``grounds``: the answer must come from them; otherwise the model speaks alone.
        ``library_lost``: they should have been searched and could not be, which is said first.
        ``language``: that of the answer.
        """
        self._passages = passages
        self._question = question
        self._grounds = grounds
        self._language = language
        self._label = WITHOUT_LIBRARY if library_lost else ""
        self._ruling = ruling(question, passages, language) if grounds else None
        self._stems: frozenset[str] = frozenset()
        self.text = ""
        """All that was given out to be said."""

    def feed(self, event: AnswerEvent) -> str:
        """Return what is to be said because of ``event``; mostly nothing."""
        said = ""
        match event:
            case Sources(citations) if citations and self._passages and self._grounds:
                said = self._ruled() or self._quotation(citations[0])
            case Token(text) if not self._grounds:
                said, self._label = self._label + text, ""
            case Done(answer):
                said = self._rest(answer)
        self.text += said
        return said

    def _quotation(self, citation: Citation) -> str:
        if code_lines(citation.quote):  # nobody can listen to it
            return ""
        row = named_cells(citation.quote, citation.heading)
        sentence = row or " ".join(_LEAD.sub("", citation.quote).split())
        fits = MIN_WORDS <= len(sentence.split()) <= MAX_WORDS
        if not (fits and speaks_of(self._passages[0], self._question)):
            return ""
        self._stems = content_stems(sentence, self._language)
        return f"{_name(citation.title, citation.source)} says: {sentence}\n\n"

    def _ruled(self) -> str:
        """Return the yes or no with the sentence that gives it, where that is sure."""
        if self._ruling is None or not self._ruling.is_sure:
            return ""
        support = self._ruling.support
        sentence = " ".join(_LEAD.sub("", support.text).split())
        if len(sentence.split()) > MAX_WORDS:
            return ""
        self._stems = content_stems(sentence, self._language)
        name = _name(support.passage.title, support.passage.source)
        return f"{self._ruling.word(self._language)}. {name} says: {sentence}\n\n"

    def _rest(self, answer: Answer) -> str:
        if answer.level is Level.TEMPLATE:
            return f"\n{answer.text}\n"
        if not self._grounds:
            return "\n" if self.text else strip_marks(answer.text)
        left_out = said(LEFT_OUT, self._language)
        text = _LINK.sub("", _QUOTED.sub("", answer.text.replace(left_out, "")))
        if not self.text:
            return text.strip() + "\n"
        text = text.replace(said(NEAREST, self._language), "")
        text, mark, otherwise = text.partition(said(OTHERWISE, self._language))
        sentences = [text[start:end].strip() for start, end in sentence_spans(text)]
        new = [sentence for sentence in sentences if self._is_new(sentence)]
        yes, _ = parted(text.strip())
        if yes is not None and parted(self.text)[0] is None and new[:1] != sentences[:1]:
            new.insert(0, f"{said(WORDS[not yes], self._language)}.")
        if mark:  # it differs in a word or two, and is to be heard all the same
            new.append(f"{mark.strip('*')} {' '.join(otherwise.split())}")
        if answer.outcome is Outcome.NEAREST:
            new.append(said(ONLY_NEAREST, self._language))
        return " ".join(new) + "\n" if new else ""

    def _is_new(self, sentence: str) -> bool:
        stems = content_stems(sentence, self._language)
        if len(sentence.split()) < MIN_WORDS or not stems:
            return False
        is_new = len(stems & self._stems) < REPEATED_SHARE * len(stems)
        self._stems |= stems
        return is_new


def _name(title: str, source: str) -> str:
    """Return how the document is called when somebody speaks of it."""
    return title or PurePath(source).stem.replace("-", " ").replace("_", " ")
