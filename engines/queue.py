"""What waits for an engine: bounded, in turns by owner, people before programs."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from core.errors import BusyError
from core.fairness import FairQueue
from engines.job import Job

J = TypeVar("J", bound=Job[Any])


class JobQueue(Protocol):
    """What waits for an engine. The worker holds a lock around each call."""

    def put(self, job: Any) -> None:
        """Add a job; raises the engine's own error when there is no room."""

    def take(self) -> Any:
        """Remove and return the next job; ``IndexError`` when there is none."""

    def remove(self, job: Any) -> bool:
        """Take a job out; False when it does not wait."""

    def clear(self) -> list[Any]:
        """Take all out."""

    def tell(self) -> None:
        """Tell those who wait how far they are; may do nothing."""

    def __len__(self) -> int: ...


class FairJobs(FairQueue[J]):
    """A ``FairQueue`` of jobs, as a worker takes it. Who has to make room hears of it."""

    def __init__(self, limit: int, of_owner: int | None = None, *, busy: type[BusyError]) -> None:
        """``limit``: how many may wait, ``of_owner`` of one owner; ``busy``: what others get."""
        super().__init__(limit, of_owner, refuse=_refuse, busy=busy)

    def tell(self) -> None:
        """Tell nobody how long it takes: the wait is too short."""


def _refuse(job: Job[Any], error: BusyError) -> None:
    job.end(error)
