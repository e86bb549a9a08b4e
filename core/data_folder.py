"""One server a data folder."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from core.errors import DiskFullError, StoreError, StoreLockedError

LOCK_NAME = "server.lock"


def is_locked(path: Path) -> bool:
    """Tell whether a process holds the lock file ``path``."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


class DataFolder:
    """A data folder that this process alone serves from. The kernel frees it when we die."""

    def __init__(self, path: Path) -> None:
        """Name the folder; nothing is made yet."""
        self.path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Make the folder (mode 0700) and take it.

        Raises ``StoreLockedError`` when another server has it, ``StoreError`` when it cannot be
        made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            raise StoreError(
                f"The data folder {self.path} cannot be written ({exc.strerror}). "
                "Choose another with --data-dir or XOE_DATA_DIR."
            ) from exc
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreLockedError(
                f"Another server (process {owner}) is using the data folder {self.path}. "
                "Stop it, or give this one a folder of its own with --data-dir."
            ) from exc
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as exc:
            os.close(descriptor)
            raise DiskFullError(
                f"The disk is full: nothing can be written to {self.path}. Free some space."
            ) from exc
        self._descriptor = descriptor

    def release(self) -> None:
        """Let the folder go; harmless when it was not taken."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> DataFolder:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()
