"""Chats in the database. Every query says whose they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Row, Select, and_, delete, func, or_, select, text, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from xoe.chats.changes import Change
from xoe.chats.remarks import Judge, TakeBackJudgement
from xoe.chats.rows import number_of
from xoe.chats.text import citations_of, clean, element_id, files_of, loaded
from xoe.chats.types import (
    KeptTurn,
    Standing,
    StoredFeedback,
    StoredMessage,
    StoredThread,
    ThreadPage,
    ThreadSummary,
)
from xoe.chats.words import excerpt, postgresql_expression, sqlite_expression, wanted_words
from xoe.db import Database, tables
from xoe.db.unfinished import Unfinished, is_noted, strike

MESSAGES_MAX: Final = 10_000
"""Of one chat, read at a time."""
PAGE_MAX: Final = 50
"""Chats of one page of the list."""

_threads, _messages = tables.threads, tables.messages
_elements, _feedback = tables.elements, tables.feedback
# A question and its answer are of the same turn, and "user" comes after "assistant".
_NEWEST_FIRST = (_messages.c.turn.desc(), _messages.c.role.asc())


class Threads:
    """Reads and writes chats. What goes wrong in the database raises ``StoreError``."""

    def __init__(self, db: Database) -> None:
        """Keep the chats in ``db``."""
        self.db = db

    async def apply(self, change: Change | Judge | TakeBackJudgement) -> bool:
        """Carry out a change; return whether there was anything to carry it out on."""
        async with self.db.write() as connection:
            return await change.apply(connection, self.db.dialect)

    async def get(
        self, owner: str, thread_id: str, last: int = MESSAGES_MAX
    ) -> StoredThread | None:
        """Return a chat with its ``last`` messages; ``None`` when ``owner`` has none of that id."""
        async with self.db.read() as connection:
            thread = await _thread(connection, owner, thread_id)
            if thread is None:
                return None
            found = select(_messages).where(_messages.c.thread == thread.number)
            limited = found.order_by(*_NEWEST_FIRST).limit(min(last, MESSAGES_MAX))
            rows = (await connection.execute(limited)).all()[::-1]
            messages = await _with_elements(connection, rows)
        return _stored(thread, messages)

    async def get_element(
        self, owner: str, thread_id: str, element: str
    ) -> tuple[StoredMessage, str] | None:
        """Return the message that shows an element, and the element's kind."""
        thread = await self.get(owner, thread_id)
        for message in thread.messages if thread else ():
            for kind in ("citations", "nearest", "files"):
                if getattr(message, kind) and element_id(message.id, kind) == element:
                    return message, kind
        return None

    async def page(
        self,
        owner: str,
        *,
        limit: int,
        after: str | None = None,
        search: str = "",
        good: bool | None = None,
    ) -> ThreadPage:
        """Return a piece of the list of ``owner``'s chats, the one used last first.

        ``after``: where the piece before ended; ``search``: chats in whose messages or name all
        these words begin a word; ``good``: chats with an answer that was thought well of, or not.
        """
        words = wanted_words(search)
        if search.strip() and not words:
            return ThreadPage((), None)
        limit = max(1, min(limit, PAGE_MAX))
        chosen = select(_threads).where(_threads.c.owner == owner)
        if words:
            chosen = chosen.where(or_(_named(search), self._saying(words)))
        if good is not None:
            judged = select(_messages.c.thread).join(_feedback).where(_feedback.c.good == good)
            chosen = chosen.where(_threads.c.number.in_(judged))
        async with self.db.read() as connection:
            begin = await _thread(connection, owner, after) if after else None
            if begin is not None:
                order = tuple_(_threads.c.used_at, _threads.c.number)
                chosen = chosen.where(order < tuple_(begin.used_at, begin.number))
            ordered = chosen.order_by(_threads.c.used_at.desc(), _threads.c.number.desc())
            rows = (await connection.execute(ordered.limit(limit + 1))).all()
            shown = rows[:limit]
            said = await self._excerpts(connection, [row.number for row in shown], words)
        summaries = tuple(
            ThreadSummary(row.id, row.name, row.used_at, said.get(row.number, "")) for row in shown
        )
        return ThreadPage(summaries, shown[-1].id if len(rows) > limit else None)

    async def standing(
        self, owner: str, thread_id: str, answers: Sequence[str], last: int
    ) -> Standing:
        """Return how a chat stands: its ``last`` turns, and which of ``answers`` it knows."""
        async with self.db.read() as connection:
            thread = await number_of(connection, owner, thread_id)
            if thread is None:
                gone = tables.deleted
                found = select(gone.c.id).where(
                    gone.c.owner == owner, gone.c.id == clean(thread_id)
                )
                is_gone = (await connection.execute(found)).first() is not None
                return Standing("deleted" if is_gone else "absent")
            here = select(_messages.c.id).where(
                _messages.c.thread == thread, _messages.c.id.in_(answers)
            )
            taken_out = tables.removed
            out = select(taken_out.c.id).where(
                taken_out.c.thread == thread, taken_out.c.id.in_(answers)
            )
            known: Collection[str] = (await connection.execute(here.union(out))).scalars().all()
            if await is_noted(
                connection, "history", owner, thread=clean(thread_id)
            ) or await is_noted(connection, "histories", owner):
                known = answers  # Redis still has what a deleted chat of that id said
            latest = (
                select(_messages)
                .where(_messages.c.thread == thread, _messages.c.remembered)
                .order_by(*_NEWEST_FIRST)
                .limit(2 * last)
            )
            rows = (await connection.execute(latest)).all()[::-1]
        return Standing("kept", _turns(rows), frozenset(known))

    async def resting_owners(self, prefix: str, before: float) -> list[str]:
        """Return the owners whose names begin with ``prefix`` and who said nothing since."""
        last = func.max(_threads.c.used_at)
        found = (
            select(_threads.c.owner)
            .where(_threads.c.owner.startswith(prefix, autoescape=True))
            .group_by(_threads.c.owner)
            .having(last < before)
        )
        async with self.db.read() as connection:
            return list((await connection.execute(found)).scalars())

    async def count(self, owner: str) -> int:
        """Return how many chats ``owner`` has."""
        found = select(func.count()).select_from(_threads).where(_threads.c.owner == owner)
        async with self.db.read() as connection:
            return int((await connection.execute(found)).scalar_one())

    async def give(self, owner: str, heir: str, *, without: Collection[str] = ()) -> int:
        """Make all chats of ``owner`` those of ``heir``; return how many there were.

        ``without``: names of documents that do not go along; the chats no longer count them as
        theirs. A chat whose id ``heir`` has already stays. The transfer is struck: this ends it.
        """
        known = select(_threads.c.id).where(_threads.c.owner == heir)
        given = and_(_threads.c.owner == owner, _threads.c.id.not_in(known))
        uploads, numbers = tables.uploads, select(_threads.c.number).where(given)
        async with self.db.write() as connection:
            for name in without:
                theirs = uploads.c.thread.in_(numbers), uploads.c.name == clean(name)
                await connection.execute(delete(uploads).where(*theirs))
            moved = await connection.execute(update(_threads).where(given).values(owner=heir))
            await strike(connection, Unfinished("transfer", owner, name=heir))
        return moved.rowcount

    def _saying(self, words: list[str]) -> Any:
        """Return the condition that a chat has a message with all ``words``."""
        return _threads.c.number.in_(
            select(_messages.c.thread).where(_messages.c.number.in_(self._matches(words)))
        )

    def _matches(self, words: list[str]) -> Any:
        if self.db.dialect == "sqlite":
            matches = text("SELECT rowid FROM thread_words WHERE thread_words MATCH :words")
            matches = matches.bindparams(words=sqlite_expression(words))
        else:
            matches = text(
                "SELECT message FROM thread_words WHERE words @@ to_tsquery('simple', :words)"
            ).bindparams(words=postgresql_expression(words))
        return matches

    async def _excerpts(
        self, connection: AsyncConnection, threads: list[int], words: list[str]
    ) -> dict[int, str]:
        """Return for each chat the words round the place found last in it."""
        if not words or not threads:
            return {}
        newest: Select[Any] = (
            select(func.max(_messages.c.number))
            .where(_messages.c.thread.in_(threads), _messages.c.number.in_(self._matches(words)))
            .group_by(_messages.c.thread)
        )
        found = select(_messages.c.thread, _messages.c.text).where(_messages.c.number.in_(newest))
        rows = (await connection.execute(found)).all()
        return {row.thread: excerpt(row.text, words) for row in rows}


