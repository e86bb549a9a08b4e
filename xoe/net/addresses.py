"""The names and addresses under which others on the network reach this computer."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_ADDRESSES: Final = 48
"""More than any computer has; containers' bridges count too."""
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def machine_addresses() -> tuple[Address, ...]:
    """Return this computer's addresses on networks, IPv4 first; not loopback, not link-local.

    A link-local IPv6 address needs its interface's name behind it, which no browser takes.
    """
    import psutil  # not needed where the server listens for this computer alone

    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    found: list[Address] = []
    for interface, entries in psutil.net_if_addrs().items():
        if interface not in up:
            continue
        for entry in entries:
            if entry.family in _FAMILIES:
                address = ipaddress.ip_address(entry.address.partition("%")[0])
                if _is_reachable(address):
                    found.append(address)
    found.sort(key=lambda address: (address.version, not address.is_private, int(address)))
    return tuple(dict.fromkeys(found))[:MAX_ADDRESSES]


def hostname() -> str:
    """Return this computer's name without its domain, in lower case; "" where it has no usable."""
    name = socket.gethostname().split(".")[0].lower()
    return name if _LABEL.fullmatch(name) and name != "localhost" else ""


def _is_reachable(address: Address) -> bool:
    return not (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_unspecified
    )
