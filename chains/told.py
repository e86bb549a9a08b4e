"""What the model is told of an answer that it gave: what the user was told, and no more.

Phrases of our own ("I found no direct answer …") are not in it: a small model that reads one writes
it from then on. Nor is what it wrote and the check left out, which nobody was told.
"""

from __future__ import annotations

import re
from itertools import pairwise

from chains.types import INTERRUPTED, Answer
from ingest.sentences import sentence_spans
from state.ladder import Level

_MARKS = re.compile(r"(?:[ \t]*\[\d{1,3}\])+")
_QUOTE = re.compile(r"^>[ \t]?", re.MULTILINE)


def told(answer: Answer, written: str, *, grounds: bool) -> str:
    """Return the statements of ``answer``; ``written``, to the letter, where they are all of it.

    A statement has a citation, or is a sentence that the model wrote. Empty where the answer
    states nothing, as when the library is silent; passages that stand in for a model that failed
    were told. ``grounds``: it had to come from the documents.
    """
    if answer.note == INTERRUPTED:
        return answer.text
    if not grounds:
        return written
    if not answer.grounded and answer.level is not Level.EXTRACTIVE:
        return ""
    plain = " ".join(written.split())
    kept: list[str] = []
    ends = [(match.start(), match.end()) for match in _MARKS.finditer(answer.text)]
    bounds = [(0, 0), *ends, (len(answer.text), len(answer.text))]
    for number, ((_, start), (end, _)) in enumerate(pairwise(bounds)):
        part = _QUOTE.sub("", answer.text[start:end])
        spans = sentence_spans(part)
        for place, (first, last) in enumerate(spans):
            sentence = " ".join(part[first:last].split())
            is_cited = number < len(ends) and place == len(spans) - 1
            if is_cited or sentence in plain:
                kept.append(sentence)
    whole = " ".join(kept)
    return written if whole == plain else whole
