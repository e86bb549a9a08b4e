"""The SQLite database: connections, transactions and what SQLite's errors mean to a person."""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

from core.errors import DiskFullError, StoreDamagedError, StoreError
from ingest import integrity
from ingest.schema import migrate, register
from ingest.swap import SUSPECT_SUFFIX

log = structlog.get_logger(__name__)

READERS = 4
BUSY_TIMEOUT_S: Final = 10.0
"""How long to wait for another process that writes."""

FULL_BYTES: Final = 256 * 1024
"""With less than this free, an error in writing means a full disk, whatever SQLite calls it."""


class FullTextDamagedError(StoreError):
    """The full-text index is damaged. It is derived: build it anew and repeat the call."""


class DocumentDatabase:
    """One writer and a few readers on one SQLite file in WAL mode.

    Blocking: call it from a thread. ``reading`` and ``writing`` turn SQLite's errors into ours.
    Once damage was seen, nothing is read or written any more: each call raises what was found.
    """

    def __init__(self, path: Path) -> None:
        """Open or make the database at ``path``; an older one is migrated.

        Raises ``StoreDamagedError``, ``DiskFullError`` or ``StoreError``.
        """
        self.path = path
        self._write_lock = threading.Lock()
        self._damage: str | None = None
        self._checking: sqlite3.Connection | None = None
        self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue(READERS)
        with self._translated():
            self._writer = _connect(path)
            try:
                migrate(self._writer, path)
                for _ in range(READERS):
                    self._readers.put(_connect(path, query_only=True))
            except BaseException:
                self.close()
                raise

    @property
    def suspect(self) -> bool:
        """Tell whether damage was seen, now or in an earlier run, and not yet looked into."""
        return self._damage is not None or self._note.exists()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a read-only connection whose statements all see the same snapshot."""
        self._refuse_damaged()
        connection = self._readers.get()
        try:
            with self._translated():
                connection.execute("BEGIN")
                try:
                    yield connection
                finally:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
        finally:
            self._readers.put(connection)

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Lend the writer inside one transaction: all of it happens, or nothing."""
        self._refuse_damaged()
        with self._write_lock, self._translated():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise
            self._fold()

    def check(self, tell: integrity.Step | None = None) -> integrity.CheckReport:
        """Check everything, on a connection of its own; see ``integrity.check``.

        Raises ``StoreDamagedError``, after which the database is not used any more. ``close``
        ends it from another thread.
        """
        with self._translated():
            connection = self._checking = _connect(self.path)
            try:
                report = integrity.check(connection, self.path, tell=tell)
            finally:
                self._checking = None
                connection.close()
        if self._damage is None:
            self._note.unlink(missing_ok=True)
        return report

    def rebuild_full_text(self) -> None:
        """Build the full-text index anew from the passages."""
        with self._write_lock, self._translated():
            integrity.rebuild_full_text(self._writer, self.path)

    def backup_to(self, target: Path, tell: Callable[[int, int], None] | None = None) -> None:
        """Copy the database as it is now into the new file ``target``, while others use it.

        ``tell`` is called with the pages done and all pages. Raises as ``reading`` does, and
        ``OSError`` when ``target`` cannot be made.
        """
        self._refuse_damaged()
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with self._translated():
            source, copy = _connect(self.path, query_only=True), sqlite3.connect(target)
            try:
                # One snapshot for all steps: otherwise each writer would make it begin again.
                source.execute("BEGIN")
                source.execute("SELECT COUNT(*) FROM collections").fetchone()
                source.backup(
                    copy,
                    pages=1024,
                    progress=lambda _s, left, all_: tell(all_ - left, all_) if tell else None,
                    sleep=0,
                )
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
            finally:
                copy.close()
                source.close()

    def close(self) -> None:
        """Close all connections; the write-ahead log is folded into the file."""
        if (checking := self._checking) is not None:
            with suppress(sqlite3.ProgrammingError):  # it has just ended
                checking.interrupt()
        while not self._readers.empty():
            self._readers.get().close()
        with self._write_lock:
            self._writer.close()

    @property
    def _note(self) -> Path:
        return self.path.with_name(f"{self.path.name}{SUSPECT_SUFFIX}")

    def _refuse_damaged(self) -> None:
        if self._damage is not None:
            raise StoreDamagedError(self._damage)

    def _condemn(self, exc: Exception) -> None:
        """Remember the damage, also for the next start."""
        if self._damage is None:
            log.error("store.damaged", path=str(self.path), error=str(exc))
        self._damage = str(exc)
        with suppress(OSError):
            self._note.write_text(f"{exc}\n", encoding="utf-8")

    def _fold(self) -> None:
        """Fold the log into the database, so that it holds nothing that is needed.

        A byte that changes in the log makes SQLite drop, without a word, all that was committed
        after it. While somebody reads an older state this is put off to the next commit.
        """
        try:
            self._writer.execute("PRAGMA busy_timeout = 0")
            self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as exc:
            # The transaction is safe in the log.
            log.warning("store.log_not_folded", error=str(exc))
        finally:
            self._writer.execute(f"PRAGMA busy_timeout = {int(1000 * BUSY_TIMEOUT_S)}")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            if isinstance(exc, sqlite3.IntegrityError | sqlite3.ProgrammingError):
                raise
            error = _as_ours(exc, self.path)
            if isinstance(error, StoreDamagedError):
                self._condemn(error)
            raise error from exc
        except StoreDamagedError as exc:
            error = StoreDamagedError(_with_advice(str(exc)))
            self._condemn(error)
            raise error from exc


