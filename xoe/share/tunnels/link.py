"""One connection of a tunnel, from when it is up until it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from core.errors import TunnelError
from xoe.share.tunnels.process import Child
from xoe.share.tunnels.types import LocalEnd, PublicAddress


class Link:
    """A connection that is up, by a program that runs."""

    def __init__(
        self, child: Child, address: PublicAddress, why: Callable[[], TunnelError]
    ) -> None:
        """``why`` tells why the program has ended, from what it wrote."""
        self.address = address
        self._child = child
        self._why = why

    @property
    def pid(self) -> int:
        """The program's process id."""
        return self._child.pid

    async def ended(self) -> TunnelError:
        """Wait until it ends, and return why."""
        while await self._child.line() is not None:
            pass  # what nobody reads is not kept
        await self._child.ended()
        return self._why()

    async def aclose(self) -> None:
        """End the program."""
        await self._child.aclose()


class Dialer(Protocol):
    """Knows how to make one connection."""

    @property
    def far(self) -> str:
        """The far end, to show."""

    async def dial(self, local: LocalEnd, before: PublicAddress | None) -> Link:
        """Connect; ``before`` is the address to keep where that can be.

        Raises ``TunnelError``; ``HostKeyError`` where trying again would be wrong.
        """
