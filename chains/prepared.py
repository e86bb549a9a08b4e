"""An answer that is begun before it is sure that it will be asked for."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace

import structlog

from chains.answer import AnswerChain
from chains.turn import Turn
from chains.types import Question
from core.errors import XoeError

log = structlog.get_logger(__name__)

_SAME = re.compile(r"[\W_]+")


@dataclass
class _Begun:
    question: Question
    turn: asyncio.Task[Turn]
    ready: Turn | None = None
    """The turn when its passages were checked and its prompt written."""
    reading: asyncio.Task[None] | None = None
    """The checker reads the passages, then the model the prompt."""

    def drop(self) -> None:
        self.turn.cancel()
        if self.reading is not None:
            self.reading.cancel()


class PreparedTurn:
    """Retrieves, and lets the model read, for what may become a turn; the last such only.

    Nothing is kept of it, and its faults are those of the question itself. Belongs to one event
    loop.
    """

    def __init__(self, answers: AnswerChain) -> None:
        """Prepare for ``answers``."""
        self._answers = answers
        self._begun: _Begun | None = None

    def begin(self, question: Question) -> None:
        """Begin, in the place of what was begun before; goes on where it is the same question."""
        if self._begun is not None and _is_same(self._begun.question, question):
            return
        self.drop()
        begun = self._begun = _Begun(question, asyncio.create_task(self._answers.prepare(question)))
        begun.turn.add_done_callback(lambda done: self._read_ahead(begun, done))

    @property
    def is_searching(self) -> bool:
        """Whether it is still being looked for what the last one is answered from."""
        return self._begun is not None and not self._begun.turn.done()

    async def take_begun(self, question: Question) -> Turn | None:
        """Return the question's turn if it was begun; what was begun is forgotten either way.

        Raises as ``AnswerChain.prepare`` does.
        """
        if self._begun is not None and _is_same(self._begun.question, question):
            return await self.take(question)
        self.drop()
        return None

    def drop(self) -> None:
        """Forget what was begun."""
        if self._begun is not None:
            self._begun.drop()
            self._begun = None

    async def take(self, question: Question) -> Turn:
        """Return the question's turn: the one that was begun, or else a new one.

        Raises as ``AnswerChain.prepare`` does.
        """
        begun, self._begun = self._begun, None
        if begun is None or not _is_same(begun.question, question):
            if begun is not None:
                begun.drop()
            return await self._answers.prepare(question)
        turn = await begun.turn
        if begun.reading is not None and not begun.reading.done():
            begun.reading.cancel()  # what the model has read by now it need not read again
            await asyncio.wait([begun.reading])
        turn = begun.ready or turn
        named = replace(turn.question, asked_id=question.asked_id, answer_id=question.answer_id)
        return replace(turn, question=named)

    def _read_ahead(self, begun: _Begun, done: asyncio.Task[Turn]) -> None:
        has_failed = done.cancelled() or done.exception() is not None
        if self._begun is begun and not has_failed:
            begun.reading = asyncio.create_task(self._read(begun, done.result()))

    async def _read(self, begun: _Begun, turn: Turn) -> None:
        try:
            begun.ready = await self._answers.ready(turn)
            await self._answers.read_ahead(begun.ready)
        except XoeError as exc:  # the answer itself will tell
            log.info("prepared.not_read", error=str(exc))


def _is_same(one: Question, other: Question) -> bool:
    """Whether two questions are answered alike and differ in punctuation and case at most."""
    named = replace(one, text=other.text, asked_id=other.asked_id, answer_id=other.answer_id)
    return named == other and _plain(one.text) == _plain(other.text)


def _plain(text: str) -> str:
    return _SAME.sub("", text).lower()
