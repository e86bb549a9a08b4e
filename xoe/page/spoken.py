"""Spoken turns in the chat: one conversation with the typed ones."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import chainlit as cl
import structlog

from chains.spoken import SpokenAnswer
from chains.types import AnswerEvent, Done
from xoe.errors import XoeError
from xoe.page import conversation
from xoe.page.answering import Reply, answer, new_reply

if TYPE_CHECKING:
    from chains.answer import Turn
    from chains.types import Question
    from xoe.page.session import Chat
    from xoe.services import Services

log = structlog.get_logger(__name__)

MAX_TOKENS = 96
"""Of a spoken answer: about twenty seconds."""

_SAME = re.compile(r"[\W_]+")


@dataclass
class _Prepared:
    """An answer that was begun before the turn was over."""

    text: str
    turn: asyncio.Task[Turn]
    reading: asyncio.Task[None] | None = None
    """The model reads the prompt."""

    def drop(self) -> None:
        self.turn.cancel()
        if self.reading is not None:
            self.reading.cancel()


@dataclass
class _Current:
    """The turn that is being answered, or was last."""

    asked: cl.Message
    reply: Reply
    task: asyncio.Task[None]
    turn: Turn | None = None
    remembered: bool = False


class SpokenConversation:
    """Answers the turns of one call, on the page and by voice."""

    def __init__(self, services: Services, chat: Chat) -> None:
        """``chat`` is the page's own: its settings hold, and Stop stops what runs here."""
        self._services = services
        self._chat = chat
        self._prepared: _Prepared | None = None
        self._current: _Current | None = None
        self._times: tuple[float | None, float | None] = (None, None)

    def prepare(self, text: str) -> None:
        """Retrieve, and let the model read, for what may become a turn."""
        if self._prepared is not None and _is_same(self._prepared.text, text):
            return
        self.drop_prepared()
        turn = asyncio.create_task(self._services.answers.prepare(self._question(text)))
        prepared = self._prepared = _Prepared(text, turn)
        turn.add_done_callback(lambda done: self._read_ahead(prepared, done))

    def drop_prepared(self) -> None:
        """Forget what was prepared."""
        if self._prepared is not None:
            self._prepared.drop()
            self._prepared = None

    async def answer(self, text: str) -> AsyncGenerator[str, None]:
        """Show the turn and its answer, and yield what is to be said."""
        said: asyncio.Queue[str | None] = asyncio.Queue()  # bounded by the answer's length
        asked = cl.Message(content=text, type="user_message", author="User")
        await asked.send()
        reply = new_reply(self._services)
        task = asyncio.create_task(self._answer(text, asked, reply, said))
        self._current = _Current(asked, reply, task)
        while (piece := await said.get()) is not None:
            yield piece

    async def cut(self, heard: str) -> None:
        """Stop the answer; the page and the history keep ``heard``."""
        current = self._current
        if current is None:
            return
        await _stop(current.task)
        await current.reply.cut(heard)
        if current.turn is not None:
            await self._services.answers.cut_short(
                current.turn, heard.strip(), remembered=current.remembered
            )
            self._chat.remember(current.asked.id)

    async def take_back(self) -> None:
        """Stop the answer and remove the turn."""
        current, self._current = self._current, None
        if current is None:
            return
        await _stop(current.task)
        await current.reply.remove()
        await current.asked.remove()
        if current.remembered and current.turn is not None:
            await self._services.answers.take_back(current.turn)

    def answer_times(self) -> tuple[float | None, float | None]:
        """Return the milliseconds of the last answer's retrieval and first token."""
        return self._times

    def _question(self, text: str) -> Question:
        question = conversation.question_of(self._services, self._chat, text)
        limit = min(MAX_TOKENS, question.max_tokens or MAX_TOKENS)
        return replace(question, spoken=True, max_tokens=limit)

    def _read_ahead(self, prepared: _Prepared, done: asyncio.Task[Turn]) -> None:
        if self._prepared is prepared and not done.cancelled() and done.exception() is None:
            prepared.reading = asyncio.create_task(self._read(done.result()))

    async def _read(self, turn: Turn) -> None:
        try:
            await self._services.answers.read_ahead(turn)
        except XoeError as exc:  # the answer itself will tell
            log.info("call.read_ahead_failed", error=str(exc))

    async def _turn(self, text: str) -> Turn:
        """Return the prepared turn where it is this one's, else prepare it now."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            if _is_same(prepared.text, text):
                turn = await prepared.turn
                if prepared.reading is not None:
                    await _stop(prepared.reading)
                return turn
            prepared.drop()
        return await self._services.answers.prepare(self._question(text))

    async def _answer(
        self, text: str, asked: cl.Message, reply: Reply, said: asyncio.Queue[str | None]
    ) -> None:
        try:
            with self._chat.busy():
                await cl.context.emitter.task_start()
                await self._answer_aloud(text, reply, said)
                self._chat.remember(asked.id)
        except XoeError as exc:
            log.info("call.not_answered", error=type(exc).__name__)
            said.put_nowait(f"{exc}\n")
            await conversation.complain(str(exc))
        finally:
            said.put_nowait(None)
            await cl.context.emitter.task_end()

    async def _answer_aloud(self, text: str, reply: Reply, said: asyncio.Queue[str | None]) -> None:
        turn = await self._turn(text)
        current = self._current
        spoken = SpokenAnswer(turn.passages, turn.question.text, grounds=turn.grounds)

        def on_event(event: AnswerEvent) -> None:
            piece = spoken.feed(event)
            if piece:
                said.put_nowait(piece)
            if isinstance(event, Done):
                timings = event.answer.timings
                self._times = (timings.retrieval, timings.first_token)
                if current is not None:
                    current.remembered = True

        if current is not None:
            current.turn = turn
        self._times = (turn.timings.retrieval, None)
        await answer(self._services, turn.question, reply, prepared=turn, on_event=on_event)


async def _stop(task: asyncio.Task[None]) -> None:
    if not task.done():
        task.cancel()
        await asyncio.wait([task])


def _is_same(one: str, other: str) -> bool:
    """Whether two transcripts differ in punctuation and case at most."""
    return _SAME.sub("", one).lower() == _SAME.sub("", other).lower()
