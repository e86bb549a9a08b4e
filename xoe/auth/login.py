"""Logging in with a name and a password."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final

import structlog

from core.errors import AccountError, LoginError, LoginThrottledError
from xoe.auth.identity import LOGIN_S
from xoe.auth.proofs import Devices
from xoe.auth.sessions import Sessions
from xoe.auth.throttle import Attempt, LoginThrottle, network_of
from xoe.auth.users import Account, Users, normalised

log = structlog.get_logger(__name__)

_NOBODY: Final = "?"
"""What attempts with an impossible name are counted by."""


@dataclass(frozen=True)
class LoggedIn:
    """Somebody who has just logged in."""

    account: Account
    token: str
    """The session cookie's value."""
    device: str
    """The device cookie's value."""


class LoginService:
    """Checks passwords and gives out logins, no faster than the throttle lets it."""

    def __init__(
        self, users: Users, sessions: Sessions, secret: str, throttle: LoginThrottle | None = None
    ) -> None:
        """``secret`` is the server's; device cookies are signed with it."""
        self._users = users
        self._sessions = sessions
        self._devices = Devices(secret)
        self._throttle = throttle or LoginThrottle()

    async def log_in(self, name: str, password: str, *, address: str, device: str = "") -> LoggedIn:
        """Return a new login. ``device`` is the browser's device cookie, if it has one.

        Raises ``LoginError``, or ``LoginThrottledError`` without having looked at the password.
        """
        account = await self.verify(name, password, address=address, device=device)
        token = await self._sessions.create(account.identity(), ttl_s=LOGIN_S, address=address)
        # It may have been removed, switched off or changed between the two.
        if await self._users.find(account.name) != account:
            await self._sessions.revoke_all(account.id)
            raise LoginError("This account was changed just now. Please log in again.")
        return LoggedIn(account, token, self._devices.make(account.name))

    async def verify(self, name: str, password: str, *, address: str, device: str = "") -> Account:
        """Return whose name and password these are, counted like a login. Raises the same."""
        account = _counted_name(name)
        attempt = Attempt(account, network_of(address), self._devices.number(device, account))
        if wait_s := self._throttle.take(attempt):
            log.info("login.throttled", wait_s=round(wait_s))
            raise LoginThrottledError(_too_many(wait_s), wait_s)
        try:
            found = await self._users.verify(name, password)
        except LoginThrottledError:
            self._throttle.not_looked_at(attempt)
            raise
        except LoginError:
            log.info("login.refused", known_device=attempt.device is not None)
            raise
        self._throttle.succeeded(attempt)
        log.info("login.done", role=found.role)
        return found


def _counted_name(name: str) -> str:
    try:
        return normalised(name)
    except AccountError:
        return _NOBODY


def _too_many(wait_s: float) -> str:
    seconds = max(1, ceil(wait_s))
    if seconds >= 120:
        when = f"{ceil(seconds / 60)} minutes"
    else:
        when = f"{seconds} second{'' if seconds == 1 else 's'}"
    return (
        f"There were too many attempts to log in, so this one was not looked at. "
        f"Please try again in {when}."
    )
