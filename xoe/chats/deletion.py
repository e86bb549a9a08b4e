"""Deleting chats for good: of their text nothing stays in the database's file.

SQLite writes zeros over what is deleted (``secure_delete``). Its full-text index only marks a
deleted row at first, so its pieces are merged in the same transaction, which drops those rows;
and the log beside the database is emptied afterwards. On PostgreSQL the rows are out of every
query's reach at once, and their space is written over when it vacuums.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, exists, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from xoe.chats.rows import TRACES_KEPT_S, number_of
from xoe.db import Database, tables, upsert
from xoe.db.unfinished import Unfinished, note

_threads, _uploads = tables.threads, tables.uploads


async def delete_thread(db: Database, owner: str, thread_id: str, at: float) -> list[str] | None:
    """Delete a chat of ``owner``'s; ``None`` when there is none of that id.

    Returns the names of the documents that came in by this chat and by no other: that they are to
    go, and what Redis has of the chat, is noted (``xoe.db.unfinished``). ``at`` is now, in
    seconds since 1970. Raises ``StoreError``.
    """
    async with db.write() as connection:
        number = await number_of(connection, owner, thread_id)
        if number is None:
            return None
        names = await _own_uploads(connection, owner, number)
        gone = tables.deleted
        noted = upsert(db.dialect, gone).values(owner=owner, id=thread_id, at=at)
        await connection.execute(
            noted.on_conflict_do_update(index_elements=["owner", "id"], set_={"at": at})
        )
        await connection.execute(delete(gone).where(gone.c.at < at - TRACES_KEPT_S))
        await _delete(connection, _threads.c.number == number)
        follow = [Unfinished("document", owner, name=name) for name in names]
        await note(connection, Unfinished("history", owner, thread_id), *follow)
    await db.scrub()
    return names


async def delete_owner(db: Database, owner: str) -> int:
    """Delete all chats of ``owner``; return how many there were. Raises ``StoreError``.

    That all else of ``owner`` is to go is noted.
    """
    async with db.write() as connection:
        count = await delete_chats(connection, owner)
        await note(connection, Unfinished("owner", owner))
    await db.scrub()
    return count


async def delete_chats(connection: AsyncConnection, owner: str) -> int:
    """Delete all chats of ``owner`` inside a transaction; return how many there were."""
    await connection.execute(delete(tables.deleted).where(tables.deleted.c.owner == owner))
    return await _delete(connection, _threads.c.owner == owner)


async def _own_uploads(connection: AsyncConnection, owner: str, number: int) -> list[str]:
    other, its = _uploads.alias(), _threads.alias()
    elsewhere = exists().where(
        other.c.name == _uploads.c.name,
        other.c.thread != number,
        other.c.thread == its.c.number,
        its.c.owner == owner,
    )
    found = select(_uploads.c.name).where(_uploads.c.thread == number, ~elsewhere)
    return list((await connection.execute(found)).scalars())


async def _delete(connection: AsyncConnection, which: Any) -> int:
    # The messages by name, so that the triggers which keep the words see each of them.
    numbers = select(_threads.c.number).where(which)
    await connection.execute(delete(tables.messages).where(tables.messages.c.thread.in_(numbers)))
    count = (await connection.execute(delete(_threads).where(which))).rowcount
    if connection.dialect.name == "sqlite" and count:
        await connection.execute(text("INSERT INTO thread_words(thread_words) VALUES ('optimize')"))
    return count
