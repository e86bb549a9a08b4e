"""Reverse tunnels: a public address for something that listens on this computer.

They know nothing of the app. ``tunnel_for`` makes one; what it forwards to is a Unix socket.
"""

from __future__ import annotations

from xoe.share.tunnels.keeper import KeptTunnel
from xoe.share.tunnels.keys import KnownHosts
from xoe.share.tunnels.make import TunnelOptions, tunnel_for
from xoe.share.tunnels.targets import SERVICES, Service
from xoe.share.tunnels.types import (
    LocalEnd,
    OnEvent,
    PublicAddress,
    Tunnel,
    TunnelEvent,
    TunnelState,
)

__all__ = [
    "SERVICES",
    "KeptTunnel",
    "KnownHosts",
    "LocalEnd",
    "OnEvent",
    "PublicAddress",
    "Service",
    "Tunnel",
    "TunnelEvent",
    "TunnelOptions",
    "TunnelState",
    "tunnel_for",
]
