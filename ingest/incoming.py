"""All that comes in, in one queue: dropped files, folders, commands and sources alike.

The rows lie beside the documents, in ``incoming/queue.sqlite``, so every program on a data folder
shows, and cancels, what any of them reads. A dropped file lies there too until it has become a
document: it is read after a kill. What lies in a folder is found again by whoever keeps that folder
in step, so of such only the row is here.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import structlog

from core.durable import sync_folder
from core.errors import DiskFullError, StoreError
from ingest.database import marks
from ingest.queued import COLUMNS, FILES_NAME, FOLDER_NAME, Item, Overview, State, stamp_of
from ingest.readers import Readers
from ingest.sources import UPLOAD, SourceFile

log = structlog.get_logger(__name__)

KEPT_S: Final = 24 * 3600.0
"""So long an ended item is shown."""
KEPT_ITEMS: Final = 500
"""So many ended items of an owner are shown at most."""
LATELY_S: Final = 60.0
"""The rate is that of so long."""
_BUSY_S: Final = 10.0
_SLICE: Final = 10_000

_STATES: Final = {"listening": "reading", "saving": "embedding"}

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS items (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    origin TEXT NOT NULL,
    path TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    stamp TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'waiting',
    stage TEXT NOT NULL DEFAULT '',
    done INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    passages INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    added REAL NOT NULL,
    begun REAL NOT NULL DEFAULT 0,
    ended REAL NOT NULL DEFAULT 0,
    reader TEXT NOT NULL DEFAULT '',
    again INTEGER NOT NULL DEFAULT 0,
    thread TEXT NOT NULL DEFAULT '',
    asked TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS items_state ON items(state, id);
CREATE INDEX IF NOT EXISTS items_owner ON items(owner, name);
"""
_ACTIVE: Final = "state NOT IN ('ready', 'failed', 'cancelled')"


