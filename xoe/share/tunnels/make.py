"""From what was asked for to a tunnel: every argument is checked here."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from core.backoff import Backoff
from core.errors import TunnelOptionsError
from xoe.share.tunnels.cloudflared import CloudflaredDialer
from xoe.share.tunnels.keeper import KeptTunnel
from xoe.share.tunnels.keys import KnownHosts
from xoe.share.tunnels.link import Dialer
from xoe.share.tunnels.ssh import SshDialer, SshPlan
from xoe.share.tunnels.targets import PRESETS, SERVICES, Service, SshTarget, checked_public_url
from xoe.share.tunnels.types import OnEvent


@dataclass(frozen=True)
class TunnelOptions:
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
    options: TunnelOptions,
    known: KnownHosts,
    on_event: OnEvent,
    *,
    ssh_config: Path | None = None,
    backoff: Backoff | None = None,
) -> KeptTunnel:
    """Return the tunnel that was asked for, not open yet. Raises ``TunnelOptionsError``."""
    return KeptTunnel(_dialer(options, known, ssh_config), on_event, backoff=backoff)


def _dialer(options: TunnelOptions, known: KnownHosts, ssh_config: Path | None) -> Dialer:
    if options.service not in SERVICES:
        raise TunnelOptionsError(
            f"There is no tunnel service {str(options.service)[:40]!r}; there are "
            f"{', '.join(SERVICES)}."
        )
    if options.service != "ssh" and (options.public_url or options.remote_port):
        raise TunnelOptionsError("An address and a port of one's own need a host of one's own.")
    if options.service == "cloudflared":
        if options.target:
            raise TunnelOptionsError(
                "cloudflared knows where to go by itself: leave the target out."
            )
        return CloudflaredDialer()
    return SshDialer(_plan(options, ssh_config), known, accept=options.accept_key)


def _plan(options: TunnelOptions, ssh_config: Path | None) -> SshPlan:
    identity = None if options.identity is None else _file(options.identity)
    agent = None if options.agent is None else _socket(options.agent)
    preset = PRESETS.get(options.service)
    if preset is not None:
        return SshPlan(
            SshTarget.parse(options.target) if options.target else preset.target,
            preset.remote_port,
            prints_address=True,
            address=preset.address,
            identity=identity,
            config=ssh_config,
            agent=agent,
        )
    if not options.target:
        raise TunnelOptionsError(
            "Through which host? Name one that you can reach by SSH (xoe share me@example.org), "
            "or a service (--service localhost.run, serveo, pinggy or cloudflared)."
        )
    if not 0 <= options.remote_port <= 65535:
        raise TunnelOptionsError("A port is a number from 1 to 65535; 0 lets the far end choose.")
    if options.public_url and not options.remote_port:
        raise TunnelOptionsError(
            "With --public-url, --remote-port names the port to which the web server over there "
            "hands on."
        )
    return SshPlan(
        SshTarget.parse(options.target),
        80 if options.service == "printed" else options.remote_port,
        public_url=checked_public_url(options.public_url) if options.public_url else None,
        prints_address=options.service == "printed",
        identity=identity,
        config=ssh_config,
        agent=agent,
    )


def _file(given: str) -> Path:
    path = Path(given).expanduser()
    if not path.is_absolute() or not path.is_file() or "\n" in given or '"' in given:
        raise TunnelOptionsError(f"There is no key {given[:200]}.")
    return path


def _socket(given: str) -> Path:
    path = Path(given)
    try:
        found = path.stat()
    except OSError as exc:
        raise TunnelOptionsError(f"There is no SSH agent at {given[:200]}.") from exc
    if not path.is_absolute() or not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.getuid():
        raise TunnelOptionsError(f"{given[:200]} is no SSH agent of yours.")
    return path
