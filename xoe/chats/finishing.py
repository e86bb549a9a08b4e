"""Finishes what was begun in the database of chats and concerns the other stores too.

What is to follow is noted in the transaction that begins it (``xoe.db.unfinished``); here it is
carried out and struck. All of it can be repeated, so that whoever is killed, or finds a store away,
leaves it to the next look: at once, after a few seconds, or at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

import structlog

from core.errors import RedisError, StoreError
from state.history import ChatHistory
from xoe.chats.deletion import delete_chats
from xoe.chats.rows import is_of_a_chat, number_of, put_upload
from xoe.chats.store import Threads
from xoe.chats.transfer import transfer
from xoe.db import Database
from xoe.db.unfinished import Unfinished, is_noted, note, strike, unfinished

if TYPE_CHECKING:
    from core.settings import Settings
    from ingest.catalog import Catalog

log = structlog.get_logger(__name__)

LOOK_S: Final = 60.0
"""Between two looks: another program may have begun something and been killed."""
SOON_S: Final = 5.0
"""The same while something is left."""


class Finisher:
    """Carries out what is noted, one thing after the other."""

    def __init__(self, db: Database, history: ChatHistory, documents: Catalog) -> None:
        """``db`` has the notes; ``history`` and ``documents`` are the other stores."""
        self._db = db
        self._history = history
        self._documents = documents
        self._busy = asyncio.Lock()

    async def finish(
        self,
        *,
        only: str | None = None,
        nobody_reads: bool = False,
        waiting: Collection[tuple[str, str]] = (),
    ) -> int:
        """Carry out what can be, and return how much is left. What fails is logged.

        ``only``: of this owner. ``nobody_reads``: no file is being read just now, so that notes of
        such are of a program that was killed. ``waiting``: owners and names of files that are still
        to be read all the same.
        """
        left = 0
        async with self._busy:
            try:
                async with self._db.read() as connection:
                    tasks = await unfinished(connection)
                tasks = [
                    task
                    for task in tasks
                    if only in (None, task.owner) and (nobody_reads or task.kind != "upload")
                ]
                if tasks:
                    await self._db.scrub()  # the killed one may not have come to it
            except StoreError as exc:
                log.warning("unfinished.not_read", error=str(exc))
                return 1
            for task in tasks:
                try:
                    done = await self._carry_out(task)
                except StoreError as exc:
                    log.warning("unfinished.failed", kind=task.kind, error=str(exc))
                    done = False
                left += not done
        if tasks:
            log.info("unfinished.carried_out", done=len(tasks) - left, left=left)
        return left

    async def run(self) -> None:
        """Look now and then, for ever."""
        while True:
            left = await self.finish()
            await asyncio.sleep(SOON_S if left else LOOK_S)

    async def _carry_out(self, task: Unfinished) -> bool:
        """Carry one thing out and strike it; return False where it has to wait."""
        if task.kind == "owner":
            return await self._delete_owner(task)
        if task.kind == "document":
            return await self._delete_document(task)
        if task.kind == "upload":
            return await self._attribute(task)
        if task.kind == "transfer":
            await transfer(task.owner, task.name, Threads(self._db), self._documents)
            return True
        if task.kind == "history":
            done = await self._history.delete(task.thread, task.owner)
        else:
            done = await self._history.delete_owner(task.owner)
        return done and await self._strike(task)

    async def _delete_owner(self, task: Unfinished) -> bool:
        async with self._db.write() as connection:
            # Locked until it is done: an account that is made anew keeps what there is.
            if not await is_noted(connection, "owner", task.owner):
                return True
            await delete_chats(connection, task.owner)
            await self._documents.delete_owner(task.owner)
            await note(connection, Unfinished("histories", task.owner))
            await strike(connection, task)
        await self._db.scrub()
        return await self._carry_out(Unfinished("histories", task.owner))

    async def _delete_document(self, task: Unfinished) -> bool:
        name = task.name
        async with self._db.write() as connection:
            if not await is_noted(connection, "document", task.owner, name=name):
                return True  # it was dropped into another chat meanwhile
            if await is_noted(connection, "upload", task.owner, name=name):
                return False  # it is being read, and may be of another chat then
            if not await is_of_a_chat(connection, task.owner, name):
                await self._documents.delete_named(name, task.owner)
        await self._documents.scrub(task.owner)
        return await self._strike(task)

    async def _attribute(self, task: Unfinished) -> bool:
        """Give a document to the chat in which it was being read when the program was killed."""
        is_there = await self._documents.is_there(task.name, task.owner)
        async with self._db.write() as connection:
            thread = await number_of(connection, task.owner, task.thread)
            if thread is not None and is_there:
                await put_upload(connection, self._db.dialect, thread, task.name)
            elif is_there and not await is_of_a_chat(connection, task.owner, task.name):
                await note(connection, Unfinished("document", task.owner, name=task.name))
            await strike(connection, task)
        return True

    async def _strike(self, task: Unfinished) -> bool:
        async with self._db.write() as connection:
            await strike(connection, task)
        return True


async def delete_owned_data(owner: str, database: Database, settings: Settings) -> None:
    """Delete all there is of ``owner``; only while no server runs. Raises ``XoeError``.

    What Redis holds follows at the server's next start where it cannot be reached now.
    """
    from core.data_folder import DataFolder
    from ingest.catalog import Catalog
    from ingest.store import Fingerprint, Store
    from ingest.vector_index import VectorIndexes
    from state.redis import RedisConnection
    from xoe.chats.deletion import delete_owner

    with DataFolder(settings.data_dir):
        await delete_owner(database, owner)
        store = await asyncio.to_thread(Store, settings.data_dir, Fingerprint("", 0, ""))
        indexes = VectorIndexes(store, settings.data_dir / "index", exact_limit=0)
        connection = RedisConnection(settings)
        history = ChatHistory(connection, settings)
        try:
            with contextlib.suppress(RedisError):
                await connection.start()
            await Finisher(database, history, Catalog(store, indexes)).finish(only=owner)
        finally:
            await history.aclose()
            await connection.aclose()
            await asyncio.to_thread(store.close)
