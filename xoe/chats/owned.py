"""How much somebody owns, counted where no server runs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.settings import Settings

if TYPE_CHECKING:
    from xoe.db import Database


@dataclass(frozen=True)
class OwnedData:
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


async def owned_data_of(owner: str, database: Database, settings: Settings) -> OwnedData:
    """Count what there is of ``owner``. Raises ``StoreError``."""
    from xoe.chats.store import Threads

    chats = await Threads(database).count(owner)
    return OwnedData(chats, await asyncio.to_thread(_documents, owner, settings))


def _documents(owner: str, settings: Settings) -> int:
    from ingest.store import DATABASE_NAME, Fingerprint, Store

    if not (settings.data_dir / DATABASE_NAME).is_file():
        return 0
    store = Store(settings.data_dir, Fingerprint("", 0, ""))  # a count needs no embedder
    try:
        return len(store.documents((owner,)))
    finally:
        store.close()
