"""What can happen to a chat's turns. Each change is one transaction, and the same when repeated.

A change that comes late, because the database was away, finds what has happened meanwhile: an
answer to a question that is gone is not kept, and nothing comes back into a deleted chat except a
new question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import and_, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from xoe.chats import rows
from xoe.chats.text import citations_json, clean, extra_json, files_json, name_of
from xoe.chats.types import KeptTurn, StoredFile, StoredMessage
from xoe.db import tables
from xoe.db.dialects import Dialect
from xoe.db.unfinished import Unfinished, note, strike

RECOVERED: Final = "Recovered after a failure; its sources could not be."
TURNS_MAX: Final = 2_000
"""Of one chat; past it the oldest give way."""

_threads, _messages, _elements = tables.threads, tables.messages, tables.elements


@dataclass(frozen=True)
class Change:
    """Something that happens to one chat."""

    owner: str
    thread_id: str

    @property
    def size(self) -> int:
        """About how many characters it keeps in memory while it waits."""
        return 500

    async def apply(self, connection: AsyncConnection, dialect: Dialect) -> bool:
        """Carry it out; return whether there was anything to carry it out on."""
        raise NotImplementedError

    async def _thread(self, connection: AsyncConnection) -> int | None:
        return await rows.number_of(connection, self.owner, self.thread_id)


@dataclass(frozen=True)
class Ask(Change):
    """A question: begins the chat where it is new. Asked anew, it takes the place of itself.

    What came after its first wording is gone then. Raises ``ThreadLimitError``.
    """

    question: StoredMessage
    profile: str = ""
    options: str = "{}"
    """The settings panel's values as JSON."""

    @property
    def size(self) -> int:
        """About how many characters it keeps in memory."""
        return 500 + len(self.question.text)

    async def apply(self, connection: AsyncConnection, dialect: Dialect) -> bool:
        """Carry it out; return whether there was anything to carry it out on."""
        question = self.question
        names = [file.name for file in question.files]
        name = name_of(question.text) or name_of(", ".join(names)) or "Untitled"
        thread = await rows.begin(connection, self.owner, self.thread_id, name, question.at)
        await connection.execute(
            update(_threads)
            .where(_threads.c.number == thread)
            .values(used_at=question.at, profile=self.profile, options=self.options)
        )
        files = await rows.files_of(connection, thread, question.id)
        await rows.drop_from(connection, dialect, thread, question.id, question.at)
        last = (
            await connection.execute(
                select(func.max(_messages.c.turn)).where(_messages.c.thread == thread)
            )
        ).scalar()
        turn = 0.0 if last is None else float(int(last) + 1)
        number = await rows.put(connection, dialect, thread, turn, question, None)
        for file in names:
            await self._claim(connection, dialect, thread, clean(file))
        if question.files:
            files = files_json(question.files)
        if files is not None:
            await rows.put_element(connection, number, "files", question.id, files)
        await connection.execute(
            delete(_messages).where(
                _messages.c.thread == thread, _messages.c.turn <= turn - TURNS_MAX
            )
        )
        return True

    async def _claim(
        self, connection: AsyncConnection, dialect: Dialect, thread: int, name: str
    ) -> None:
        """Note that a file is about to be read, and keep the document that it was already.

        That one was to go with a chat that is deleted, and belongs to this one now.
        """
        await note(connection, Unfinished("upload", self.owner, self.thread_id, name))
        if await strike(connection, Unfinished("document", self.owner, name=name)):
            await rows.put_upload(connection, dialect, thread, name)


@dataclass(frozen=True)
class Keep(Change):
    """The answer to a question; takes the place of the one that is there."""

    asked_id: str
    answer: StoredMessage
    asked_extra: Mapping[str, Any] | None = None
    answer_extra: Mapping[str, Any] | None = None

    @property
    def size(self) -> int:
        """About how many characters it keeps in memory."""
        cited = (*self.answer.citations, *self.answer.nearest)
        return 8_000 + len(self.answer.text) + sum(len(c.passage) + len(c.quote) for c in cited)

    async def apply(self, connection: AsyncConnection, dialect: Dialect) -> bool:
        """Carry it out; return whether there was anything to carry it out on."""
        thread = await self._thread(connection)
        question = thread and await rows.find(connection, thread, self.asked_id, "user")
        if not thread or not question:
            return False
        answer = self.answer
        await rows.drop(
            connection,
            dialect,
            thread,
            and_(_messages.c.turn == question.turn, _messages.c.role == "assistant"),
            at=answer.at,
            but=answer.id,
        )
        await connection.execute(
            update(_messages)
            .where(_messages.c.number == question.number)
            .values(remembered=answer.remembered, extra=extra_json(self.asked_extra))
        )
        number = await rows.put(
            connection, dialect, thread, question.turn, answer, self.answer_extra
        )
        for kind, cited in (("citations", answer.citations), ("nearest", answer.nearest)):
            if cited:
                await rows.put_element(connection, number, kind, answer.id, citations_json(cited))
        await connection.execute(
            update(_threads).where(_threads.c.number == thread).values(used_at=answer.at)
        )
        return True


