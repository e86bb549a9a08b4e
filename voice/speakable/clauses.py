"""A streamed answer as clauses to be spoken, each with its place in the answer's text."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass

from voice.speakable.markup import CODE_NOTICE
from voice.speakable.text import speakable
from voice.tts.chunking import Clause, ClauseChunker


@dataclass(frozen=True)
class SpokenClause:
    """A piece of an answer's text with what is said for it.

    The pieces put together are the answer, so the place up to which something was heard is a
    place in the answer's own text.
    """

    text: str
    """As it stands in the answer: ``answer[start:end]``."""
    spoken: str
    """What is read out; empty where there is nothing to say."""
    start: int
    end: int


class SpokenClauses:
    """Turns the pieces of one answer's text into spoken clauses. Pure: no clock, no engine."""

    def __init__(self, *, language: str = "en-us") -> None:
        """``language``: of the voice, as espeak-ng names it."""
        self._language = language
        self._chunker = ClauseChunker()
        self._code_told = False

    def feed(self, piece: str) -> list[SpokenClause]:
        """Take the next piece; return the clauses that are complete with it."""
        return [self._spoken(clause) for clause in self._chunker.feed(piece)]

    def flush(self) -> list[SpokenClause]:
        """Return what is left, as the answer has ended."""
        return [self._spoken(clause) for clause in self._chunker.flush()]

    def _spoken(self, clause: Clause) -> SpokenClause:
        if clause.is_code:
            # A long block comes in several pieces and is mentioned once.
            spoken, self._code_told = "" if self._code_told else CODE_NOTICE, True
        else:
            spoken = speakable(clause.text, language=self._language)
            self._code_told = self._code_told and not spoken
        return SpokenClause(clause.text, spoken, clause.start, clause.end)


async def spoken_clauses(
    pieces: AsyncIterable[str], *, language: str = "en-us"
) -> AsyncIterator[SpokenClause]:
    """Yield the clauses of an answer while it is being written."""
    clauses = SpokenClauses(language=language)
    async for piece in pieces:
        for clause in clauses.feed(piece):
            yield clause
    for clause in clauses.flush():
        yield clause


def clauses_of(text: str, *, language: str = "en-us") -> Iterator[SpokenClause]:
    """Yield the clauses of a text that is there already."""
    clauses = SpokenClauses(language=language)
    yield from clauses.feed(text)
    yield from clauses.flush()


def heard_prefix(clauses: Iterable[SpokenClause], clause: int, share: float) -> int:
    """Return up to which character of the answer it can have been heard.

    ``clause``: the number of the clause that was sounding; ``share``: how much of its sound had
    been played, 0 … 1. The place is moved on to the end of the word that was being said.
    """
    for number, piece in enumerate(clauses):
        if number == clause:
            if share <= 0:
                return piece.start
            at = min(len(piece.text), round(share * len(piece.text)))
            rest = re.compile(r"\S*").match(piece.text, at)
            return piece.start + (rest.end() if rest is not None else at)
        if number > clause:
            break
    return max((piece.end for piece in clauses), default=0)
