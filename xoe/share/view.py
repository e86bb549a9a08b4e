"""What is shared just now, to show."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from xoe.share.tunnels import TunnelOptions

if TYPE_CHECKING:
    from xoe.auth.invitations import Scope

ShareState = Literal["off", "starting", "up", "lost", "refused", "ended"]
"""``ended``: for a few seconds whoever comes is still told so."""

MAX_HOURS = 24 * 7
MAX_GUESTS = 50


@dataclass(frozen=True)
class ShareOptions:
    """What the operator asks for, unchecked."""

    tunnel: TunnelOptions
    scope: Scope = "ask"
    hours: float = 2.0
    guests: int = 5
    tls: bool = False
    """Whether the listener itself speaks TLS: for a tunnel that hands on bytes."""
    certificate: str | None = None
    """PEM files of one's own; without them the local authority signs one."""
    key: str | None = None


@dataclass(frozen=True)
class GuestView:
    """A guest as the operator sees them."""

    id: str
    number: int
    came_at: float
    """Unix seconds."""
    is_here: bool
    """Whether a page of theirs is open."""
    is_ended: bool


@dataclass(frozen=True)
class ShareView:
    """All that there is to know of a share."""

    state: ShareState = "off"
    sentence: str = "Nothing is shared."
    link: str | None = None
    """What a guest opens; holds the invitation, so for the operator alone."""
    address: str | None = None
    scope: Scope | None = None
    ends_at: float | None = None
    """Unix seconds."""
    ends_in_s: int | None = None
    max_guests: int | None = None
    guests: tuple[GuestView, ...] = ()
    connections: int = 0
    """How often the tunnel came up."""
    retry_in_s: float | None = None
    notes: tuple[str, ...] = ()
    """What the operator should know of this address."""

    @property
    def is_on(self) -> bool:
        """Whether guests are let in, or will be when the tunnel is back."""
        return self.state in ("starting", "up", "lost")

    def json(self) -> dict[str, Any]:
        """Return it for JSON."""
        return asdict(self)
