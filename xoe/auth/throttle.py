"""How fast one may try to log in: slow for whoever guesses, and not for whose account it is.

An attempt is counted before its password is looked at, so a thousand at once are no faster than
one after the other. What is refused costs nothing: no hash is made, nothing is written down.

* Each pair of account and address has five attempts; after them the pause doubles each time, up to
  a quarter of an hour. So an account under attack from one address is open from any other.
* Each address has twenty attempts over all accounts before its pauses begin.
* From many addresses together an account takes few a minute. First attempts of an address have
  tokens of their own, so that those who keep trying do not use them up.
* A browser that has logged in before has a device cookie (OWASP, "Slow Down Online Guessing
  Attacks with Device Cookies"): it is counted by itself and none of the above concerns it.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from xoe.auth.buckets import Buckets, Rate

TRACKED: Final = 10_000
"""Entries of each table; the one that was quiet longest is forgotten first. Some 3 MB in all."""
_PAUSE_FIRST_S: Final = 2.0
_PAUSE_MAX_S: Final = 900.0
_FREE_OF_PAIR: Final = 5
_FREE_OF_ADDRESS: Final = 20
_FORGOTTEN_S: Final = 3600.0
"""Quiet time after which attempts no longer count."""


_AGAIN: Final = Rate(10, 20)
_FIRST: Final = Rate(30, 20)
_ALL: Final = Rate(240, 30)
"""Over all accounts: half of what the two hashing threads can do."""


@dataclass
class _Tries:
    count: int = 0
    latest: float = 0.0

    def wait_s(self, now: float, free: int) -> float:
        over = self.count - free
        if over < 0 or now - self.latest >= _FORGOTTEN_S:
            return 0.0
        pause_s = min(_PAUSE_MAX_S, _PAUSE_FIRST_S * 2.0 ** min(over, 20))
        return max(0.0, self.latest + pause_s - now)

    def take(self, now: float) -> None:
        if now - self.latest >= _FORGOTTEN_S:
            self.count = 0
        self.count += 1
        self.latest = now


class _Table:
    """The latest attempts, by key."""

    def __init__(self, free: int, tracked: int) -> None:
        self._free = free
        self._tracked = tracked
        self._tries: OrderedDict[tuple[str, ...], _Tries] = OrderedDict()

    def wait_s(self, key: tuple[str, ...], now: float) -> float:
        tries = self._tries.get(key)
        return 0.0 if tries is None else tries.wait_s(now, self._free)

    def take(self, key: tuple[str, ...], now: float) -> None:
        self._tries.setdefault(key, _Tries()).take(now)
        self._tries.move_to_end(key)
        while len(self._tries) > self._tracked:
            self._tries.popitem(last=False)

    def forget(self, key: tuple[str, ...]) -> None:
        self._tries.pop(key, None)

    def give_back(self, key: tuple[str, ...]) -> None:
        if (tries := self._tries.get(key)) is not None:
            tries.count = max(0, tries.count - 1)

    def count(self, key: tuple[str, ...]) -> int:
        tries = self._tries.get(key)
        return 0 if tries is None else tries.count

    def __len__(self) -> int:
        return len(self._tries)


@dataclass(frozen=True)
class Attempt:
    """One try to log in."""

    account: str
    """The account's name, whether or not there is one."""
    address: str
    """The network it comes from, as ``network_of`` gives it."""
    device: str | None = None
    """Number of the device cookie, where it is one for this account."""

    @property
    def pair(self) -> tuple[str, str, str]:
        """What it is counted by."""
        if self.device is not None:
            return ("device", self.account, self.device)
        return ("address", self.account, self.address)


class LoginThrottle:
    """Counts attempts. In memory, bounded, never waits; for one thread."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, tracked: int = TRACKED
    ) -> None:
        """``clock`` returns seconds; ``tracked`` bounds each table."""
        self._clock = clock
        self._pairs = _Table(_FREE_OF_PAIR, tracked)
        self._addresses = _Table(_FREE_OF_ADDRESS, tracked)
        self._first = Buckets(tracked)
        self._again = Buckets(tracked)
        self._all = Buckets(1)

    def take(self, attempt: Attempt) -> float:
        """Count an attempt and return 0; or count nothing and return the seconds to wait."""
        now = self._clock()
        account, known = attempt.account, attempt.device is not None
        network = (attempt.address,)
        of_account, rate = self._of_account(is_again=self._pairs.count(attempt.pair) > 0)
        waits = [self._pairs.wait_s(attempt.pair, now)]
        if not known:
            waits += [
                self._addresses.wait_s(network, now),
                of_account.wait_s(account, rate, now),
                self._all.wait_s("", _ALL, now),
            ]
        if (wait_s := max(waits)) > 0:
            return wait_s
        self._pairs.take(attempt.pair, now)
        if not known:
            self._addresses.take(network, now)
            of_account.take(account, rate, now)
            self._all.take("", _ALL, now)
        return 0.0

    def succeeded(self, attempt: Attempt) -> None:
        """Note that an attempt was the rightful user's: those of the pair count no more."""
        self.not_looked_at(attempt)
        self._pairs.forget(attempt.pair)

    def not_looked_at(self, attempt: Attempt) -> None:
        """Note that an attempt that was counted could not be looked at: it counts no more."""
        if attempt.device is None:
            of_account, rate = self._of_account(is_again=self._pairs.count(attempt.pair) > 1)
            of_account.give_back(attempt.account, rate)
            self._all.give_back("", _ALL)
            self._addresses.give_back((attempt.address,))
        self._pairs.give_back(attempt.pair)

    def _of_account(self, *, is_again: bool) -> tuple[Buckets, Rate]:
        return (self._again, _AGAIN) if is_again else (self._first, _FIRST)

    def __len__(self) -> int:
        """How many entries there are in all tables."""
        tables = (self._pairs, self._addresses, self._first, self._again, self._all)
        return sum(len(table) for table in tables)


def network_of(address: str) -> str:
    """Return what counts as one address: an IPv6 network of 64 bits belongs to one customer."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)
