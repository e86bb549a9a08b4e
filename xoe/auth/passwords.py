"""Passwords: hashed with argon2id, few at a time, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from core.errors import LoginThrottledError
from xoe.auth.strength import MAX_LENGTH, normalised

# 32 MiB four times over took 107 to 124 ms on two cores (OWASP asks for 19 MiB twice). Two at a
# time are 64 MiB, little beside a language model in 6 GB.
_MEMORY_KIB: Final = 32 * 1024
_PASSES: Final = 4
_AT_ONCE: Final = 2
_WAITING: Final = 16
"""Hashes that may be under way or wait: about a second's worth. More are refused."""


class Passwords:
    """Hashes and compares, two at a time. One for a server; close with ``close``."""

    def __init__(self, *, memory_kib: int = _MEMORY_KIB, passes: int = _PASSES) -> None:
        """Other costs than these are for tests."""
        self._hasher = PasswordHasher(
            time_cost=passes, memory_cost=memory_kib, parallelism=1, type=Type.ID
        )
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="argon2")
        self._waiting = 0
        self._nobodys: str | None = None

    async def hash(self, password: str) -> str:
        """Return the hash to keep. Raises ``LoginThrottledError`` when too many wait."""
        with self._place():
            loop = asyncio.get_running_loop()
            text = normalised(password)
            return await loop.run_in_executor(self._threads, self._hasher.hash, text)

    async def matches(self, kept: str | None, password: str) -> bool:
        """Return whether a password is the one whose hash was kept.

        ``None``, for an account that does not exist, takes as long and never matches. Raises
        ``LoginThrottledError`` when too many wait.
        """
        with self._place():
            loop = asyncio.get_running_loop()
            text = normalised(password)
            if len(text) > MAX_LENGTH:  # nobody's, and not worth the work of hashing it
                kept, text = None, text[:MAX_LENGTH]
            return await loop.run_in_executor(self._threads, self._matches, kept, text)

    def is_outdated(self, kept: str) -> bool:
        """Return whether a hash was made at another cost than today's."""
        return self._hasher.check_needs_rehash(kept)

    def close(self) -> None:
        """End the threads, once what they hash is done."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._waiting >= _WAITING:
            raise LoginThrottledError(
                "Many people are logging in just now. Please try again in a few seconds.", 3.0
            )
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def _matches(self, kept: str | None, text: str) -> bool:
        if kept is None:
            kept = self._nobodys = self._nobodys or self._hasher.hash("the password of nobody")
            self._verify(kept, text)
            return False
        return self._verify(kept, text)

    def _verify(self, kept: str, text: str) -> bool:
        try:
            return self._hasher.verify(kept, text)
        except (VerificationError, InvalidHashError):
            return False
