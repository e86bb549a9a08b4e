"""The tables' common home, and the version of their form."""

from __future__ import annotations

import sqlite3
from typing import Final

from sqlalchemy import CheckConstraint, Column, Integer, MetaData, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import StoreError

VERSION: Final = 1
"""Of all tables together; a newer one is refused, since it is not known what it means."""

metadata: Final = MetaData()
"""What is to be created is what registered its tables here before ``Database.open``."""

_versions = Table(
    "schema_version",
    metadata,
    # Quoted, as PostgreSQL has a keyword of that name.
    Column("only", Integer, CheckConstraint('"only" = 1'), primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
)


async def prepare(connection: AsyncConnection) -> None:
    """Create what is missing. Raises ``StoreError`` for a database of a newer program."""
    await connection.run_sync(metadata.create_all)
    found = (await connection.execute(select(_versions.c.version))).scalar()
    if found is None:
        await connection.execute(insert(_versions).values(only=1, version=VERSION))
    else:
        _refuse_newer(found)


def check_copy(copy: sqlite3.Connection) -> None:
    """Raise ``StoreError`` for a copy of the database that a newer program has made."""
    found = copy.execute("SELECT version FROM schema_version").fetchone()
    _refuse_newer(found[0] if found else 0)


def _refuse_newer(version: int) -> None:
    if version > VERSION:
        raise StoreError(
            f"The chats and accounts were written by a newer Xoe-NovAi (form {version}, this one "
            f"knows {VERSION}). Nothing was changed. Please update the program."
        )