def _named(search: str) -> Any:
    wanted = clean(" ".join(search.split()).lower(), 200)
    return func.lower(_threads.c.name).contains(wanted, autoescape=True)


async def _thread(connection: AsyncConnection, owner: str, thread_id: str) -> Row[Any, Any] | None:
    # Cleaned, as PostgreSQL refuses some characters even in a question.
    wanted = clean(thread_id)
    found = select(_threads).where(_threads.c.owner == owner, _threads.c.id == wanted)
    return (await connection.execute(found)).first()


async def _with_elements(
    connection: AsyncConnection, rows: Sequence[Row[Any, Any]]
) -> tuple[StoredMessage, ...]:
    if not rows:
        return ()
    # By their span and not one by one: a database takes only so many values in a statement.
    thread = rows[0].thread
    lowest, highest = min(row.turn for row in rows), max(row.turn for row in rows)
    inside = (_messages.c.thread == thread) & _messages.c.turn.between(lowest, highest)
    shown: dict[int, dict[str, str]] = {}
    found = select(_elements.c.message, _elements.c.kind, _elements.c.content).join(
        _messages, _messages.c.number == _elements.c.message
    )
    for message, kind, content in (await connection.execute(found.where(inside))).all():
        shown.setdefault(message, {})[kind] = content
    judged = select(_feedback).join(_messages, _messages.c.number == _feedback.c.message)
    thoughts = {row.message: row for row in (await connection.execute(judged.where(inside))).all()}
    return tuple(_message(row, shown.get(row.number, {}), thoughts.get(row.number)) for row in rows)


