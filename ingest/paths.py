"""Finds the documents that a person means by paths, folders and patterns."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ingest.loaders.kinds import EXTENSIONS, READABLE
from ingest.names import safe_relative_name

_MAGIC = frozenset("*?[")


@dataclass(frozen=True, order=True)
class FoundFile:
    """A file to ingest."""

    path: Path
    """Absolute."""
    name: str
    """Relative to the folder that was named, or to a pattern's part before the first wildcard."""


@dataclass(frozen=True)
class FoundFiles:
    """What was found, and what was not."""

    files: tuple[FoundFile, ...]
    """Sorted by path, each once."""
    problems: tuple[tuple[str, str], ...]
    """``(path as given, reason)``."""


def supported_paths(paths: Iterable[str | Path]) -> FoundFiles:
    """Expand paths, folders (with all below them) and patterns such as ``notes/**/*.md``.

    From folders and patterns only files of a supported kind are taken; hidden files, and links
    that lead out of the folder, are passed over. A file that is named itself is always taken.
    Blocking.
    """
    found: dict[Path, FoundFile] = {}
    problems: list[tuple[str, str]] = []
    for given in map(str, paths):
        before = len(problems)
        files = list(_expand(Path(given).expanduser(), problems))
        if not files and len(problems) == before:
            problems.append((given, _nothing(Path(given).expanduser())))
        for file in files:
            found.setdefault(file.path, file)
    return FoundFiles(tuple(sorted(found.values())), tuple(problems))


def _expand(path: Path, problems: list[tuple[str, str]]) -> Iterator[FoundFile]:
    if path.is_dir():
        yield from _walk(path, problems)
    elif path.is_file():
        yield FoundFile(path.absolute(), safe_relative_name(path.name))
    elif _is_pattern(path) and not path.exists():
        yield from _match(path)


def _walk(folder: Path, problems: list[tuple[str, str]]) -> Iterator[FoundFile]:
    root = folder.resolve()

    def refused(error: OSError) -> None:
        problems.append((str(error.filename), "The folder may not be read."))

    for current, folders, files in os.walk(root, onerror=refused):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            path = Path(current, name)
            if not name.startswith(".") and _is_wanted(path, root):
                yield FoundFile(path, safe_relative_name(path.relative_to(root).as_posix()))


def _match(pattern: Path) -> Iterator[FoundFile]:
    parts = pattern.parts
    wild = next(i for i, part in enumerate(parts) if _MAGIC & set(part))
    base = Path(*parts[:wild]).resolve()
    for path in base.glob("/".join(parts[wild:])):
        below = path.relative_to(base)
        if not any(part.startswith(".") for part in below.parts) and _is_wanted(path, base):
            yield FoundFile(path, safe_relative_name(below.as_posix()))


def _is_wanted(path: Path, root: Path) -> bool:
    if path.suffix.lower() not in EXTENSIONS or not path.is_file():
        return False
    return root in path.resolve().parents


def _is_pattern(path: Path) -> bool:
    return bool(_MAGIC & set(str(path)))


def _nothing(path: Path) -> str:
    if path.is_dir():
        return f"There is no document in this folder; {READABLE}."
    if path.exists():
        return "It is not a file or a folder."
    if _is_pattern(path):
        return f"No document matches this pattern; {READABLE}."
    return "There is no such file or folder."
