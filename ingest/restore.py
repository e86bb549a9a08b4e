"""Putting a backup in the place of a data folder's databases.

Everything is checked before anything is touched; what was there is kept aside; killed at any
moment, the folder holds the old database or the new one.
"""

from __future__ import annotations

import errno
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from core.durable import sync_folder
from core.errors import BackupError, DiskFullError, StoreDamagedError
from ingest import integrity
from ingest.backup import BackupManifest, Tell, read_manifest, unpack, unpack_originals
from ingest.companions import Companion
from ingest.schema import migrate, register
from ingest.swap import (
    DATABASE_NAME,
    INDEX_NAME,
    ORIGINALS_NAME,
    PLAN_NAME,
    REPLACED_NAME,
    Hold,
    Plan,
    free_folder,
    swap,
)

_INCOMING: Final = "restore.incoming"
_SPACE_FACTOR: Final = 1.2


@dataclass(frozen=True)
class Restored:
    """What a restore has done."""

    manifest: BackupManifest
    replaced: Path | None
    """Where the former databases are now, if there were any."""
    companions: tuple[str, ...] = ()
    """The companions that came with it."""


def restore_backup(
    file: Path, data_dir: Path, tell: Tell, companions: Sequence[Companion] = ()
) -> Restored:
    """Put the backup ``file`` in place. The caller holds the data folder (``core.data_folder``).

    A companion that the backup does not hold, or that is not asked for, stays as it is.

    Raises ``BackupError``, ``StoreLockedError``, ``DiskFullError`` or ``StoreError``; the old
    database then is there as before.
    """
    manifest = read_manifest(file, tell)
    hold = Hold.alone(data_dir)
    try:
        incoming = data_dir / _INCOMING
        shutil.rmtree(incoming, ignore_errors=True)  # of one that was killed before its plan
        try:
            return _restore(file, manifest, data_dir, incoming, tell, companions)
        except BaseException:
            if not (data_dir / PLAN_NAME).exists():
                shutil.rmtree(incoming, ignore_errors=True)
            raise
    except OSError as exc:
        if exc.errno == errno.ENOSPC:
            raise _no_room(data_dir) from exc
        raise BackupError(f"{data_dir} cannot be written ({exc.strerror}).") from exc
    finally:
        hold.release()


def _restore(
    file: Path,
    manifest: BackupManifest,
    data_dir: Path,
    incoming: Path,
    tell: Tell,
    companions: Sequence[Companion],
) -> Restored:
    taken = [companion for companion in companions if companion.name in manifest.others]
    names = (DATABASE_NAME, *(companion.name for companion in taken))
    wanted = sum(size for name, size, _ in manifest.members() if name in names)
    wanted += manifest.originals_bytes
    if shutil.disk_usage(data_dir).free < _SPACE_FACTOR * wanted:
        raise _no_room(data_dir)
    incoming.mkdir(mode=0o700)
    unpack(file, manifest, incoming, names, tell)
    unpack_originals(file, incoming, tell)
    _prepare(file, incoming / DATABASE_NAME, tell)
    for companion in taken:
        companion.examine(incoming / companion.name)
    sync_folder(incoming)
    existing = any((data_dir / name).exists() for name in (*names, INDEX_NAME, ORIGINALS_NAME))
    plan = Plan(
        free_folder(data_dir, REPLACED_NAME),
        _INCOMING,
        f"Replaced by the backup {file.name} of {manifest.created}.",
        names[1:],
    )
    aside = swap(data_dir, plan)
    return Restored(
        manifest,
        aside if existing else None,
        names[1:],
    )


def _prepare(file: Path, database: Path, tell: Tell) -> None:
    """Migrate and check the unpacked database."""
    connection = sqlite3.connect(database, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous = FULL")
        register(connection)
        migrate(connection, database)
        integrity.check(
            connection, database, tell=lambda done, total: tell("checking", done, total)
        )
    except (sqlite3.DatabaseError, StoreDamagedError) as exc:
        code: int = getattr(exc, "sqlite_errorcode", 0)
        if code & 0xFF in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            raise _no_room(database.parent.parent) from exc
        raise BackupError(f"The backup {file} holds a damaged database; use another one.") from exc
    finally:
        connection.close()


def _no_room(folder: Path) -> DiskFullError:
    return DiskFullError(
        f"The disk is full: there is no room in {folder} to restore the backup. "
        "Nothing was changed; free some space and try again."
    )
