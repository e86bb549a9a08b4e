"""Who can reach the server: this computer alone, or others; and by which names."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from core.errors import SettingsError
from xoe.net.addresses import hostname, machine_addresses

if TYPE_CHECKING:
    from core.settings import Settings

LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_EVERYWHERE: Final = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not listened on


def is_loopback(host: str) -> bool:
    """Return whether nobody but this computer reaches ``host``, a name or an address."""
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def is_open_to_others(settings: Settings) -> bool:
    """Return whether others than this computer's own users can reach the server.

    By its address or, where it may be asked by another name, through what stands in front of it.
    """
    return settings.lan or _listens_to_others(settings) or bool(_foreign(settings))


async def require_account(settings: Settings) -> None:
    """Raise ``SettingsError`` when others could come in and nobody would have to log in."""
    from xoe.auth.users import Users
    from xoe.db import Database

    database = await Database.open(settings)
    users = Users(database)
    try:
        if await users.any_account():
            return
    finally:
        users.close()
        await database.aclose()
    if settings.lan:
        how = "Listening on the local network"
    elif _listens_to_others(settings):
        how = f"Listening on {settings.host or 'all addresses'}"
    else:
        how = f"Answering to {', '.join(_foreign(settings))}"
    raise SettingsError(
        f"{how} would let others in, and there is no account yet. Make yourself one first: "
        "xoe user add NAME --role operator"
    )


def _listens_to_others(settings: Settings) -> bool:
    return settings.uds is None and not is_loopback(settings.host)


def _allowed(settings: Settings) -> set[str]:
    return {name.strip().lower() for name in settings.allowed_hosts.split(",")} - {""}


def _foreign(settings: Settings) -> list[str]:
    return sorted(name for name in _allowed(settings) if not is_loopback(name))


def names_of(settings: Settings) -> frozenset[str]:
    """Return the names, in lower case, by which browsers may address the server.

    Where it listens on all addresses these are the computer's own, its name and its name on the
    local network. Behind a reverse proxy more are needed: the setting ``allowed_hosts``.
    """
    names = {*LOOPBACK_NAMES, settings.host.lower()}
    names |= _allowed(settings)
    if settings.host in _EVERYWHERE:
        names |= {str(address) for address in machine_addresses()}
        if name := hostname():
            names |= {name, f"{name}.local"}
    return frozenset(names - {"", *_EVERYWHERE})
