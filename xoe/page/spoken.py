"""Spoken turns in the chat: one conversation with the typed ones."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import chainlit as cl
import structlog

from chains.prepared import PreparedTurn
from chains.spoken import SpokenAnswer
from chains.types import AnswerEvent, Done
from core.errors import XoeError
from xoe.page import conversation, session
from xoe.page.answering import AnswerMessage, answer, new_answer

if TYPE_CHECKING:
    from chains.turn import Turn
    from chains.types import Question
    from voice.ports import TurnStages
    from xoe.page.session import Chat
    from xoe.services import Services

log = structlog.get_logger(__name__)

MAX_TOKENS = 96
"""Of a spoken answer: about twenty seconds."""

_UNEXPECTED = (
    "Something unexpected went wrong, so your question was not answered. Please ask it again; the "
    "server's log says what happened."
)


@dataclass
class _Current:
    """The turn that is being answered, or was last; its task shows it, answers it and keeps it."""

    asked: cl.Message
    reply: AnswerMessage
    task: asyncio.Task[None] | None = None
    keeping: asyncio.Task[list[str]] | None = None
    turn: Turn | None = None
    remembered: bool = False
    ended_at: float = 0.0
    """When the speech ended, on ``time.perf_counter``'s clock."""
    scope: contextvars.Context | None = None
    """Where the turn is traced."""


class SpokenConversation:
    """Answers the turns of one call, on the page and by voice."""

    def __init__(self, services: Services, chat: Chat) -> None:
        """``chat`` is the page's own: its settings hold, and Stop stops what runs here."""
        self._services = services
        self._chat = chat
        self._tracer = services.tracer
        self._prepared = PreparedTurn(services.answers)
        self._current: _Current | None = None
        self._times: tuple[float | None, float | None] = (None, None)

    def prepare(self, text: str) -> None:
        """Retrieve, and let the model read, for what may become a turn."""
        self._prepared.begin(self._question(text))

    def drop_prepared(self) -> None:
        """Forget what was prepared."""
        self._prepared.drop()

    async def answer(self, text: str, stages: TurnStages) -> AsyncGenerator[str, None]:
        """Show the turn and its answer, and yield what is to be said."""
        said: asyncio.Queue[str | None] = asyncio.Queue()  # bounded by the answer's length
        asked = cl.Message(content=text, type="user_message", author="User")
        current = self._current = _Current(asked, new_answer(self._services, asked.id))
        heard_ms = (stages.endpoint or 0.0) + (stages.stt or 0.0)
        current.ended_at = time.perf_counter() - heard_ms / 1000
        current.task = asyncio.create_task(self._answer(text, current, said, stages))
        while (piece := await said.get()) is not None:
            yield piece

    def sounded(self, first_audio_ms: float) -> None:
        """Trace when the answer's first sound was sent."""
        current = self._current
        if current is not None and current.scope is not None:
            end = current.ended_at + first_audio_ms / 1000
            current.scope.run(self._tracer.record, "first_audio", current.ended_at, end)

    async def cut(self, heard: str) -> None:
        """Stop the answer; the page and the history keep ``heard``."""
        current = self._current
        if current is None:
            return
        await _stop(current.task)
        await current.reply.cut(heard)
        if current.turn is None or self._was_followed(current):
            return
        await self._services.answers.cut_short(
            current.turn, heard.strip(), remembered=current.remembered
        )
        self._remember(current)

    async def take_back(self) -> None:
        """Stop the answer and remove the turn."""
        current, self._current = self._current, None
        if current is None:
            return
        await _stop(current.task)
        await current.reply.remove()
        await current.asked.remove()
        if current.turn is None or self._was_followed(current):
            return
        self._chat.forget_from(current.asked.id)
        owner, thread_id = session.owner(), session.session_id()
        await self._services.chats.take_back(owner, thread_id, current.asked.id)
        if current.remembered:
            await self._services.answers.take_back(current.turn)

    def _was_followed(self, current: _Current) -> bool:
        """Whether the history's last turn is a later one, which was typed: then all stays."""
        answered = self._chat.answered
        return current.remembered and current.asked.id in answered[:-1]

    def _remember(self, current: _Current) -> None:
        if current.asked.id not in self._chat.answered:
            self._chat.remember(current.asked.id)

    def answer_times(self) -> tuple[float | None, float | None]:
        """Return the milliseconds of the last answer's retrieval and first token."""
        return self._times

    def _question(self, text: str) -> Question:
        question = conversation.question_of(self._services, self._chat, text)
        limit = min(MAX_TOKENS, question.max_tokens or MAX_TOKENS)
        return replace(question, kind="spoken", max_tokens=limit)

    async def _answer(
        self, text: str, current: _Current, said: asyncio.Queue[str | None], stages: TurnStages
    ) -> None:
        session_id = session.session_id()
        with self._tracer.turn("spoken", session=session_id, started=current.ended_at):
            current.scope = contextvars.copy_context()
            heard_at = current.ended_at + (stages.endpoint or 0.0) / 1000
            self._tracer.record("endpoint", current.ended_at, heard_at)
            self._tracer.record("stt", heard_at, heard_at + (stages.stt or 0.0) / 1000)
            await self._answer_traced(text, current, said)

    async def _answer_traced(
        self, text: str, current: _Current, said: asyncio.Queue[str | None]
    ) -> None:
        try:
            await current.asked.send()
            # Not awaited, as it is brought to the database before the answer in any case.
            kept = conversation.keep_question(self._services, self._chat, current.asked.id, text)
            current.keeping = asyncio.create_task(kept)
            with self._chat.busy():
                await cl.context.emitter.task_start()
                await self._answer_aloud(text, current, said)
        except XoeError as exc:
            log.info("call.not_answered", error=type(exc).__name__)
            await self._fail(str(exc), said)
        except Exception:
            log.exception("call.not_answered")
            await self._fail(_UNEXPECTED, said)
        finally:
            said.put_nowait(None)
            await cl.context.emitter.task_end()

    async def _fail(self, sentence: str, said: asyncio.Queue[str | None]) -> None:
        said.put_nowait(f"{sentence}\n")
        await conversation.complain(sentence)

    async def _answer_aloud(
        self, text: str, current: _Current, said: asyncio.Queue[str | None]
    ) -> None:
        with self._services.admission.question(session.identity(), session.share()):
            await self._answer_admitted(text, current, said)

    async def _answer_admitted(
        self, text: str, current: _Current, said: asyncio.Queue[str | None]
    ) -> None:
        asked_id, answer_id = current.asked.id, current.reply.id
        question = replace(self._question(text), asked_id=asked_id, answer_id=answer_id)
        turn = current.turn = await self._prepared.take(question)
        quotable = turn.passages if turn.settled is None and not turn.is_refused else ()
        spoken = SpokenAnswer(
            quotable,
            turn.in_full,
            grounds=turn.grounds,
            library_lost=turn.library_lost,
            language=turn.language,
        )

        def on_event(event: AnswerEvent) -> None:
            piece = spoken.feed(event)
            if piece:
                said.put_nowait(piece)
            if isinstance(event, Done):
                timings = event.answer.timings
                self._times = (timings.retrieval, timings.first_token)
                current.remembered = True
                self._remember(current)

        self._times = (turn.timings.retrieval, None)
        await answer(self._services, turn.question, current.reply, prepared=turn, on_event=on_event)


async def _stop(task: asyncio.Task[None] | None) -> None:
    if task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task])
