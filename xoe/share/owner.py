"""Whose computer guests are told that this is."""

from __future__ import annotations

import os
import pwd

from core.settings import Settings
from xoe.net.addresses import hostname


def owner_name(settings: Settings) -> str:
    """Return the name that was set, or the account's own, and the computer's where it has one."""
    if settings.share_owner:
        return settings.share_owner
    try:
        account = pwd.getpwuid(os.getuid())
        name = account.pw_gecos.partition(",")[0].strip() or account.pw_name
    except KeyError:
        name = "the operator"
    computer = hostname()
    return f"{name} ({computer})" if computer else name
