"""Finds the documents that a person means by paths, folders and patterns."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from core.errors import DocumentError
from ingest.loaders.kinds import READABLE, kind_named

_MAGIC = frozenset("*?[")


def supported_paths(paths: Iterable[str | Path]) -> list[Path]:
    """Expand paths, folders (with all below them) and patterns such as ``notes/**/*.md``.

    From folders and patterns only files of a supported kind are taken; hidden files, and links
    that lead out of the folder, are passed over. A file that is named itself is always taken.
    Paths below a folder begin with the folder as it was given. Sorted, each file once; a folder
    without documents gives none. Blocking.

    Raises ``DocumentError`` for a path that is not there, a pattern that nothing matches, and a
    folder that may not be read: to tell them apart, call it for one path at a time.
    """
    found: dict[Path, Path] = {}
    for given in paths:
        for path in _expand(Path(given).expanduser()):
            found.setdefault(path.absolute(), path)
    return [found[key] for key in sorted(found)]


def passed_over(folder: Path) -> Counter[str]:
    """Count the files below ``folder`` that are of no kind that can be read, by their endings.

    Hidden files are not counted; a folder that is not there holds none. Blocking.
    Raises ``DocumentError`` as ``supported_paths`` does.
    """
    return Counter(
        path.suffix.lower() or "without an ending"
        for path in (_files(folder) if folder.is_dir() else ())
        if kind_named(path.name) is None and path.is_file()
    )


def _expand(path: Path) -> list[Path]:
    if path.is_dir():
        return list(_walk(path))
    if path.is_file():
        return [path]
    if path.exists():
        raise DocumentError(f"{path} is neither a file nor a folder.")
    if _MAGIC & set(str(path)):
        if matches := list(_match(path)):
            return matches
        raise DocumentError(f"No document matches {path}; {READABLE}.")
    raise DocumentError(f"There is no file or folder {path}.")


def _walk(folder: Path) -> Iterator[Path]:
    root = folder.resolve()
    return (path for path in _files(folder) if _is_wanted(path, root))


def _files(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder but hidden ones."""

    def refused(error: OSError) -> None:
        # Passing it over would look as if its documents had been deleted.
        raise DocumentError(f"The folder {error.filename} may not be read.") from error

    for current, folders, files in os.walk(folder, onerror=refused):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(current, name) for name in files if not name.startswith("."))


def _match(pattern: Path) -> Iterator[Path]:
    parts = pattern.parts
    wild = next(i for i, part in enumerate(parts) if _MAGIC & set(part))
    base = Path(*parts[:wild])
    root = base.resolve()
    for path in base.glob("/".join(parts[wild:])):
        hidden = any(part.startswith(".") for part in path.relative_to(base).parts)
        if not hidden and _is_wanted(path, root):
            yield path


def _is_wanted(path: Path, root: Path) -> bool:
    if kind_named(path.name) is None or not path.is_file():
        return False
    return root in path.resolve().parents
