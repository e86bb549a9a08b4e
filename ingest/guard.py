"""Stands between a file that somebody brings and the loaders: its size, name and kind."""

from __future__ import annotations

import stat
from pathlib import Path

from core.errors import DocumentError, DocumentTooLargeError
from ingest.loaders.kinds import EXTENSIONS, READABLE, SUPPORTED, KindInfo, place, unit_of
from ingest.loaders.sniffing import sniff
from ingest.loaders.sound_kinds import is_recording
from ingest.names import safe_name, safe_relative_name
from ingest.paths import passed_over, supported_paths

__all__ = [
    "EXTENSIONS",
    "READABLE",
    "SUPPORTED",
    "KindInfo",
    "check_size",
    "is_recording",
    "passed_over",
    "place",
    "safe_name",
    "safe_relative_name",
    "sniff",
    "supported_paths",
    "unit_of",
]

MB = 1024 * 1024


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


def _too_large(limit_bytes: int) -> DocumentTooLargeError:
    limit = f"{limit_bytes / MB:,.0f} MB" if limit_bytes >= MB else f"{limit_bytes:,} bytes"
    return DocumentTooLargeError(
        f"It is larger than {limit}, the limit for one document; split it and try again."
    )
