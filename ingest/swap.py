"""Replacing the databases of a data folder as a whole, whatever is killed and whenever.

What is to be done is written down first, in one file. From that moment it is done: by us or,
when we were killed, by whoever opens the folder next. Each step can be repeated. What is replaced
is moved aside and never deleted.

Whoever has the database open holds a shared lock; a swap needs the lock for itself.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from core.durable import publish, sync_folder
from core.errors import StoreError, StoreLockedError

log = structlog.get_logger(__name__)

DATABASE_NAME: Final = "xoe.sqlite"
INDEX_NAME: Final = "index"
ORIGINALS_NAME: Final = "originals"
QUARANTINE_NAME: Final = "quarantine"
LET_GO_S: Final = 3.0
LOOK_AGAIN_S: Final = 0.05
REPLACED_NAME: Final = "replaced"
NOTE_NAME: Final = "reason.txt"

SUSPECT_SUFFIX: Final = ".suspect"
"""Ends the name of a note that the database is to be checked wholly before it is used again."""
PLAN_NAME: Final = "swap.json"
_LOCK_NAME: Final = "store.lock"
# The write-ahead log goes first: a database without it is older but whole, and the plan is still
# there to be finished; a log without its database would be thrown away by SQLite.
_LOGS: Final = ("-wal", "-shm")
_MOVED: Final = (
    *(f"{DATABASE_NAME}{end}" for end in (*_LOGS, SUSPECT_SUFFIX)),
    INDEX_NAME,
    DATABASE_NAME,
)


@dataclass(frozen=True)
class Plan:
    """What is to be done; folders are names inside the data folder."""

    aside: str
    """Where what is there now goes."""
    incoming: str | None
    """The folder that holds the new ``xoe.sqlite`` and ``originals``; without one there are none
    afterwards."""
    reason: str
    """Why; for a person who finds the folder."""
    others: tuple[str, ...] = ()
    """Names of other databases in ``incoming`` that are exchanged with it."""


class Hold:
    """A lock on the database of a data folder; the kernel frees it when we die."""

    def __init__(self, data_dir: Path) -> None:
        """Open the lock's file. Raises ``StoreError``."""
        try:
            self._descriptor = os.open(data_dir / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            raise StoreError(
                f"The data folder {data_dir} cannot be written ({exc.strerror}). "
                "Choose another with --data-dir or XOE_DATA_DIR."
            ) from exc
        self._data_dir = data_dir

    @classmethod
    def shared(cls, data_dir: Path) -> Hold:
        """Take the lock together with all others that read or write the database.

        A swap that was begun is finished first. Raises ``StoreError``.
        """
        hold = cls(data_dir)
        try:
            while True:
                hold._lock(fcntl.LOCK_SH)
                if not (data_dir / PLAN_NAME).exists():
                    return hold
                hold._lock(fcntl.LOCK_EX)  # lets go of the shared one first
                finish(data_dir)
        except BaseException:
            hold.release()
            raise

    @classmethod
    def alone(cls, data_dir: Path) -> Hold:
        """Take the lock for a swap; one that was begun is finished first.

        Raises ``StoreLockedError`` when somebody has the database open.
        """
        hold = cls(data_dir)
        try:
            hold._lock(fcntl.LOCK_EX | fcntl.LOCK_NB)
            finish(data_dir)
        except BlockingIOError as exc:
            hold.release()
            raise StoreLockedError(
                f"Another program is using the documents in {data_dir}. Wait until it has ended, "
                "or stop it, and try again."
            ) from exc
        except BaseException:
            hold.release()
            raise
        return hold

    def release(self) -> None:
        """Let go; harmless when that was done already."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _lock(self, kind: int) -> None:
        fcntl.flock(self._descriptor, kind)


def swap(data_dir: Path, plan: Plan) -> Path:
    """Carry out ``plan`` and return the folder with what was replaced.

    The caller holds the lock alone. Raises ``OSError``; before the plan is written nothing has
    happened, afterwards the next one to open the folder goes on.
    """
    temporary = data_dir / f"{PLAN_NAME}.tmp"
    temporary.write_text(json.dumps(asdict(plan)), encoding="utf-8")
    publish(temporary, data_dir / PLAN_NAME)
    finish(data_dir)
    return data_dir / plan.aside


def finish(data_dir: Path) -> None:
    """Carry out what a plan in ``data_dir`` says, if there is one. The lock is held alone."""
    plan = _read_plan(data_dir)
    if plan is None:
        return
    aside = data_dir / plan.aside
    aside.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in plan.others:
        moved = (*(f"{name}{end}" for end in _LOGS), name)
        _exchange(data_dir, aside, moved, data_dir / str(plan.incoming) / name)
    originals = data_dir / plan.incoming / ORIGINALS_NAME if plan.incoming else None
    _exchange(data_dir, aside, (ORIGINALS_NAME,), originals)
    (aside / NOTE_NAME).write_text(f"{plan.reason}\n", encoding="utf-8")
    _exchange(
        data_dir, aside, _MOVED, data_dir / plan.incoming / DATABASE_NAME if plan.incoming else None
    )
    sync_folder(aside.parent)
    sync_folder(data_dir)
    (data_dir / PLAN_NAME).unlink()
    sync_folder(data_dir)
    if plan.incoming:
        shutil.rmtree(data_dir / plan.incoming, ignore_errors=True)
    log.info("store.set_aside", folder=str(aside))


def _exchange(data_dir: Path, aside: Path, names: Sequence[str], new: Path | None) -> None:
    """Move ``names`` aside and ``new`` in their place."""
    if new is not None and not new.exists():  # what is there is the new one already
        return
    for name in names:
        old = data_dir / name
        if old.exists():
            old.rename(aside / name)
    sync_folder(aside)
    if new is not None:
        new.rename(data_dir / new.name)


def free_folder(data_dir: Path, parent: str) -> str:
    """Return a name below ``parent`` that says when, and that nothing has yet."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for number in range(1, 1000):
        name = f"{parent}/{stamp}" + (f"-{number}" if number > 1 else "")
        if not (data_dir / name).exists():
            return name
    raise StoreError(f"{data_dir / parent} is full of folders; move some of them away.")


def quarantine(data_dir: Path, reason: str) -> Path:
    """Move a damaged database aside with all that belongs to it; return where it is now.

    A process that was being started while this one had it open holds it until it runs its own
    program, so it is tried for ``LET_GO_S``. Raises ``StoreLockedError`` when somebody has it open,
    and ``OSError``. Blocking.
    """
    let_go = Retrying(
        stop=stop_after_delay(LET_GO_S),
        wait=wait_fixed(LOOK_AGAIN_S),
        retry=retry_if_exception_type(StoreLockedError),
        reraise=True,
    )
    hold = let_go(Hold.alone, data_dir)
    try:
        return swap(data_dir, Plan(free_folder(data_dir, QUARANTINE_NAME), None, reason))
    finally:
        hold.release()


def quarantined(data_dir: Path) -> list[Path]:
    """Return the folders with damaged databases, oldest first."""
    folder = data_dir / QUARANTINE_NAME
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _read_plan(data_dir: Path) -> Plan | None:
    path = data_dir / PLAN_NAME
    try:
        plan = Plan(**json.loads(path.read_text(encoding="utf-8")))
        if plan.aside.split("/")[0] not in (QUARANTINE_NAME, REPLACED_NAME):
            raise ValueError(plan.aside)
        if any(Path(name).name != name for name in plan.others):
            raise ValueError(plan.others)
        return plan
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError) as exc:
        raise StoreError(
            f"{path} cannot be understood: it says how the database is to be replaced, and was "
            "changed or damaged. Move it away to go on with the database that is there."
        ) from exc
