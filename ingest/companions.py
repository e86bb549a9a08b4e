"""Other SQLite databases of the data folder, which go into a backup with the documents."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.errors import BackupError, DiskFullError, StoreDamagedError, StoreError


@dataclass(frozen=True)
class Companion:
    """A database that others keep, and what they want done with a copy of it."""

    name: str
    """Of its file, such as ``people.sqlite``."""
    forget: Callable[[sqlite3.Connection], None]
    """Takes out of a copy what must not come back with it."""
    check: Callable[[sqlite3.Connection], None]
    """Raises ``StoreError`` for a copy that this program cannot use."""

    def copy(self, data_dir: Path, target: Path) -> bool:
        """Copy it as it is now into the new file ``target``; return False where there is none.

        Others may read and write meanwhile. Raises ``StoreDamagedError``, ``DiskFullError`` or
        ``StoreError``.
        """
        path = data_dir / self.name
        if not path.is_file():
            return False
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            source = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
            copy = sqlite3.connect(target, isolation_level=None)
            try:
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
                copy.execute("PRAGMA secure_delete = ON")
                self.forget(copy)
                _check_whole(copy)
            finally:
                copy.close()
                source.close()
        except sqlite3.DatabaseError as exc:
            raise _told(exc, path) from exc
        return True

    def examine(self, file: Path) -> None:
        """Check a copy wholly. Raises ``BackupError``, or what ``check`` raises."""
        try:
            connection = sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)
            try:
                _check_whole(connection)
                self.check(connection)
            finally:
                connection.close()
        except sqlite3.DatabaseError as exc:
            raise BackupError(f"The backup holds a damaged {self.name}; use another one.") from exc


def _check_whole(connection: sqlite3.Connection) -> None:
    """Raise ``sqlite3.DatabaseError`` unless the database is whole."""
    found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(found)
    if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise sqlite3.DatabaseError("a row refers to one that is not there")


def _told(error: sqlite3.DatabaseError, path: Path) -> StoreError:
    code: int = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return DiskFullError("The disk is full.")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN):
        return StoreError(f"{path} cannot be read just now. Please try again in a moment.")
    return StoreDamagedError(
        f"{path} is damaged, so no backup was made and the last one stays as it is."
    )
