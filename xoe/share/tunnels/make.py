"""From what was asked for to a tunnel: every argument is checked here."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from core.backoff import Backoff
from core.errors import TunnelWishError
from xoe.share.tunnels.cloudflared import CloudflaredDialer
from xoe.share.tunnels.keeper import KeptTunnel
from xoe.share.tunnels.keys import KnownHosts
from xoe.share.tunnels.link import Dialer
from xoe.share.tunnels.ssh import SshDialer, SshPlan
from xoe.share.tunnels.targets import PRESETS, SERVICES, Service, SshTarget, checked_public_url
from xoe.share.tunnels.types import OnEvent


@dataclass(frozen=True)
class TunnelWish:
    """What a person asks for, unchecked."""

    target: str | None = None
    """``[user@]host[:port]``; a named service and cloudflared need none."""
    service: Service = "ssh"
    public_url: str | None = None
    """The address, where a web server at the far end stands in front of ``remote_port``."""
    remote_port: int = 0
    """0: one that the far end chooses."""
    accept_key: str | None = None
    """``SHA256:…`` of a new far end's key."""
    identity: str | None = None
    """The path of a private key."""
    agent: str | None = None
    """The path of an SSH agent's socket."""


def tunnel_for(
    wish: TunnelWish,
    known: KnownHosts,
    on_event: OnEvent,
    *,
    ssh_config: Path | None = None,
    backoff: Backoff | None = None,
) -> KeptTunnel:
    """Return the tunnel that was asked for, not open yet. Raises ``TunnelWishError``."""
    return KeptTunnel(_dialer(wish, known, ssh_config), on_event, backoff=backoff)


def _dialer(wish: TunnelWish, known: KnownHosts, ssh_config: Path | None) -> Dialer:
    if wish.service not in SERVICES:
        raise TunnelWishError(
            f"There is no tunnel service {str(wish.service)[:40]!r}; there are "
            f"{', '.join(SERVICES)}."
        )
    if wish.service != "ssh" and (wish.public_url or wish.remote_port):
        raise TunnelWishError("An address and a port of one's own need a host of one's own.")
    if wish.service == "cloudflared":
        if wish.target:
            raise TunnelWishError("cloudflared knows where to go by itself: leave the target out.")
        return CloudflaredDialer()
    return SshDialer(_plan(wish, ssh_config), known, accept=wish.accept_key)


def _plan(wish: TunnelWish, ssh_config: Path | None) -> SshPlan:
    identity = None if wish.identity is None else _file(wish.identity)
    agent = None if wish.agent is None else _socket(wish.agent)
    preset = PRESETS.get(wish.service)
    if preset is not None:
        return SshPlan(
            SshTarget.parse(wish.target) if wish.target else preset.target,
            preset.remote_port,
            prints_address=True,
            address=preset.address,
            identity=identity,
            config=ssh_config,
            agent=agent,
        )
    if not wish.target:
        raise TunnelWishError(
            "Through which host? Name one that you can reach by SSH (xoe share me@example.org), "
            "or a service (--service localhost.run, serveo, pinggy or cloudflared)."
        )
    if not 0 <= wish.remote_port <= 65535:
        raise TunnelWishError("A port is a number from 1 to 65535; 0 lets the far end choose.")
    if wish.public_url and not wish.remote_port:
        raise TunnelWishError(
            "With --public-url, --remote-port names the port to which the web server over there "
            "hands on."
        )
    return SshPlan(
        SshTarget.parse(wish.target),
        80 if wish.service == "printed" else wish.remote_port,
        public_url=checked_public_url(wish.public_url) if wish.public_url else None,
        prints_address=wish.service == "printed",
        identity=identity,
        config=ssh_config,
        agent=agent,
    )


def _file(given: str) -> Path:
    path = Path(given).expanduser()
    if not path.is_absolute() or not path.is_file() or "\n" in given or '"' in given:
        raise TunnelWishError(f"There is no key {given[:200]}.")
    return path


def _socket(given: str) -> Path:
    path = Path(given)
    try:
        found = path.stat()
    except OSError as exc:
        raise TunnelWishError(f"There is no SSH agent at {given[:200]}.") from exc
    if not path.is_absolute() or not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid():
        raise TunnelWishError(f"{given[:200]} is no SSH agent of yours.")
    return path
