"""What a tunnel is to whoever opens one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

TunnelState = Literal["connecting", "up", "lost", "refused", "ended"]
"""``lost``: it is tried again after a pause. ``refused`` and ``ended`` are final."""


@dataclass(frozen=True)
class LocalEnd:
    """Where the far end's connections are handed to on this computer."""

    socket: Path
    """A Unix socket that listens."""
    tls: bool = False
    """Whether what listens there speaks TLS itself."""


@dataclass(frozen=True)
class PublicAddress:
    """Where the world reaches the local end."""

    url: str
    """Scheme, host and port, without a path or a slash at the end."""
    port: int | None = None
    """The far end's port, where it is one of ours to keep."""


@dataclass(frozen=True)
class TunnelEvent:
    """What became of a tunnel, as a sentence for a person."""

    state: TunnelState
    sentence: str
    url: str | None = None
    """The address, once there is one; it stays while the tunnel is lost."""
    retry_in_s: float | None = None
    """Seconds until it is tried again; only when it is lost."""
    connections: int = 0
    """How often it came up."""


OnEvent = Callable[[TunnelEvent], None]
"""Called in the event loop; must not block or raise."""


class Tunnel(ABC):
    """A way from a public address to this computer. Opened once, closed once."""

    @property
    @abstractmethod
    def state(self) -> TunnelEvent:
        """What it did last."""

    @abstractmethod
    async def open(self, target: LocalEnd) -> PublicAddress:
        """Open it and keep it open until ``aclose``, whatever happens on the way.

        Raises ``TunnelError`` when the first connection fails: that is not tried again.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Close it; nothing of it runs afterwards. Harmless when it is closed already."""
