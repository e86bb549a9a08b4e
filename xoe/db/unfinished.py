"""What was begun in this database and has to be finished in the other stores: a row until it is.

Chats are here, documents in a store of their own, what the model is told in Redis, and no
transaction spans them. So what is to follow is written down in the transaction that begins it,
carried out (``xoe.chats.finishing``), and struck. Whoever is killed between leaves the row, from
which the next start goes on.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from core.durable import write_once
from xoe.db import tables
from xoe.db.dialects import Dialect, upsert

Kind = Literal["owner", "histories", "history", "document", "upload", "transfer"]
"""``owner``: somebody's chats and documents are to go, then what Redis has of them (``histories``).
``history``: what Redis has of one chat. ``document``: one that came in by a chat that is deleted.
``upload``: a file that is being read, and belongs to its chat then. ``transfer``: somebody's
belongings are to become those of ``name``."""

_rows: Final = tables.unfinished
HOME: Final = "xoe_home"
_HOME_FILE: Final = "folder.id"


@dataclass(frozen=True)
class Unfinished:
    """One thing that is still to be done."""

    kind: Kind
    owner: str
    thread: str = ""
    name: str = ""


async def note(connection: AsyncConnection, *tasks: Unfinished) -> None:
    """Write down what is to follow, once."""
    for task in tasks:
        dialect = cast(Dialect, connection.dialect.name)
        row = upsert(dialect, _rows).values(home=_home(connection), **vars(task))
        await connection.execute(row.on_conflict_do_nothing())


async def strike(connection: AsyncConnection, task: Unfinished, *, anywhere: bool = False) -> bool:
    """Strike what is done, or is not to be done any more; return whether it was there.

    ``anywhere``: for the documents of all data folders.
    """
    struck = delete(_rows).where(*_is(vars(task)))
    if not anywhere:
        struck = struck.where(_rows.c.home == _home(connection))
    return (await connection.execute(struck)).rowcount > 0


async def is_noted(connection: AsyncConnection, kind: Kind, owner: str, **fields: str) -> bool:
    """Return whether something is still to be done, here or on a server beside.

    ``fields``: its ``thread`` or ``name``, where only one will do.
    """
    which = {"kind": kind, "owner": owner, **fields}
    found = select(_rows.c.number).where(*_is(which)).limit(1)
    return (await connection.execute(found)).first() is not None


async def unfinished(connection: AsyncConnection) -> list[Unfinished]:
    """Return what is to be done here, in the order in which it was begun."""
    wanted = (
        _rows.c.kind,
        _rows.c.owner,
        _rows.c.thread,
        _rows.c.name,
    )
    found = select(*wanted).where(_rows.c.home == _home(connection)).order_by(_rows.c.number)
    return [Unfinished(*row) for row in (await connection.execute(found)).all()]


def folder_id(data_dir: Path) -> str:
    """Return what names a data folder, made if there is none. Raises ``OSError``."""
    path = data_dir / _HOME_FILE
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        write_once(path, secrets.token_hex(16).encode("ascii"))
    return path.read_text(encoding="ascii")


def _is(fields: Mapping[str, str]) -> tuple[Any, ...]:
    return tuple(_rows.c[field] == value for field, value in fields.items())


def _home(connection: AsyncConnection) -> str:
    plain = connection.sync_connection
    assert plain is not None  # noqa: S101 - it is open
    return str(plain.get_execution_options()[HOME])
