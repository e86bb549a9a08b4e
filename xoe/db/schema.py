"""The version of the tables' form, and the steps from each to the next. Forward only.

A new table needs no step: what is missing is created. A step is for a table that may be there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy import insert, inspect, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from core.errors import StoreError
from xoe.db.dialects import Dialect, lock
from xoe.db.tables import metadata, schema_version

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Change:
    """What is done to one table, where it is there; else it is created in its newest form."""

    table: str
    statements: Mapping[Dialect, tuple[str, ...]]


def _both(table: str, *statements: str) -> Change:
    """Return a change that both databases are told in the same words."""
    return Change(table, {"sqlite": statements, "postgresql": statements})


STEPS: Final[list[tuple[Change, ...]]] = [
    (_both("unfinished", "UPDATE unfinished SET kind = 'transfer' WHERE kind = 'adoption'"),),
    (
        _both(
            "thread_messages",
            "ALTER TABLE thread_messages ADD COLUMN outcome TEXT NOT NULL DEFAULT ''",
        ),
    ),
]
"""The first leads from version 1 to version 2, the next from there on."""


async def prepare(connection: AsyncConnection) -> None:
    """Bring the tables to today's form, in the connection's transaction.

    Raises ``StoreError`` for a database of a newer program.
    """
    await lock(connection, "schema")  # of two servers that start at once, one does it
    there = frozenset(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))
    if schema_version.name in there:
        found = (await connection.execute(select(schema_version.c.version))).scalar()
        await _step_up(connection, found or 0, there)
    await connection.run_sync(metadata.create_all)
    if (await connection.execute(select(schema_version.c.version))).scalar() is None:
        await connection.execute(insert(schema_version).values(only=1, version=_newest()))


async def _step_up(connection: AsyncConnection, version: int, there: frozenset[str]) -> None:
    _refuse_newer(version)
    dialect: Dialect = "sqlite" if connection.dialect.name == "sqlite" else "postgresql"
    for number, step in enumerate(STEPS, 2):
        if number <= version:
            continue
        for change in step:
            for statement in change.statements[dialect] if change.table in there else ():
                await connection.execute(text(statement))
        await connection.execute(update(schema_version).values(version=number))
        log.info("database.stepped_up", version=number)


def check_copy(copy: sqlite3.Connection) -> None:
    """Raise ``StoreError`` for a copy of the database that a newer program has made."""
    found = copy.execute("SELECT version FROM schema_version").fetchone()
    _refuse_newer(found[0] if found else 0)


def _newest() -> int:
    return 1 + len(STEPS)


def _refuse_newer(version: int) -> None:
    if version > _newest():
        raise StoreError(
            f"The chats and accounts were written by a newer Xoe-NovAi (form {version}, this one "
            f"knows {_newest()}). Nothing was changed. Please update the program."
        )