def _message(
    row: Row[Any, Any], shown: Mapping[str, str], thought: Row[Any, Any] | None
) -> StoredMessage:
    return StoredMessage(
        id=row.id,
        role=row.role,
        text=row.text,
        at=row.at,
        level=row.level,
        note=row.note,
        outcome=row.outcome,
        citations=citations_of(shown.get("citations")),
        nearest=citations_of(shown.get("nearest")),
        files=files_of(shown.get("files")),
        feedback=thought and StoredFeedback(thought.id, thought.good, thought.reason),
        remembered=row.remembered,
    )


def _stored(row: Row[Any, Any], messages: tuple[StoredMessage, ...]) -> StoredThread:
    options = loaded(row.options)
    return StoredThread(
        id=row.id,
        owner=row.owner,
        name=row.name,
        created_at=row.created_at,
        messages=messages,
        profile=row.profile,
        options=options if isinstance(options, dict) else {},
    )


def _turns(rows: Sequence[Row[Any, Any]]) -> tuple[KeptTurn, ...]:
    answers = {row.turn: row for row in rows if row.role == "assistant"}
    return tuple(
        KeptTurn(
            asked_id=row.id,
            answer_id=answer.id,
            question=row.text,
            answer=answer.text,
            asked_at=row.at,
            answered_at=answer.at,
            asked_extra=loaded(row.extra),
            answer_extra=loaded(answer.extra),
        )
        for row in rows
        if row.role == "user" and (answer := answers.get(row.turn)) is not None
    )
