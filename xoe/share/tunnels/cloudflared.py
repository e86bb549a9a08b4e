"""Tunnels by Cloudflare's ``cloudflared``, where it is installed: an https address at once."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections import deque
from typing import Final

from core.errors import TunnelError, TunnelOptionsError
from xoe.share.tunnels.link import Link
from xoe.share.tunnels.output import first_address
from xoe.share.tunnels.process import Child
from xoe.share.tunnels.types import LocalEnd, PublicAddress

CONNECT_S: Final = 30.0
_READ_LINES: Final = 5000
# Its own interface is at api.trycloudflare.com; an error names that one.
_ADDRESS: Final = re.compile(r"(https://(?!api\.)[a-z0-9-]+\.trycloudflare\.com)(?![\w.-])")
_UP: Final = "Registered tunnel connection"
_PROBLEM: Final = re.compile(r"\b(?:ERR|FTL)\b\s*(.*)")


class CloudflaredDialer:
    """Makes one connection with the ``cloudflared`` of this computer."""

    far: Final = "Cloudflare"

    def __init__(self, *, connect_s: float = CONNECT_S) -> None:
        """Give it ``connect_s`` seconds from its start to the tunnel being up."""
        self._connect_s = connect_s

    async def dial(self, local: LocalEnd, before: PublicAddress | None) -> Link:
        """Connect. Each connection has an address of its own: ``before`` cannot be kept."""
        program = shutil.which("cloudflared")
        if program is None:
            raise TunnelError(
                "There is no cloudflared on this computer's PATH. Install it, or share through "
                "an SSH server: xoe share me@example.org"
            )
        if local.tls:
            raise TunnelOptionsError("Cloudflare gives https by itself; share without --tls.")
        child = await Child.start(
            [program, "tunnel", "--no-autoupdate", "--unix-socket", str(local.socket)]
        )
        try:
            async with asyncio.timeout(self._connect_s):
                url = await _address(child)
        except TimeoutError:
            await child.aclose()
            raise TunnelError(
                f"Cloudflare gave no address within {self._connect_s:.0f} seconds."
            ) from None
        except BaseException:
            await child.aclose()
            raise
        if url is None:
            await child.aclose()
            raise _why(child.tail)
        return Link(child, PublicAddress(url), lambda: _why(child.tail))


async def _address(child: Child) -> str | None:
    url: str | None = None
    for _ in range(_READ_LINES):
        line = await child.line()
        if line is None:
            return None
        url = url or first_address(line[1], _ADDRESS)
        if url is not None and _UP in line[1]:
            return url
    raise TunnelError("cloudflared says a lot, but no address.")


def _why(lines: deque[str]) -> TunnelError:
    problems = [found[1] for line in lines if (found := _PROBLEM.search(line)) is not None]
    told = f" It said: {problems[-1][:200]}" if problems else ""
    return TunnelError(f"cloudflared has ended.{told}")
