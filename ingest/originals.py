"""The files that documents were read from, kept as they came: ``originals/<2>/<sha256>``.

Kept are uploads, and what an archive packs or a mail brings; what lies in a folder stays there. A
file has the hash of its bytes as its name, so the same one is kept once, whoever gave it. It is
written before the document that names it, and goes when the last such document has gone.

Between the two it is named in a note of who is reading it. A note is locked for as long as its
writer lives, so that of one that was killed counts for nothing.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

from core.allotment import may_take
from core.durable import sync_folder
from core.errors import StoreError
from ingest.swap import ORIGINALS_NAME

log = structlog.get_logger(__name__)

NOT_KEPT: Final = (
    "The file itself was not kept, as the disk is to have room for others too; its text was."
)
_NOTES: Final = "arriving"
_LOCK: Final = "lock"
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)
_BLOCK_BYTES: Final = 1 << 20


class Originals:
    """The kept files of a data folder. Blocking; several processes may use it at once."""

    def __init__(self, data_dir: Path) -> None:
        """Nothing is made yet."""
        self.folder = data_dir / ORIGINALS_NAME

    def path(self, sha256: str) -> Path:
        """Return where the file of this content is, or would be."""
        return self.folder / sha256[:2] / sha256

    def arriving(self) -> Arriving:
        """Return what keeps files that are about to be read."""
        return Arriving(self)

    def kept(self) -> Iterator[Path]:
        """Yield all that is kept."""
        for below in sorted(self.folder.glob("[0-9a-f][0-9a-f]")):
            yield from (path for path in sorted(below.iterdir()) if _HASH.fullmatch(path.name))

    def collect(self, named: Callable[[], Collection[str]]) -> int:
        """Remove each file whose hash is not among ``named()``; return how many were.

        What is arriving stays. Raises ``StoreError``.
        """
        if not self.folder.is_dir():
            return 0
        try:
            with self.locked():
                # In this order: a document is there before its note goes.
                arriving = self._arriving()
                held = arriving | set(named())
                gone = [path for path in self.kept() if path.name not in held]
                for path in gone:
                    path.unlink()
                for folder in {path.parent for path in gone}:
                    sync_folder(folder)
        except OSError as exc:
            raise StoreError(
                f"Files of deleted documents cannot be removed just now ({exc.strerror})."
            ) from exc
        if gone:
            log.info("originals.removed", files=len(gone))
        return len(gone)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep all others from adding, naming or removing files meanwhile."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _arriving(self) -> set[str]:
        """Return what the notes name; those of the dead go, with what they had begun to write."""
        found: set[str] = set()
        folder = self.folder / _NOTES
        for note in list(folder.glob("*.txt")) if folder.is_dir() else ():
            with note.open("rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    found |= set(file.read().decode("ascii").split())
                    continue
            note.unlink()
            note.with_suffix(".part").unlink(missing_ok=True)
        return found


class Arriving:
    """Keeps the files of one run of reading until its documents are there. For one thread."""

    def __init__(self, originals: Originals) -> None:
        """Nothing is written before the first file."""
        self._originals = originals
        self._note: int | None = None
        self._path = originals.folder / _NOTES / f"{secrets.token_hex(8)}.txt"
        self._bytes = 0

    def keep(self, path: Path, sha256: str, *, held: int) -> bool:
        """Keep a copy of the file at ``path``; return False where it is too much for the disk.

        ``held``: bytes that its owner has here already. A file that has changed since its hash was
        told is not kept. Raises ``OSError``.
        """
        final = self._originals.path(sha256)
        size = path.stat().st_size
        with self._originals.locked():
            self._name(sha256)
            if final.exists() and final.stat().st_size == size:
                return True
        free = shutil.disk_usage(self._originals.folder).free
        if not may_take(size, held=held + self._bytes, free=free):
            return False
        part = self._path.with_suffix(".part")
        try:
            if _copied(path, part) != sha256:
                return False
            if not final.parent.is_dir():
                final.parent.mkdir(mode=0o700, exist_ok=True)
                sync_folder(self._originals.folder)
            part.replace(final)
            sync_folder(final.parent)
        except OSError as exc:
            if exc.errno in _FULL:
                return False
            raise
        finally:
            part.unlink(missing_ok=True)
        self._bytes += size
        return True

    def spare(self, hashes: Collection[str]) -> None:
        """Keep what is there of these until the end, whatever is deleted. Raises ``OSError``."""
        with self._originals.locked():
            self._name("\n".join(hashes))

    def end(self, named: Callable[[], Collection[str]]) -> None:
        """Let go of all: the documents are there, as ``named()`` tells, or will not be.

        What no document names goes, also where another file has replaced it. What cannot be
        removed now is looked for at the next deletion, and the next start.
        """
        if self._note is None:
            return
        with suppress(OSError):
            self._path.unlink()
        os.close(self._note)
        self._note = None
        try:
            self._originals.collect(named)
        except StoreError as exc:
            log.warning("originals.not_removed", error=str(exc))

    def _name(self, sha256: str) -> None:
        if self._note is None:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            how = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
            self._note = os.open(self._path, how, 0o600)
            fcntl.flock(self._note, fcntl.LOCK_EX)
        os.write(self._note, f"{sha256}\n".encode())


def _copied(path: Path, target: Path) -> str:
    """Copy a file, mode 0600, durable; return the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    descriptor = os.open(target, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    with path.open("rb", buffering=0) as source, os.fdopen(descriptor, "wb") as out:
        while block := source.read(_BLOCK_BYTES):
            digest.update(block)
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest()
