"""Finding the server that owns a data folder."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from core.data_folder import LOCK_NAME, is_locked
from core.durable import write_over

if TYPE_CHECKING:
    import httpx

ADDRESS_NAME = "server.json"


@dataclass(frozen=True)
class RunningServer:
    """A server that is up."""

    url: str
    pid: int
    uds: str | None = None
    """The Unix socket to ask over, where it listens on one."""
    token: str = field(default="", repr=False)
    """Makes whoever may read the data folder the operator."""

    @property
    def where(self) -> str:
        """The address or the Unix socket, to show."""
        return self.uds or self.url

    def client(self, timeout_s: float) -> httpx.Client:
        """Return a client for this server; close it, as with ``with``."""
        import httpx

        transport = httpx.HTTPTransport(uds=self.uds) if self.uds else None
        return httpx.Client(
            base_url=self.url,
            timeout=timeout_s,
            trust_env=False,
            transport=transport,
            headers={"Authorization": f"Bearer {self.token}"},
        )


def announce(data_dir: Path, url: str, uds: Path | None = None, token: str = "") -> None:
    """Write down where this server listens, for its owner's eyes only."""
    server = RunningServer(url, os.getpid(), None if uds is None else str(uds), token)
    write_over(data_dir / ADDRESS_NAME, json.dumps(asdict(server)).encode())


def find(data_dir: Path) -> RunningServer | None:
    """Return the server that owns ``data_dir``, or None."""
    if not is_locked(data_dir / LOCK_NAME):
        return None
    try:
        fields = json.loads((data_dir / ADDRESS_NAME).read_text(encoding="utf-8"))
        return RunningServer(
            str(fields["url"]), int(fields["pid"]), fields.get("uds"), str(fields["token"])
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None  # it is starting
