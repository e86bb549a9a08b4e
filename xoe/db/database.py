"""The database of people and chats."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import structlog
from sqlalchemy import URL, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from core.errors import DiskFullError, SettingsError, StoreDamagedError, StoreError
from core.settings import PEOPLE_FILE, Settings
from xoe.db import schema
from xoe.db.dialects import Dialect
from xoe.db.unfinished import HOME, folder_id

log = structlog.get_logger(__name__)

FILE_NAME: Final = PEOPLE_FILE
_BUSY_MS: Final = 5000
"""How long a writer waits for another one: the command line beside a running server."""
_CONNECTIONS: Final = 8
_WRITES: Final = "xoe_writes"
_PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "secure_delete=ON",  # what was deleted is written over, and not left in free pages
)
_POSTGRES: Final = ("postgresql", "postgres", "postgresql+asyncpg")


class Database:
    """Connections to one database. ``async with db.read()`` or ``db.write()`` gives one.

    What goes wrong in the database comes out as ``StoreError``, with the library's as its cause.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """Use ``open``, which sees to the tables too."""
        self._engine = engine
        self.dialect: Dialect = "sqlite" if engine.dialect.name == "sqlite" else "postgresql"

    @classmethod
    async def open(cls, settings: Settings) -> Database:
        """Connect, and bring the tables to today's form.

        Raises ``SettingsError`` for a URL that is none, ``StoreError`` when the database cannot be
        reached or is of a newer program, ``StoreDamagedError`` when it is damaged.
        """
        url = settings.database_url
        if url is None:
            engine = await asyncio.to_thread(_sqlite, settings.data_dir / FILE_NAME)
        else:
            home = await asyncio.to_thread(_home, settings.data_dir)
            engine = _postgresql(url.get_secret_value(), home)
        database = cls(engine)
        try:
            async with database.write() as connection:
                await schema.prepare(connection)
        except BaseException:
            await database.aclose()
            raise
        return database

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection in a transaction that sees one state of the database."""
        with _told():
            async with self._engine.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """Give a connection in a transaction that is committed at the end, or not at all."""
        with _told():
            async with self._engine.connect() as plain:
                connection = await plain.execution_options(**{_WRITES: True})
                async with connection.begin():
                    yield connection

    async def scrub(self) -> None:
        """Empty SQLite's log beside the file, in which what was deleted may still stand.

        While somebody reads it stays, for the next time.
        """
        if self.dialect != "sqlite":
            return
        with _told():
            async with self._engine.connect() as connection:
                raw = await connection.get_raw_connection()
                driver: Any = raw.driver_connection  # below SQLAlchemy: not inside a transaction
                await (await driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")).close()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._engine.dispose()


@contextmanager
def _told() -> Iterator[None]:
    """Turn the libraries' errors into ours."""
    try:
        yield
    except (SQLAlchemyError, OSError) as exc:
        raise _error_of(exc) from exc


def _error_of(error: BaseException) -> StoreError:
    cause = error.orig if isinstance(error, DBAPIError) else error
    text = str(cause).lower()
    if "disk is full" in text or "no space" in text:
        return DiskFullError("The disk is full, so this could not be saved.")
    if "malformed" in text or "not a database" in text:
        return StoreDamagedError(
            f"The database of chats and accounts ({FILE_NAME}) is damaged. It was left as it is; "
            "move it away to begin with an empty one."
        )
    if "locked" in text:
        return StoreError("The database of chats is busy. Please try again in a moment.")
    log.warning("database.failed", error=type(cause).__name__)
    return StoreError("The database of chats and accounts cannot be reached just now.")


def _sqlite(path: Path) -> AsyncEngine:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
    except OSError as exc:
        raise StoreError(f"The data folder {path.parent} cannot be written.") from exc
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)),
        pool_size=_CONNECTIONS,
        max_overflow=0,
        execution_options={HOME: ""},  # the folder that it lies in
        connect_args={"timeout": _BUSY_MS / 1000},
    )

    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Any) -> None:
        writes = connection.get_execution_options().get(_WRITES)
        # A reader that becomes a writer later would fail where it could have waited.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _home(data_dir: Path) -> str:
    try:
        return folder_id(data_dir)
    except OSError as exc:
        raise StoreError(f"The data folder {data_dir} cannot be written.") from exc


def _postgresql(address: str, home: str) -> AsyncEngine:
    try:
        url = make_url(address)
    except ArgumentError as exc:
        raise SettingsError(_BAD_URL) from exc
    if url.drivername not in _POSTGRES:
        raise SettingsError(_BAD_URL)
    try:
        return create_async_engine(
            url.set(drivername="postgresql+asyncpg"),
            pool_size=_CONNECTIONS,
            max_overflow=0,
            pool_pre_ping=True,
            execution_options={HOME: home},
            connect_args={"timeout": 5, "command_timeout": 10},
        )
    except ModuleNotFoundError as exc:
        raise SettingsError(
            "PostgreSQL needs one more package: uv sync --inexact --extra postgres"
        ) from exc


_BAD_URL: Final = (
    "database_url must look like postgresql://user:password@host/name; leave it out to keep the "
    "chats in the data folder."
)
