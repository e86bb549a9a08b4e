"""Finding the server that owns a data folder."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from xoe.lock import LOCK_NAME, is_locked

ADDRESS_NAME = "server.json"


@dataclass(frozen=True)
class RunningServer:
    """A server that is up."""

    url: str
    pid: int


def announce(data_dir: Path, url: str) -> None:
    """Write down where this server listens."""
    path = data_dir / ADDRESS_NAME
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(RunningServer(url, os.getpid()))), encoding="utf-8")
    temporary.replace(path)


def find(data_dir: Path) -> RunningServer | None:
    """Return the server that owns ``data_dir``, or None."""
    if not is_locked(data_dir / LOCK_NAME):
        return None
    try:
        fields = json.loads((data_dir / ADDRESS_NAME).read_text(encoding="utf-8"))
        return RunningServer(url=str(fields["url"]), pid=int(fields["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # it is starting
