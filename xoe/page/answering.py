"""Asks one question and shows the answer as it comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

import chainlit as cl

from chains.types import (
    INTERRUPTED,
    LIBRARY_OWNER,
    Answer,
    AnswerEvent,
    Citation,
    Done,
    Progress,
    Question,
    Queued,
    Sources,
    Token,
)
from core.errors import EngineNotReadyError, StoppingError
from state.ladder import Level
from xoe.page import elements
from xoe.page.exporting import share_action
from xoe.page.markup import Neutraliser, neutralise, with_citation_links, without_marks
from xoe.page.reading import read_aloud_action
from xoe.page.resumed import place_of

if TYPE_CHECKING:
    from chains.turn import Turn
    from xoe.services import Services

_LOADING = "*The model is still loading. Your question is answered as soon as it is there.*"
_READING = (
    "*Your library is being read for the first time. The answer comes as soon as it is there.*"
)
_UNREAD = "Your library is still being read; more may be found once it is."
STOPPED = "Stopped."
ENDED = "The server was stopped before this answer was whole."
# The page draws the whole message anew for each piece, which takes it some 40 ms.
_STREAM_EVERY_S = 0.1
_ASK_AGAIN = "ask_again"
_REGENERATE = "regenerate"


def new_answer(services: Services, asked_id: str) -> AnswerMessage:
    """Return an empty answer to the message ``asked_id``.

    Where there is a voice it can be read aloud when it is whole.
    """
    return AnswerMessage(asked_id, readable=services.settings.voice)


async def answer(
    services: Services,
    question: Question,
    reply: AnswerMessage,
    *,
    prepared: Turn | None = None,
    on_event: Callable[[AnswerEvent], None] | None = None,
) -> Answer:
    """Stream the answer into ``reply`` and return it.

    Raises ``XoeError`` with a sentence for the asker.

    ``prepared``: the question's turn where it is known already; ``on_event`` is told of each
    event. When the task is cancelled the engine stops, and what was written stays, marked as
    stopped.
    """
    if services.is_stopping:
        raise StoppingError
    try:
        if question.use_library and await _has_nothing_yet(services, question.owner):
            prepared = None
            await reply.note(_READING)
            await _until_something_is_read(services, question.owner)
            await reply.drop_note()
        while True:
            finished = await _stream(services, question, reply, prepared, on_event)
            if finished is not None:
                return finished
            await reply.note(_LOADING)
            await _until_loaded(services)
    except asyncio.CancelledError:
        why = ENDED if services.is_stopping else STOPPED
        await reply.stop(why)
        await services.chats.keep_stopped(question, reply.kept, why)
        raise
    except BaseException:
        await reply.fail()
        raise


async def _stream(
    services: Services,
    question: Question,
    reply: AnswerMessage,
    prepared: Turn | None,
    on_event: Callable[[AnswerEvent], None] | None,
) -> Answer | None:
    """Show one attempt; return ``None`` when the model is not there yet but is on its way."""
    shown: Answer | None = None
    answers = services.answers
    stream = answers.stream(question) if prepared is None else answers.answer(prepared)
    try:
        async with aclosing(stream) as events:
            async for event in events:
                if on_event is not None:  # first, as the voice need not wait for the page
                    on_event(event)
                match event:
                    case Queued(place=place):
                        await reply.queued(place)
                    case Sources(citations=citations):
                        await reply.quote(citations)
                    case Progress():
                        await reply.progress(event)
                    case Token(text=text, citations=()):
                        await reply.write(text)
                    case Token(text=text, citations=citations):
                        await reply.show_checked(text, citations)
                    case Done(answer=finished):
                        shown = finished
                        await reply.finish(
                            finished, question.text, _notes(services, question, finished)
                        )
    except EngineNotReadyError:
        if not _is_loading(services, "model"):
            raise
        return None
    return shown


def _notes(services: Services, question: Question, finished: Answer) -> list[str]:
    """Return what else an answer's reader should know, a line each."""
    notes = []
    if not finished.grounded and question.use_library and _is_loading(services, "library"):
        notes.append(_UNREAD)
    if services.chats.note:
        notes.append(services.chats.note)
    return notes


def _is_loading(services: Services, name: str) -> bool:
    parts = services.readiness().components
    return any(part.name == name and part.state == "loading" for part in parts)


async def _has_nothing_yet(services: Services, owner: str) -> bool:
    """Whether there is no document to answer from, while the library is being read."""
    if not _is_loading(services, "library"):
        return False
    documents = await services.store.documents((LIBRARY_OWNER, owner))
    return not any(document.chunks for document in documents)


async def _until_something_is_read(services: Services, owner: str) -> None:
    change = services.changed.next
    while await _has_nothing_yet(services, owner):
        await change.wait()
        change = services.changed.next


async def _until_loaded(services: Services) -> None:
    while _is_loading(services, "model"):
        await services.changed.next.wait()


async def offer_actions(
    answer_id: str, asked_id: str, question: str, level: str, *, readable: bool
) -> None:
    """Put the buttons under an answer: to have it again, and to have it read aloud."""
    if level != Level.FULL:
        payload = {"question": question, "asked": asked_id}
        again = cl.Action(name=_ASK_AGAIN, payload=payload, label="Ask again", icon="rotate-cw")
    else:
        payload = {"asked": asked_id}
        again = cl.Action(
            name=_REGENERATE, payload=payload, tooltip="Answer again", icon="rotate-cw"
        )
    await again.send(for_id=answer_id)
    if readable:
        await read_aloud_action().send(for_id=answer_id)
    await share_action().send(for_id=answer_id)


