"""The programs that read documents of one data folder; each holds a file of its own locked."""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from pathlib import Path


class Readers:
    """Who of the programs that read lives. Blocking; every method raises ``OSError``."""

    def __init__(self, folder: Path) -> None:
        """Lock a file in ``folder`` for as long as this program lives."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder = folder
        self.me = secrets.token_hex(8)
        how = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        unlocked = folder / f".{self.me}"
        self._held = os.open(unlocked, how, 0o600)
        fcntl.flock(self._held, fcntl.LOCK_EX)
        unlocked.rename(folder / self.me)  # nobody takes it for that of a dead one

    def known(self) -> set[str]:
        """Return the names of all that have not ended, or were killed."""
        return {path.name for path in self._folder.iterdir() if not path.name.startswith(".")}

    def lives(self, name: str) -> bool:
        """Tell whether a program still reads; what a killed one has left goes."""
        path = self._folder / name
        try:
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        path.unlink(missing_ok=True)
        return False

    def close(self) -> None:
        """End reading."""
        os.close(self._held)
        with suppress(OSError):
            (self._folder / self.me).unlink()