@dataclass(frozen=True)
class Found(Change):
    """A turn that only the chat's history has: it goes behind the turn ``after``, once."""

    turn: KeptTurn
    after: str
    """Id of the answer before it; empty where it is the first."""

    @property
    def size(self) -> int:
        """About how many characters it keeps in memory."""
        return 8_000 + len(self.turn.question) + len(self.turn.answer)

    async def apply(self, connection: AsyncConnection, dialect: Dialect) -> bool:
        """Carry it out; return whether there was anything to carry it out on."""
        found = self.turn
        thread = await rows.begin(
            connection,
            self.owner,
            self.thread_id,
            name_of(found.question) or "Untitled",
            found.asked_at,
        )
        if await rows.find(connection, thread, found.answer_id, "assistant"):
            return False
        question = await rows.find(connection, thread, found.asked_id, "user")
        if question is None:
            place = await rows.place_after(connection, thread, self.after)
            asked = StoredMessage(
                found.asked_id, "user", found.question, found.asked_at, remembered=True
            )
            await rows.put(connection, dialect, thread, place, asked, found.asked_extra)
        else:  # the question was written down before its answer was lost
            place = question.turn
            answered = and_(_messages.c.turn == place, _messages.c.role == "assistant")
            await rows.drop(connection, dialect, thread, answered, at=found.answered_at, but="")
            await connection.execute(
                update(_messages)
                .where(_messages.c.number == question.number)
                .values(remembered=True, extra=extra_json(found.asked_extra))
            )
        answer = StoredMessage(
            found.answer_id,
            "assistant",
            found.answer,
            found.answered_at,
            note=RECOVERED,
            remembered=True,
        )
        await rows.put(connection, dialect, thread, place, answer, found.answer_extra)
        return True


@dataclass(frozen=True)
class Drop(Change):
    """A question is taken back, with all that came after it."""

    asked_id: str
    at: float

    async def apply(self, connection: AsyncConnection, dialect: Dialect) -> bool:
        """Carry it out; return whether there was anything to carry it out on."""
        thread = await self._thread(connection)
        if thread is None:
            return False
        return await rows.drop_from(connection, dialect, thread, self.asked_id, self.at)


@dataclass(frozen=True)
class Forget(Change):
    """The model is told no more of what was said so far; the reader still sees it."""

    async def apply(self, connection: AsyncConnection, dialect: Dialect) -> bool:
        """Carry it out; return whether there was anything to carry it out on."""
        thread = await self._thread(connection)
        if thread is None:
            return False
        await connection.execute(
            update(_messages)
            .where(_messages.c.thread == thread)
            .values(remembered=False, extra=None)
        )
        return True


@dataclass(frozen=True)
class Files(Change):
    """What came of the files that were dropped with a question."""

    asked_id: str
    files: tuple[StoredFile, ...]

    @property
    def size(self) -> int:
        """About how many characters it keeps in memory."""
        return 500 + 300 * len(self.files)

    async def apply(self, connection: AsyncConnection, dialect: Dialect) -> bool:
        """Carry it out; return whether there was anything to carry it out on."""
        thread = await self._thread(connection)
        for file in self.files:
            await self._read(connection, dialect, thread, file)
        question = thread and await rows.find(connection, thread, self.asked_id, "user")
        if not thread or not question:
            return False
        await connection.execute(
            delete(_elements).where(
                _elements.c.message == question.number, _elements.c.kind == "files"
            )
        )
        content = files_json(self.files)
        await rows.put_element(connection, question.number, "files", self.asked_id, content)
        return True

    async def _read(
        self, connection: AsyncConnection, dialect: Dialect, thread: int | None, file: StoredFile
    ) -> None:
        """Note that a document came by this chat; it is to go where the chat has gone meanwhile."""
        name = clean(file.name)
        reading = Unfinished("upload", self.owner, self.thread_id, name)
        goes = Unfinished("document", self.owner, name=name)
        was_kept = await strike(connection, reading)
        is_of_a_chat = await rows.is_of_a_chat(connection, self.owner, name)
        if thread is None:
            if was_kept and file.state == "ready" and not is_of_a_chat:
                await note(connection, goes)
        elif file.state in ("ready", "unchanged"):
            was_of_a_chat = await strike(connection, goes)
            if file.state == "ready" or is_of_a_chat or was_of_a_chat:
                await rows.put_upload(connection, dialect, thread, name)