class AnswerMessage:
    """The message that holds the quoted sentences and, below them, the answer."""

    def __init__(self, asked_id: str, *, readable: bool = False) -> None:
        """Answer the message ``asked_id``; ``readable``: offer to read the answer aloud."""
        self._asked_id = asked_id
        self._readable = readable
        self._message = cl.Message(content="")
        self._sent = False
        self._noted = False
        self._text = Neutraliser()
        self._unsent = ""
        self._streamed_at = 0.0
        self._card: cl.CustomElement | None = None
        self._written = ""
        self._places: dict[int, str] = {}
        self.remarks: list[str] = []
        """More lines to stand below the answer."""

    @property
    def id(self) -> str:
        """Id of the answer on the page."""
        return self._message.id

    @property
    def kept(self) -> str:
        """What was written so far, as a chat keeps it that was stopped there."""
        return without_marks(self._written) if self._places else self._written

    async def queued(self, place: int) -> None:
        """Say how many questions are ahead; 0 takes the line away."""
        if place > 0:
            await self.note(f"*Place {place} in the queue. The answer starts by itself.*")
        else:
            await self.drop_note()

    async def progress(self, progress: Progress) -> None:
        """Say which part of a whole document is being read."""
        part = f"Reading part {progress.part} of {progress.parts}"
        await self.note(f"*{part} of* {neutralise(progress.document)}")

    async def note(self, line: str) -> None:
        """Show a line where the answer will stand."""
        self._noted = True
        self._message.content = line
        await self._show()

    async def drop_note(self) -> None:
        """Take the line away again."""
        if self._noted:
            self._noted = False
            self._message.content = ""
            await self._show()

    async def quote(self, citations: Sequence[Citation]) -> None:
        """Show the best sentences at once, before the model has written a word."""
        if citations:
            self._put_card(citations, None)
            await self._show()

    async def show_checked(self, piece: str, citations: Sequence[Citation]) -> None:
        """Append what has passed the check; ``citations`` are all that its marks count so far."""
        self._written += piece
        self._put_text(citations)
        self._put_card(citations, None)
        now = time.perf_counter()
        if now - self._streamed_at >= _STREAM_EVERY_S:
            self._streamed_at = now
            await self._stream_whole()

    async def write(self, piece: str) -> None:
        """Append a piece of the answer as the model writes it."""
        await self.drop_note()
        self._written += piece
        self._unsent += self._text.feed(piece)
        now = time.perf_counter()
        if self._unsent and now - self._streamed_at >= _STREAM_EVERY_S:
            self._streamed_at = now
            await self._stream_unsent()

    async def finish(self, answer: Answer, question: str, notes: Sequence[str]) -> None:
        """Show the finished answer, which begins with what was streamed, and below it ``notes``.

        An answer for which a part of the system was missing can be asked for again.
        """
        outcome = answer.outcome or ""
        self._written = answer.text
        self._put_text(answer.citations)
        lines = [f"*{line}*" for line in (answer.note, *notes, *self.remarks) if line]
        self._message.content = "\n\n".join([self._message.content, *lines])
        if answer.citations:
            self._put_card(answer.citations, outcome)
        elif self._card is not None:
            self._card.props = {**self._card.props, **elements.outcome_props(outcome)}
        await self._show()
        await offer_actions(
            self.id, self._asked_id, question, answer.level, readable=self._readable
        )

    async def stop(self, why: str = STOPPED) -> None:
        """Keep what was written and say that it ends there: ``why``, in one sentence."""
        written = with_citation_links(neutralise(self._written), self._places)
        self._noted = False
        stopped = f"*{why}*"
        self._message.content = f"{written}\n\n{stopped}" if written.strip() else stopped
        self._end_card()
        await self._show()

    async def fail(self) -> None:
        """Take away what is said of an answer that does not come."""
        self._end_card()
        await self.drop_note()

    async def cut(self, heard: str) -> None:
        """Keep only what was heard of a spoken answer, and show where it was interrupted."""
        self._noted = False
        self._message.content = f"{neutralise(heard).rstrip()} …\n\n*{INTERRUPTED}*"
        self._end_card()
        await self._show()

    async def remove(self) -> None:
        """Take the answer off the page."""
        if self._sent:
            await self._message.remove()

    def _put_card(self, citations: Sequence[Citation], outcome: str | None) -> None:
        props = elements.sources_props(citations, outcome, self._written)
        if self._card is None:
            self._card = elements.sources(props)
            self._message.elements = [self._card]  # type: ignore[list-item] # its list is generic
        self._card.props = props

    def _put_text(self, citations: Sequence[Citation]) -> None:
        self._noted = False
        self._places = {citation.number: place_of(citation) for citation in citations}
        self._message.content = with_citation_links(neutralise(self._written), self._places)

    def _end_card(self) -> None:
        """Say of the card no more that an answer is being written."""
        if self._card is not None:
            self._card.props = {**self._card.props, **elements.outcome_props(elements.ENDED)}

    async def _stream_unsent(self) -> None:
        unsent, self._unsent = self._unsent, ""
        self._sent = True
        await self._message.stream_token(unsent)

    async def _stream_whole(self) -> None:
        """Show the text so far in the place of what is there, and its sources."""
        self._sent = True
        # The page puts its cursor behind what is streamed; a link's definition must end before it.
        await self._message.stream_token(f"{self._message.content}\n\n", is_sequence=True)
        if self._card is not None:
            await self._card.send(for_id=self.id)

    async def _show(self) -> None:
        if self._sent:
            await self._message.update()
        else:
            self._sent = True
            await self._message.send()
