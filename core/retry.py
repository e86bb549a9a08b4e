"""Trying again what failed for a moment, within a budget.

A budget keeps an outage from being multiplied: each call pays in a little, each retry takes out a
whole one (the scheme of Finagle's retry budget). An open circuit is never tried again: its error
is not one of the transient ones.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar

from tenacity import (
    AsyncRetrying,
    AttemptManager,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from core.errors import ProcessLostError

T = TypeVar("T")

DEPOSIT: Final = 0.1
"""Of a retry that each call pays in: at most one call in ten is tried again for long."""
RESERVE: Final = 3.0
"""Retries that can be saved up, and are there at the start."""
FIRST_WAIT_S: Final = 0.05
MAX_WAIT_S: Final = 0.5


class RetryBudget:
    """How many retries are left. Belongs to one event loop."""

    def __init__(self) -> None:
        """Start with the whole reserve."""
        self._left = RESERVE

    @property
    def left(self) -> float:
        """Retries that are left."""
        return self._left

    def call(self) -> None:
        """Count a first attempt."""
        self._left = min(RESERVE, self._left + DEPOSIT)

    def take(self) -> bool:
        """Take out a retry; False when none is left."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


def attempts(
    budget: RetryBudget,
    transient: tuple[type[BaseException], ...],
    *,
    most: int = 2,
    may_retry: Callable[[], bool] = lambda: True,
) -> AsyncIterator[AttemptManager]:
    """Return the attempts of one call, for ``async for attempt in …: with attempt: …``.

    Only ``transient`` errors are tried again, after an exponential wait with jitter, ``most``
    times in all, while ``may_retry`` holds and the budget lasts. The last error is raised. A lost
    process is not waited for: starting it again takes longer than a turn should.
    """
    budget.call()

    def again(error: BaseException) -> bool:
        may = isinstance(error, transient) and not isinstance(error, ProcessLostError)
        return may and may_retry() and budget.take()

    return aiter(
        AsyncRetrying(
            stop=stop_after_attempt(most),
            wait=wait_random_exponential(multiplier=FIRST_WAIT_S, max=MAX_WAIT_S),
            retry=retry_if_exception(again),
            reraise=True,
        )
    )


async def retried(
    work: Callable[[], Awaitable[T]],
    *,
    budget: RetryBudget,
    transient: tuple[type[BaseException], ...],
) -> T:
    """Await ``work()``, and again after a transient error, as ``attempts`` allows."""
    async for attempt in attempts(budget, transient):
        with attempt:
            return await work()
    raise AssertionError("tenacity raises the last error")
