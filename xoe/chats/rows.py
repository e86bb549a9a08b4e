"""Rows of chats, inside a transaction: what the changes are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Row, and_, delete, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import ThreadLimitError
from xoe.chats.text import ID_MAX_CHARS, NOTE_MAX_CHARS, clean, element_id, extra_json
from xoe.chats.types import Role, StoredMessage
from xoe.chats.words import words_of
from xoe.db import lock, tables
from xoe.db.dialects import Dialect, upsert

THREADS_MAX: Final = 5_000
"""Chats of one owner."""
TRACES_KEPT_S: Final = 30 * 24 * 3600.0
"""How long the ids of what was deleted are known: longer than any history is kept."""

_threads, _messages, _elements = tables.threads, tables.messages, tables.elements


async def number_of(connection: AsyncConnection, owner: str, thread_id: str) -> int | None:
    """Return a chat's number; ``None`` when ``owner`` has none of that id."""
    found = select(_threads.c.number).where(
        _threads.c.owner == clean(owner), _threads.c.id == clean(thread_id)
    )
    number: int | None = (await connection.execute(found)).scalar()
    return number


async def begin(
    connection: AsyncConnection, owner: str, thread_id: str, name: str, at: float
) -> int:
    """Return the chat's number; a new one begins with ``name``. Raises ``ThreadLimitError``."""
    number = await number_of(connection, owner, thread_id)
    if number is not None:
        return number
    if max(len(owner), len(thread_id)) > ID_MAX_CHARS:
        raise ThreadLimitError("This chat's id is too long for it to be kept.")
    await lock(connection, f"threads:{owner}")
    if (number := await number_of(connection, owner, thread_id)) is not None:  # meanwhile
        return number
    counted = select(func.count()).select_from(_threads).where(_threads.c.owner == owner)
    if (await connection.execute(counted)).scalar_one() >= THREADS_MAX:
        raise ThreadLimitError(
            f"You have {THREADS_MAX:,} chats, which is the most that are kept. This one is not; "
            "delete some to keep new ones."
        )
    gone = tables.deleted
    await connection.execute(delete(gone).where(gone.c.owner == owner, gone.c.id == thread_id))
    values = {"name": name, "created_at": at, "used_at": at}
    begun = insert(_threads).values(owner=clean(owner), id=clean(thread_id), **values)
    return int((await connection.execute(begun.returning(_threads.c.number))).scalar_one())


async def find(
    connection: AsyncConnection, thread: int, message_id: str, role: Role
) -> Row[Any, Any] | None:
    """Return a message's ``number`` and ``turn``."""
    found = select(_messages.c.number, _messages.c.turn).where(
        _messages.c.thread == thread, _messages.c.id == message_id, _messages.c.role == role
    )
    return (await connection.execute(found)).first()


async def place_after(connection: AsyncConnection, thread: int, answer_id: str) -> float:
    """Return the turn behind the one of ``answer_id``, or before all where that is unknown."""
    turn = _messages.c.turn
    of_thread = _messages.c.thread == thread
    before = select(turn).where(of_thread, _messages.c.id == answer_id)
    place: float | None = (await connection.execute(before)).scalar()
    if place is None:
        first = (await connection.execute(select(func.min(turn)).where(of_thread))).scalar()
        return 0.0 if first is None else first - 1
    later = select(func.min(turn)).where(of_thread, turn > place)
    following: float | None = (await connection.execute(later)).scalar()
    return place + 1 if following is None else (place + following) / 2


async def put(
    connection: AsyncConnection,
    dialect: Dialect,
    thread: int,
    turn: float,
    message: StoredMessage,
    extra: Mapping[str, Any] | None,
) -> int:
    """Add a message and its words; return its number."""
    content = clean(message.text)
    added = insert(_messages).values(
        thread=thread,
        id=clean(message.id, ID_MAX_CHARS),
        turn=turn,
        role=message.role,
        text=content,
        at=message.at,
        level=message.level,
        note=clean(message.note, NOTE_MAX_CHARS),
        outcome=message.outcome,
        remembered=message.remembered,
        extra=extra_json(extra),
    )
    number = int((await connection.execute(added.returning(_messages.c.number))).scalar_one())
    if dialect == "postgresql":
        await connection.execute(
            text("INSERT INTO thread_words VALUES (:number, to_tsvector('simple', :words))"),
            {"number": number, "words": " ".join(words_of(content))},
        )
    return number


async def put_element(
    connection: AsyncConnection, message: int, kind: str, message_id: str, content: str
) -> None:
    """Add what a message shows beside its text."""
    values = {"message": message, "kind": kind, "content": content}
    await connection.execute(insert(_elements).values(id=element_id(message_id, kind), **values))


async def drop_from(
    connection: AsyncConnection, dialect: Dialect, thread: int, asked_id: str, at: float
) -> bool:
    """Take a question out, and all that came after it; return whether it was there."""
    question = await find(connection, thread, asked_id, "user")
    if question is None:
        return False
    later = _messages.c.turn >= question.turn
    await drop(connection, dialect, thread, later, at=at, but="")
    return True


async def drop(
    connection: AsyncConnection, dialect: Dialect, thread: int, which: Any, *, at: float, but: str
) -> None:
    """Take messages out; the answers among them are remembered as removed, except ``but``."""
    chosen = and_(_messages.c.thread == thread, which)
    answers = select(_messages.c.id).where(chosen, _messages.c.role == "assistant")
    for (answer_id,) in (await connection.execute(answers)).all():
        if answer_id != but:
            noted = upsert(dialect, tables.removed).values(thread=thread, id=answer_id, at=at)
            await connection.execute(noted.on_conflict_do_nothing())
    await connection.execute(delete(_messages).where(chosen))
    old = tables.removed.c.at < at - TRACES_KEPT_S
    await connection.execute(delete(tables.removed).where(tables.removed.c.thread == thread, old))


async def put_upload(connection: AsyncConnection, dialect: Dialect, thread: int, name: str) -> None:
    """Note that a document came in by a chat."""
    noted = upsert(dialect, tables.uploads).values(thread=thread, name=name)
    await connection.execute(noted.on_conflict_do_nothing())


async def is_of_a_chat(connection: AsyncConnection, owner: str, name: str) -> bool:
    """Return whether a document is known to have come in by one of the owner's chats."""
    uploads = tables.uploads
    found = (
        select(uploads.c.name)
        .join(_threads, _threads.c.number == uploads.c.thread)
        .where(_threads.c.owner == owner, uploads.c.name == clean(name))
        .limit(1)
    )
    return (await connection.execute(found)).first() is not None


async def files_of(connection: AsyncConnection, thread: int, message_id: str) -> str | None:
    """Return what is kept of the files that were dropped with a question, as JSON."""
    found = (
        select(_elements.c.content)
        .join(_messages, _messages.c.number == _elements.c.message)
        .where(
            _messages.c.thread == thread,
            _messages.c.id == message_id,
            _elements.c.kind == "files",
        )
    )
    content: str | None = (await connection.execute(found)).scalar()
    return content
