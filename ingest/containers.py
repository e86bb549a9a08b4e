"""Files inside of files: what an archive packs, what is attached to a mail."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath

import psutil

from ingest.guard import safe_relative_name
from ingest.parse_lane import Unpacked
from ingest.sources import SourceFile, origin_inside

MAX_DEPTH = 3
"""Archives in archives: what is deeper is not unpacked."""
_FOLDER = "unpacking"


def members_of(
    source: SourceFile, unpacked: Sequence[Unpacked]
) -> Iterator[tuple[SourceFile, str]]:
    """Yield what was unpacked as files to ingest, and why where one cannot be read.

    Each has a name of its own, which begins with that of ``source``.
    """
    taken: set[str] = set()
    for one in unpacked:
        name = safe_relative_name(f"{source.name}/{one.name}")
        path = PurePosixPath(name)
        number = 2
        while name in taken:
            name = str(path.with_name(f"{path.stem} ({number}){path.suffix}"))
            number += 1
        taken.add(name)
        inside = SourceFile(one.path, name, origin_inside(source.name), depth=source.depth + 1)
        yield inside, one.reason


@asynccontextmanager
async def unpacking_folder(data_dir: Path) -> AsyncIterator[Path]:
    """Make a folder for unpacked files, which goes when it is left; those of the dead go too."""
    made = await asyncio.to_thread(_make, data_dir / _FOLDER)
    try:
        yield made
    finally:
        # Not awaited: who is cancelled here waits for nothing any more.
        shutil.rmtree(made, ignore_errors=True)


def _make(base: Path) -> Path:
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in base.iterdir():
        pid = left.name.partition("-")[0]
        if not (pid.isdecimal() and psutil.pid_exists(int(pid))):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{psutil.Process().pid}-", dir=base))