class IncomingQueue:
    """The queue of a data folder. Blocking and thread-safe; several programs may use it at once.

    Every method raises ``StoreError`` where the disk does not let it.
    """

    def __init__(self, data_dir: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Open the queue, or make it; a damaged one is set aside. Raises ``StoreError``."""
        self._folder = data_dir / FOLDER_NAME
        self._clock = clock
        self._lock = threading.Lock()
        self.is_closing = False
        """Whether this program is ending: what it reads is left to the next one."""
        with _told():
            for folder in (self._folder, self._files):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._readers = Readers(self._folder / "readers")
            path = self._folder / "queue.sqlite"
            try:
                self._db = _connect(path)
            except sqlite3.DatabaseError as exc:
                if isinstance(exc, sqlite3.OperationalError):
                    raise
                log.error("incoming.damaged", error=str(exc))
                for end in ("-wal", "-shm", ""):
                    with suppress(FileNotFoundError):
                        Path(f"{path}{end}").rename(f"{path}{end}.damaged")
                self._db = _connect(path)

    # ── coming in ────────────────────────────────────────────────────────────────────────────

    def keep(
        self,
        owner: str,
        uploads: Sequence[tuple[Path, str]],
        *,
        thread: str = "",
        asked: str = "",
        reader: bool = True,
    ) -> list[Item]:
        """Take uploads, each a file and its name, to be read whatever ends this program.

        The files are moved. ``reader``: this program reads them itself. Raises ``StoreError``.
        """
        sources = [SourceFile(self._files / secrets.token_hex(12), name) for _, name in uploads]
        me = self._readers.me if reader else ""
        try:
            with _told():
                for (path, _), source in zip(uploads, sources, strict=True):
                    shutil.move(path, source.path)
                    with source.path.open("rb") as file:
                        os.fsync(file.fileno())
                sync_folder(self._files)
            with self._writing(durable=True) as db:
                ids = [self._insert(db, owner, one, me, thread, asked) for one in sources]
        except StoreError:
            for source in sources:
                with suppress(OSError):
                    source.path.unlink()
            raise
        return self.items(ids)

    def add(self, owner: str, sources: Sequence[SourceFile]) -> list[int]:
        """Note files that this program is about to read; return their ids."""
        with self._writing() as db:
            return [self._insert(db, owner, source, self._readers.me) for source in sources]

    def adopt(self, ids: Sequence[int]) -> None:
        """Note that this program reads these."""
        with self._writing() as db:
            db.executemany(
                f"UPDATE items SET reader = ? WHERE id = ? AND {_ACTIVE}",
                [(self._readers.me, one) for one in ids],
            )

    def tell(self, progress: Collection[tuple[int, str, int, int]]) -> None:
        """Note how far items are: ids, stages, done and total."""
        now = self._clock()
        with self._writing() as db:
            db.executemany(
                "UPDATE items SET begun = CASE WHEN stage = ?2 THEN begun ELSE ?6 END,"
                f" state = ?5, stage = ?2, done = ?3, total = ?4 WHERE id = ?1 AND {_ACTIVE}",
                [
                    (one, stage, done, total, _STATES.get(stage, stage), now)
                    for one, stage, done, total in progress
                ],
            )

    def end(self, item_id: int, state: State, *, passages: int = 0, reason: str = "") -> None:
        """Note what became of an item; a file that was kept for it goes."""
        with self._writing() as db:
            found = db.execute(
                "UPDATE items SET state = ?, stage = '', passages = ?, reason = ?, ended = ?,"
                " reader = ''"
                f" WHERE id = ? AND ({_ACTIVE} OR (state = 'cancelled' AND reader = ?))"
                " RETURNING owner",
                (state, passages, reason, self._clock(), item_id, self._readers.me),
            ).fetchall()
            for (owner,) in found:
                self._prune(db, owner)
        self._forget_file([item_id])

    def drop(self, ids: Collection[int]) -> None:
        """Take items out without a word: there was nothing to do for them."""
        self._forget_file(ids)
        with self._writing() as db:
            db.executemany("DELETE FROM items WHERE id = ?", [(one,) for one in ids])

    # ── cancelling, trying again ─────────────────────────────────────────────────────────────

    def cancel(self, ids: Collection[int]) -> None:
        """Cancel items: who reads them hears of it, and keeps nothing that is not kept already."""
        now = self._clock()
        with self._writing() as db:
            db.executemany(
                f"UPDATE items SET state = 'cancelled', stage = '', ended = ? WHERE id = ?"
                f" AND {_ACTIVE}",
                [(now, one) for one in ids],
            )
        for start in range(0, len(chosen := list(ids)), _SLICE):
            part = self.items(chosen[start : start + _SLICE])
            self._forget_file([one.id for one in part if not one.reader])

    def unwanted(self, ids: Collection[int]) -> set[int]:
        """Return which of this program's items were cancelled, or taken out."""
        rows = self._rows(
            f"SELECT id FROM items WHERE reader = ? AND {_ACTIVE}", (self._readers.me,)
        )
        return set(ids) - {row[0] for row in rows}

    def again(self, item_id: int) -> None:
        """Have an item that failed or was cancelled read once more, by the server."""
        with self._writing() as db:
            db.execute(
                "UPDATE items SET state = 'waiting', stage = '', done = 0, total = 0, reason = '',"
                " begun = 0, ended = 0, reader = '', again = 1"
                " WHERE id = ? AND state IN ('failed', 'cancelled')",
                (item_id,),
            )

    def without_cancelled(self, owner: str, sources: Sequence[SourceFile]) -> list[SourceFile]:
        """Leave out files whose reading was cancelled and which have not changed since."""
        rows = self._rows(
            "SELECT path, stamp FROM items WHERE owner = ? AND state = 'cancelled'", (owner,)
        )
        given_up = dict(rows)
        if not given_up:
            return list(sources)
        return [
            source
            for source in sources
            if (stamp := given_up.get(str(source.path))) is None
            or stamp != stamp_of(source.path)[1]
        ]

    def take_over(self) -> list[Item]:
        """Deal with what programs that ended have left; return the uploads that wait for a reader.

        Of other files the rows go: who keeps their folder in step finds them again.
        """
        with _told():
            known = self._readers.known()
        found = self._rows(f"SELECT DISTINCT reader FROM items WHERE reader != '' AND {_ACTIVE}")
        known |= {reader for (reader,) in found}
        dead = [reader for reader in known if not self._readers.lives(reader)]
        with self._writing() as db:
            of_dead = f"reader IN ({marks(dead)}) AND {_ACTIVE}"
            db.execute(
                "UPDATE items SET state = 'waiting', stage = '', reader = '', done = 0, total = 0,"
                f" begun = 0 WHERE {of_dead} AND origin = ? AND path LIKE ?",
                (*dead, UPLOAD, f"{self._files}/%"),
            )
            db.execute(f"DELETE FROM items WHERE {of_dead}", dead)
        return self.unread()

    def unread(self) -> list[Item]:
        """Return what waits for a reader."""
        return self._items("state = 'waiting' AND reader = ''")

    def sweep(self) -> None:
        """Remove kept files that no item names, as a kill leaves them. Only while nobody adds."""
        named = {row[0] for row in self._rows(f"SELECT path FROM items WHERE {_ACTIVE}")}
        with _told():
            for path in self._files.iterdir():
                if str(path) not in named:
                    path.unlink(missing_ok=True)

    def items(self, ids: Collection[int]) -> list[Item]:
        """Return these items, in the order of their coming."""
        return self._items(f"id IN ({marks(tuple(ids))})", tuple(ids))

    def active(self, owners: Sequence[str]) -> list[int]:
        """Return the ids of what of ``owners`` is not ended."""
        query = f"SELECT id FROM items WHERE owner IN ({marks(owners)}) AND {_ACTIVE}"
        return [row[0] for row in self._rows(query, owners)]

    def kept_of(self, owner: str) -> tuple[int, int]:
        """Return how many uploads of an owner wait or are read, and how large they are."""
        query = f"SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM items WHERE owner = ? AND {_ACTIVE}"
        [(count, size)] = self._rows(f"{query} AND origin = ?", (owner, UPLOAD))
        return count, size

    def of_message(self, owner: str, asked: str) -> list[Item]:
        """Return what was dropped with one message of an owner's."""
        return self._items("owner = ? AND asked = ?", (owner, asked))

    def overview(self, owners: Sequence[str] | None, limit: int) -> Overview:
        """Return the queue as ``owners`` see it, all where None.

        What is being read comes first, then what waits, then what ended last.
        """
        whose = "1" if owners is None else f"owner IN ({marks(owners)})"
        given = tuple(owners or ())
        order = "state IN ('ready', 'failed', 'cancelled'), state = 'waiting', ended DESC, id"
        items = self._items(whose, (*given, limit), f"{order} LIMIT ?")
        [(active, waiting)] = self._rows(
            f"SELECT COUNT(*), COALESCE(SUM(bytes), 0) FROM items WHERE {whose} AND {_ACTIVE}",
            given,
        )
        now = self._clock()
        [(passages, size, first)] = self._rows(
            "SELECT COALESCE(SUM(passages), 0), COALESCE(SUM(bytes), 0), MIN(begun) FROM items"
            " WHERE state = 'ready' AND begun > 0 AND ended > ?",
            (now - LATELY_S,),
        )
        took_s = max(1.0, min(LATELY_S, now - first)) if first else 0.0
        return Overview(
            items=items,
            active=active,
            passages_per_s=passages / took_s if took_s else 0.0,
            seconds_left=waiting * took_s / size if took_s and size and active else None,
        )

    def forget(self, owner: str, names: Collection[str] | None = None) -> None:
        """Take out what ended of an owner's documents ``names``; of all, also what waits."""
        if names is None:
            self.drop([one.id for one in self._items("owner = ?", (owner,))])
            return
        with self._writing() as db:
            db.executemany(
                f"DELETE FROM items WHERE owner = ? AND name = ? AND NOT {_ACTIVE}",
                [(owner, name) for name in names],
            )

    def give(self, owner: str, heir: str) -> None:
        """Give what waits for a reader, and what ended, to another owner."""
        with self._writing() as db:
            db.execute("UPDATE items SET owner = ? WHERE owner = ? AND reader = ''", (heir, owner))

    def close(self) -> None:
        """Close the queue; what this program reads is the next one's."""
        with self._lock:
            self._db.close()
        self._readers.close()

    @property
    def _files(self) -> Path:
        return self._folder / FILES_NAME

    def _insert(
        self,
        db: sqlite3.Connection,
        owner: str,
        source: SourceFile,
        reader: str,
        thread: str = "",
        asked: str = "",
    ) -> int:
        size, stamp = stamp_of(source.path)
        row = (owner, source.name, source.origin, str(source.path), size, stamp, self._clock())
        # What became of it before is said by what becomes of it now.
        db.execute(
            f"DELETE FROM items WHERE owner = ? AND name = ? AND NOT {_ACTIVE}",
            (owner, source.name),
        )
        found = db.execute(
            "INSERT INTO items(owner, name, origin, path, bytes, stamp, added, reader, thread,"
            " asked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, reader, thread, asked),
        )
        assert found.lastrowid is not None  # noqa: S101 - an INSERT always sets it
        return found.lastrowid

    def _prune(self, db: sqlite3.Connection, owner: str) -> None:
        db.execute(
            f"DELETE FROM items WHERE owner = ?1 AND NOT {_ACTIVE} AND (ended < ?2 OR id NOT IN ("
            f"SELECT id FROM items WHERE owner = ?1 AND NOT {_ACTIVE}"
            " ORDER BY ended DESC, id DESC LIMIT ?3))",
            (owner, self._clock() - KEPT_S, KEPT_ITEMS),
        )

    def _forget_file(self, ids: Collection[int]) -> None:
        for item in self.items(ids):
            if item.is_kept:
                with _told():
                    Path(item.path).unlink(missing_ok=True)

    def _items(self, where: str, values: Sequence[object] = (), order: str = "id") -> list[Item]:
        rows = self._rows(f"SELECT {COLUMNS} FROM items WHERE {where} ORDER BY {order}", values)
        return [Item(*row) for row in rows]

    def _rows(self, query: str, values: Sequence[object] = ()) -> list[Any]:
        with self._lock, _told():
            return self._db.execute(query, tuple(values)).fetchall()

    @contextmanager
    def _writing(self, *, durable: bool = False) -> Iterator[sqlite3.Connection]:
        """Lend the connection in one transaction; ``durable``: it outlives a power cut."""
        with self._lock, _told():
            if durable:
                self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            finally:
                if durable:
                    self._db.execute("PRAGMA synchronous = NORMAL")


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
    )
    try:
        path.chmod(0o600)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.executescript(_SCHEMA)
        if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("the queue is malformed")
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def _told() -> Iterator[None]:
    """Turn what the disk refuses into our errors."""
    try:
        yield
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL:
            raise DiskFullError("The disk is full: nothing more can be taken in.") from exc
        raise StoreError(f"What comes in cannot be written down ({exc}).") from exc
    except sqlite3.DatabaseError as exc:
        raise StoreError(f"The queue of what comes in is damaged ({exc}).") from exc
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError("The disk is full: nothing more can be taken in.") from exc
        raise StoreError(f"What comes in cannot be kept ({exc.strerror}).") from exc
