"""Where a tunnel leads: a host of one's own, or a public service."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final, Literal

from core.errors import TunnelOptionsError
from xoe.share.tunnels.output import public_url

Service = Literal["ssh", "printed", "localhost.run", "serveo", "pinggy", "cloudflared"]
"""``ssh``: a host of one's own. ``printed``: any service over SSH that prints its address."""

SERVICES: Final[tuple[Service, ...]] = (
    *("ssh", "printed", "localhost.run", "serveo", "pinggy", "cloudflared"),
)

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+@-]{0,99}")
# A name of ~/.ssh/config may have an underscore. None begins with a hyphen: that is an option.
_ALIAS = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_.])?")
_PORT = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True)
class SshTarget:
    """A host that OpenSSH can be told: ``[user@]host[:port]``."""

    host: str
    user: str | None = None
    port: int | None = None
    """``None``: what ~/.ssh/config says, or 22."""

    def __str__(self) -> str:
        """Return the target as it is written."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        return f"{self.user}@{host}{port}" if self.user else f"{host}{port}"

    @classmethod
    def parse(cls, text: str) -> SshTarget:
        """Read ``[user@]host[:port]``. Raises ``TunnelOptionsError`` with what is wrong."""
        wrong = TunnelOptionsError(
            f"{text[:100]!r} is no host to share through: write it as [user@]host[:port], for "
            "example me@example.org or me@example.org:2222."
        )
        user, at, rest = text.rpartition("@")
        if at and not _USER.fullmatch(user):
            raise wrong
        if rest.startswith("["):
            host, closed, tail = rest[1:].partition("]")
            colon, port = tail[:1], tail[1:]
            if not closed or colon not in ("", ":") or not _is_ipv6(host):
                raise wrong
        elif _is_ipv6(rest):
            host, colon, port = rest, "", ""
        else:
            host, colon, port = rest.partition(":")
            if not _ALIAS.fullmatch(host):
                raise wrong
        if colon and not (_PORT.fullmatch(port) and 1 <= int(port) <= 65535):
            raise wrong
        return cls(host, user or None, int(port) if colon else None)


@dataclass(frozen=True)
class Preset:
    """A public service that forwards https to an SSH connection and prints the address."""

    target: SshTarget
    remote_port: int
    address: re.Pattern[str]
    """Its group 1 is the address, in the line that tells it; other lines have other links."""


# None of them ships with a fingerprint: none could be verified, so each is asked for once.
PRESETS: Final[dict[str, Preset]] = {
    "localhost.run": Preset(
        SshTarget("localhost.run", "nokey"),
        80,
        re.compile(r"tunneled with tls termination, (https://[^\s/]+)"),
    ),
    "serveo": Preset(
        SshTarget("serveo.net"), 80, re.compile(r"Forwarding HTTP traffic from (https://[^\s/]+)")
    ),
    "pinggy": Preset(
        SshTarget("a.pinggy.io", port=443),
        0,
        re.compile(r"(https://[a-z0-9.-]+\.pinggy\.(?:link|online|net))(?![\w.-])"),
    ),
}


def checked_public_url(text: str) -> str:
    """Return the address that a web server at the far end has. Raises ``TunnelOptionsError``."""
    url = public_url(text.strip())
    if url is None:
        raise TunnelOptionsError(
            f"{text[:100]!r} is no public address: write it as https://demo.example.org, without "
            "a path."
        )
    return url


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text
