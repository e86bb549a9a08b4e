"""What an account that is gone leaves behind: counted, and deleted where no server runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from database import Database
from threads.deletion import delete_owner
from threads.store import Threads
from xoe.errors import RedisError
from xoe.settings import Settings


@dataclass(frozen=True)
class Leftovers:
    """How much there is of one owner."""

    chats: int
    documents: int

    def __bool__(self) -> bool:
        """Whether there is anything."""
        return bool(self.chats or self.documents)

    def __str__(self) -> str:
        """Say it, as in ``2 chats and 1 document``."""
        return f"{counted(self.chats, 'chat')} and {counted(self.documents, 'document')}"


def counted(count: int, noun: str) -> str:
    """Return how many there are, as in ``2 chats``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


async def leftovers_of(owner: str, database: Database, settings: Settings) -> Leftovers:
    """Count what there is of ``owner``. Raises ``StoreError``."""
    chats = await Threads(database).count(owner)
    return Leftovers(chats, await asyncio.to_thread(_documents, owner, settings))


async def delete_leftovers(owner: str, database: Database, settings: Settings) -> None:
    """Delete all there is of ``owner``; only while no server runs. Raises ``XoeError``.

    Where Redis cannot be reached, what it holds ends by itself within the history's time.
    """
    from state.history import ChatHistory
    from state.redis import RedisConnection
    from xoe.lock import DataFolder

    with DataFolder(settings.data_dir):
        await delete_owner(database, owner)
        await asyncio.to_thread(_delete_documents, owner, settings)
        connection = RedisConnection(settings)
        history = ChatHistory(connection, settings)
        try:
            await connection.start()
            await history.clear_owner(owner)
            await history.drain(settings.redis_timeout_s)
        except RedisError:
            return
        finally:
            await history.aclose()
            await connection.aclose()


def _documents(owner: str, settings: Settings) -> int:
    from ingest.store import DATABASE_NAME, Fingerprint, Store

    if not (settings.data_dir / DATABASE_NAME).is_file():
        return 0
    store = Store(settings.data_dir, Fingerprint("", 0, ""))  # a count needs no embedder
    try:
        return len(store.documents((owner,)))
    finally:
        store.close()


def _delete_documents(owner: str, settings: Settings) -> None:
    from ingest.store import DATABASE_NAME, Fingerprint, Store

    if (settings.data_dir / DATABASE_NAME).is_file():
        store = Store(settings.data_dir, Fingerprint("", 0, ""))
        try:
            store.delete_owner(owner)
        finally:
            store.close()
