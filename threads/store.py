"""Chats in the database. Every query says whose they are."""

from __future__ import annotations

from database import Database
from threads.types import StoredMessage, StoredThread


class Threads:
    """Reads and writes chats. What goes wrong in the database raises ``StoreError``."""

    def __init__(self, db: Database) -> None:
        """Keep the chats in ``db``."""
        self._db = db

    async def get(self, owner: str, thread_id: str) -> StoredThread | None:
        """Return a chat with its messages; ``None`` when ``owner`` has none of that id."""
        raise NotImplementedError

    async def get_message(
        self, owner: str, message_id: str
    ) -> tuple[StoredThread, StoredMessage] | None:
        """Return one message and the chat that it is in, without the chat's other messages."""
        raise NotImplementedError
