"""The SQL database of accounts and chats: SQLite in the data folder, or PostgreSQL by its URL."""

from xoe.db.database import Database
from xoe.db.dialects import lock, upsert

__all__ = ["Database", "lock", "upsert"]
