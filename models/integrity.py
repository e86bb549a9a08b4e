"""Whether a file is the one that the manifest means.

Hashing 500 MB takes about a second, so a file that has been hashed is remembered by its size and
modification time beside it, and hashed again when either changes. ``xoe models verify`` always
hashes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from models.manifest import ModelFile

log = structlog.get_logger(__name__)

MARKER = ".verified.json"
_CHUNK_BYTES = 1 << 20


def sha256_of(path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
    """Return the file's SHA-256 in hex; ``on_bytes`` is told how many bytes have been read."""
    digest = hashlib.sha256()
    done = 0
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            if on_bytes is not None:
                on_bytes(done)
    return digest.hexdigest()


def is_right(path: Path, file: ModelFile, on_bytes: Callable[[int], None] | None = None) -> bool:
    """Hash the file; ``True`` when it is the one that the manifest means."""
    return path.stat().st_size == file.bytes and sha256_of(path, on_bytes) == file.sha256


def matches(path: Path, file: ModelFile, on_bytes: Callable[[int], None] | None = None) -> bool:
    """Do as ``is_right`` and remember the outcome for the next start."""
    # The state before hashing is what was hashed: a change during it changes the time.
    before = path.stat()
    good = is_right(path, file, on_bytes)
    _write(path, _state(before, file) if good else None)
    return good


def remember(path: Path, file: ModelFile) -> None:
    """Note that ``path`` is right, as hashed just now under another name."""
    _write(path, _state(path.stat(), file))


def is_remembered(path: Path, file: ModelFile) -> bool:
    """Whether the file was hashed with success and has not changed since, by size and time."""
    return _load(path.parent).get(path.name) == _state(path.stat(), file)


def _state(status: os.stat_result, file: ModelFile) -> list[Any]:
    return [status.st_size, status.st_mtime_ns, file.sha256]


def _load(folder: Path) -> dict[str, Any]:
    try:
        known = json.loads((folder / MARKER).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(path: Path, state: list[Any] | None) -> None:
    known = _load(path.parent)
    if known.get(path.name) == state:
        return
    known.pop(path.name, None)
    if state is not None:
        known[path.name] = state
    # Two threads or processes may write at once; each has a file of its own, the last one stays.
    temporary = path.with_name(f"{MARKER}.{os.getpid()}-{threading.get_ident()}")
    try:
        temporary.write_text(json.dumps(known), "utf-8")
        temporary.replace(path.parent / MARKER)
    except OSError as exc:
        # A folder that may only be read is fine: it is hashed at each start.
        log.debug("model.marker.not_written", folder=str(path.parent), reason=str(exc))
        with contextlib.suppress(OSError):
            temporary.unlink()
