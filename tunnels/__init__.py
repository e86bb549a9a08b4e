"""Reverse tunnels: a public address for something that listens on this computer.

They know nothing of the app. ``tunnel_for`` makes one; what it forwards to is a Unix socket.
"""

from __future__ import annotations

from tunnels.keeper import KeptTunnel
from tunnels.keys import KnownHosts
from tunnels.make import TunnelWish, tunnel_for
from tunnels.targets import SERVICES, Service
from tunnels.types import LocalEnd, OnEvent, PublicAddress, Tunnel, TunnelEvent, TunnelState

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
    "TunnelState",
    "TunnelWish",
    "tunnel_for",
]
