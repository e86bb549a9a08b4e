"""What an account that is gone leaves behind: counted, and deleted where no server runs."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import RedisError
from core.settings import Settings

if TYPE_CHECKING:
    from database import Database


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
    from threads.store import Threads

    chats = await Threads(database).count(owner)
    return Leftovers(chats, await asyncio.to_thread(_documents, owner, settings))


async def delete_leftovers(owner: str, database: Database, settings: Settings) -> None:
    """Delete all there is of ``owner``; only while no server runs. Raises ``XoeError``.

    What Redis holds follows at the server's next start where it cannot be reached now.
    """
    from core.data_folder import DataFolder
    from ingest.store import Fingerprint, Store
    from ingest.vector_index import VectorIndexes
    from state.history import ChatHistory
    from state.redis import RedisConnection
    from threads.deletion import delete_owner
    from xoe.catalog import Catalog
    from xoe.finishing import Finisher

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


def _documents(owner: str, settings: Settings) -> int:
    from ingest.store import DATABASE_NAME, Fingerprint, Store

    if not (settings.data_dir / DATABASE_NAME).is_file():
        return 0
    store = Store(settings.data_dir, Fingerprint("", 0, ""))  # a count needs no embedder
    try:
        return len(store.documents((owner,)))
    finally:
        store.close()
