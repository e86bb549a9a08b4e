"""Stands between a file that somebody brings and the loaders: its size, name and kind."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from ingest.loaders.kinds import ACCEPT, EXTENSIONS, READABLE, SUPPORTED, KindInfo, sniff
from ingest.names import safe_name, safe_relative_name
from ingest.paths import supported_paths
from xoe.errors import DiskFullError, DocumentError, DocumentTooLargeError

__all__ = [
    "ACCEPT",
    "EXTENSIONS",
    "READABLE",
    "SUPPORTED",
    "KindInfo",
    "check_size",
    "copy_limited",
    "safe_name",
    "safe_relative_name",
    "sniff",
    "supported_paths",
]

MB = 1024 * 1024
_CHUNK_BYTES = MB


def check_size(path: Path, limit_mb: int) -> int:
    """Return the size of the file in bytes; refuse what is over the limit or no file.

    A look before the work starts: whoever reads or copies the file keeps counting.
    """
    try:
        status = path.stat()
    except OSError as exc:
        raise DocumentError("It is not there any more, or may not be read.") from exc
    if not stat.S_ISREG(status.st_mode):
        raise DocumentError("It is not a file.")
    if status.st_size > limit_mb * MB:
        raise _too_large(limit_mb * MB)
    return status.st_size


def copy_limited(src: Path | BinaryIO, dst: Path, limit_bytes: int) -> int:
    """Copy a file, counting what is really read; return its size in bytes.

    Blocking. Over the limit, or when the disk is full, nothing is left at ``dst``. Raises
    ``DocumentTooLargeError``, ``DiskFullError`` or ``DocumentError``.
    """
    if isinstance(src, Path):
        check_size(src, -(-limit_bytes // MB))
        try:
            with src.open("rb") as file:
                return copy_limited(file, dst, limit_bytes)
        except OSError as exc:
            raise DocumentError("It cannot be read; check that you may open it.") from exc
    try:
        return _copy(src, dst, limit_bytes)
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(
                "There is no space left to keep the document; free some and try again."
            ) from exc
        raise


def _copy(src: BinaryIO, dst: Path, limit_bytes: int) -> int:
    # Exclusive: an upload never writes over, or through a link into, something else.
    descriptor = os.open(dst, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    size = 0
    try:
        with os.fdopen(descriptor, "wb") as target:
            while chunk := src.read(min(_CHUNK_BYTES, limit_bytes - size + 1)):
                size += len(chunk)
                if size > limit_bytes:
                    raise _too_large(limit_bytes)
                target.write(chunk)
    except BaseException:
        dst.unlink(missing_ok=True)
        raise
    return size


def _too_large(limit_bytes: int) -> DocumentTooLargeError:
    limit = f"{limit_bytes / MB:,.0f} MB" if limit_bytes >= MB else f"{limit_bytes:,} bytes"
    return DocumentTooLargeError(
        f"It is larger than {limit}, the limit for one document; split it and try again."
    )
