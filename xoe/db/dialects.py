"""What SQLite and PostgreSQL say differently."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import Table, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

Dialect = Literal["sqlite", "postgresql"]


def upsert(dialect: Dialect, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT into ``table`` that has ``on_conflict_do_update`` and ``…_do_nothing``."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)


async def lock(connection: AsyncConnection, name: str) -> None:
    """Until the transaction ends, let no other one past this line that names the same.

    What is counted behind it is still so when something is added. SQLite has one writer at a time
    in any case.
    """
    if connection.dialect.name == "postgresql":
        key = func.hashtextextended(name, 0)
        await connection.execute(select(func.pg_advisory_xact_lock(key)))
