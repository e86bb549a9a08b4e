"""An INSERT that may become an UPDATE, in the words of each database."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite

Dialect = Literal["sqlite", "postgresql"]


def upsert(dialect: Dialect, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an INSERT into ``table`` that has ``on_conflict_do_update`` and ``…_do_nothing``."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
