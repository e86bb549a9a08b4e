"""What may be asked of a share, and what follows from its address."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from core.errors import CertificateError, ShareError
from xoe.net.listeners import Listener
from xoe.share.view import MAX_GUESTS, MAX_HOURS, ShareOptions

if TYPE_CHECKING:
    from xoe.auth.invitations import Invitation


def check(options: ShareOptions) -> None:
    """Refuse what could not be kept, before anything is opened. Raises ``ShareError``."""
    if options.scope not in ("ask", "upload"):
        raise ShareError("Guests may either ask, or ask and upload (--scope ask or upload).")
    if not isfinite(options.hours) or not 1 / 60 <= options.hours <= MAX_HOURS:
        raise ShareError(f"A share lasts from a minute (0.017 hours) to {MAX_HOURS} hours.")
    if not 1 <= options.guests <= MAX_GUESTS:
        raise ShareError(f"A share is for 1 to {MAX_GUESTS} guests.")
    if (options.certificate is None) != (options.key is None):
        raise CertificateError("A certificate and its key go together: give --cert and --key.")
    if options.certificate is not None and not options.tls:
        raise CertificateError("A certificate of one's own is for --tls.")


def listener_at(url: str) -> Listener:
    """Return the listener that a tunnel with the address ``url`` leads to."""
    parts = urlsplit(url)
    return Listener("share", frozenset({parts.hostname or ""}), is_https=parts.scheme == "https")


def link_to(url: str, invitation: Invitation) -> str:
    """Return what a guest opens."""
    return f"{url}/invitation/{invitation.token}"


def notes_on(url: str, options: ShareOptions) -> tuple[str, ...]:
    """Return what the operator should know of an address."""
    if url.startswith("http://"):
        return (
            "This address is plain http: whoever is between the far end and your guests can read "
            "along, and a browser gives no microphone there. Share it encrypted (--tls) instead.",
        )
    if options.tls and options.certificate is None:
        return (
            "The certificate is signed by this computer's own authority: your guests' browsers "
            "ask once whether they trust it.",
        )
    return ()
