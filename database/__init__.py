"""Where people and their chats are kept: SQLite in the data folder, or PostgreSQL by its URL."""

from database.database import Database, lock
from database.schema import metadata
from database.upsert import upsert

__all__ = ["Database", "lock", "metadata", "upsert"]