def damaged_row(path: Path, what: str) -> StoreDamagedError:
    """Return the error for a row whose hash is not that of its content."""
    return StoreDamagedError(f"The database {path} is damaged (a {what} is not what was stored).")


def _with_advice(sentence: str) -> str:
    if "left as it is" in sentence:
        return sentence
    return (
        f"{sentence} It is left as it is: restore a backup with 'xoe restore FILE', or start the "
        "server again, which sets the damaged file aside and reads your library anew."
    )


def _as_ours(exc: sqlite3.Error, path: Path) -> StoreError:
    """Return what an error of SQLite's means."""
    code: int = getattr(exc, "sqlite_errorcode", 0)
    kind = code & 0xFF
    # Python's own complaint about a text that is no UTF-8 quotes the text.
    undecodable = "decode to UTF-8" in str(exc)
    detail = "a text is not UTF-8" if undecodable else str(exc)
    if kind == sqlite3.SQLITE_FULL or (kind == sqlite3.SQLITE_IOERR and _is_full(path.parent)):
        return DiskFullError(
            f"The disk is full: nothing more can be stored in {path.parent}. "
            "What was stored before is safe. Free some space and try again."
        )
    if kind in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(
            f"{path} is in use by another program, and nothing was changed; try again in a moment."
        )
    if code == sqlite3.SQLITE_CORRUPT_VTAB:
        return FullTextDamagedError(f"The full-text index in {path} is damaged.")
    # A file that may be written is called read-only when its header says so.
    header = kind == sqlite3.SQLITE_READONLY and os.access(path, os.W_OK)
    corrupt = kind in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)
    if corrupt or undecodable or header or "unsupported file format" in detail:
        return StoreDamagedError(_with_advice(f"The database {path} is damaged ({detail})."))
    if kind in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY):
        return StoreError(f"{path} may not be read and written ({detail}); check who owns it.")
    return StoreError(f"{path} cannot be used: {detail}.")


def _is_full(folder: Path) -> bool:
    try:
        room = os.statvfs(folder)
    except OSError:
        return False
    return room.f_bavail * room.f_frsize < FULL_BYTES


def marks(values: Sequence[object]) -> str:
    """Return a question mark for each value, as in ``IN (?, ?, ?)``."""
    return ", ".join("?" * len(values))


def _connect(path: Path, *, query_only: bool = False) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # a committed document survives a power cut
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")  # a deleted document leaves no text behind
        connection.execute("PRAGMA cache_size = -4096")  # 4 MiB: what is read is mapped
        connection.execute("PRAGMA mmap_size = 268435456")
        if query_only:
            connection.execute("PRAGMA query_only = ON")
        register(connection)
    except BaseException:
        connection.close()
        raise
    return connection
