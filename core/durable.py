"""Files that a crash leaves whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def publish(temporary: Path, final: Path) -> None:
    """Make ``temporary`` durable, then give it its final name, in the same folder."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(final)
    sync_folder(final.parent)


def sync_folder(path: Path) -> None:
    """Make what was created, renamed or removed in a folder durable."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_once(path: Path, content: bytes, *, mode: int = 0o600) -> bool:
    """Write a file whole or not at all; return False where another program was first."""
    temporary = _written(path, content, mode)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def write_over(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write a file whole or leave the one that is there."""
    temporary = _written(path, content, mode)
    try:
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def _written(path: Path, content: bytes, mode: int) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary
