"""What is signed with the server's secret for the login: device cookies, and tokens of forms."""

from __future__ import annotations

import hmac
import secrets
from typing import Final

from itsdangerous import BadData, URLSafeTimedSerializer

DEVICE_COOKIE: Final = "xoe_device"
DEVICE_S: Final = 365 * 24 * 3600
FORM_COOKIE: Final = "xoe_form"
_MAX_CHARS: Final = 400


class Devices:
    """The cookies of browsers in which somebody has logged in before.

    One lets its browser try beside an attack on the account, with attempts of its own. It lets
    nobody in, and says nothing that is not known to who holds it.
    """

    def __init__(self, secret: str) -> None:
        """``secret`` is the server's."""
        self._signer = URLSafeTimedSerializer(secret, salt="xoe-device")

    def make(self, account: str) -> str:
        """Return a cookie for a browser in which ``account`` has just logged in."""
        return str(self._signer.dumps([account, secrets.token_hex(8)]))

    def number(self, cookie: str, account: str) -> str | None:
        """Return the number of a cookie that was made for ``account``, else ``None``."""
        if not 0 < len(cookie) <= _MAX_CHARS:
            return None
        try:
            holder, number = self._signer.loads(cookie, max_age=DEVICE_S)
        except (BadData, ValueError, TypeError):
            return None
        return str(number) if holder == account else None


def form_token(secret: str, bound_to: str) -> str:
    """Return what a form carries to show that this server made it for this browser.

    ``bound_to``: a login's id, or the random cookie that came with the login page.
    """
    return hmac.new(secret.encode(), f"form:{bound_to}".encode(), "sha256").hexdigest()


def is_form_token(secret: str, bound_to: str, given: str) -> bool:
    """Return whether ``given`` is the token of a form that was made for ``bound_to``."""
    if not bound_to:
        return False
    return hmac.compare_digest(form_token(secret, bound_to).encode(), given.encode())
