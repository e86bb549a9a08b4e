"""Who somebody is, as far as the system knows: set where requests come in, read everywhere."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, Literal

from core.share import Share

Role = Literal["operator", "user", "guest"]
Refusal = Literal["unknown", "expired", "ended"]
"""Why a cookie is none, or no more: never given out, run out, or logged out and revoked."""

COOKIE: Final = "xoe_session"
LOGIN_S: Final = 14 * 24 * 3600.0
"""How long a browser stays logged in."""
PROGRAM: Final = "program:"
"""What the address of a login begins with that is a program's, made on the command line."""

SCOPE_KEY: Final = "xoe.identity"
"""Where authentication puts the identity in an ASGI scope."""

VISITOR: Final = "visitor:"
USER: Final = "user:"
GUEST: Final = "guest:"
SESSION: Final = "session:"
INVITATION: Final = "invitation:"
ADDRESS: Final = "address:"


@dataclass(frozen=True)
class Identity:
    """Somebody who has come in."""

    id: str
    """Owner of their uploads and chats: ``visitor:…``, ``user:NAME``, ``guest:…`` or
    ``session:…`` (a visitor whose browser keeps no cookie)."""
    role: Role
    name: str
    """To show."""
    may_upload: bool = True
    ends_at: float | None = None
    """Unix seconds; for guests, whose invitation ends."""
    login: str | None = None
    """Id of the login's session; ``None`` for visitors, who have none."""
    invitation: str | None = None
    """Id of the invitation by which a guest came."""

    @property
    def is_operator(self) -> bool:
        """Whether this is somebody who runs the server."""
        return self.role == "operator"

    @property
    def is_guest(self) -> bool:
        """Whether this is somebody who came by an invitation."""
        return self.role == "guest"

    @property
    def share_owner(self) -> str:
        """As whose it counts what they ask: all guests of an invitation are one.

        A login's is the account, a visitor's the browser.
        """
        return self.id if self.invitation is None else f"{INVITATION}{self.invitation}"

    def share_at_page(self, session: str) -> Share:
        """Return whose work a question, a file or a call of a page's ``session`` is."""
        return Share(self.share_owner, self._session(session), interactive=True)

    def share_of_program(self, session: str, address: str) -> Share:
        """Return whose work a request of a program is; without a login the ``address`` tells."""
        owner = self.share_owner if self.login is not None else f"{ADDRESS}{address}"
        return Share(owner, self._session(session))

    def _session(self, session: str) -> str:
        """Guests of one invitation take turns as people, whatever sessions each has."""
        return session if self.invitation is None else self.id


current: Final[ContextVar[Identity | None]] = ContextVar("xoe_identity", default=None)
"""Who sent the request that is being served, for code that Chainlit calls without saying who."""


def visitor(cookie: str) -> Identity:
    """Return who sits at this computer while there are no accounts; ``cookie``: 32 hex digits."""
    return Identity(f"{VISITOR}{cookie}", "operator", "You")


def without_cookie(session_id: str) -> Identity:
    """Return the same for a program, or a browser that keeps no cookie: known by its session."""
    return Identity(f"{SESSION}{session_id}", "operator", "You")


def identity_of(scope: Mapping[str, Any]) -> Identity:
    """Return who sent a request. Raises ``LookupError`` where it was not authenticated."""
    identity = scope.get(SCOPE_KEY)
    if not isinstance(identity, Identity):
        raise LookupError("This request was not authenticated.")
    return identity
