"""What waits for an engine: bounded, in turns by owner, people before programs."""

from __future__ import annotations

from typing import Any, TypeVar

from core.errors import BusyError
from core.fairness import FairQueue
from engines.job import Job

J = TypeVar("J", bound=Job[Any])


class FairJobs(FairQueue[J]):
    """A ``FairQueue`` of jobs, as a worker takes it. Who has to make room hears of it."""

    def __init__(self, limit: int, of_owner: int | None = None, *, busy: type[BusyError]) -> None:
        """``limit``: how many may wait, ``of_owner`` of one owner; ``busy``: what others get."""
        super().__init__(limit, of_owner, refuse=_refuse, busy=busy)

    def tell(self) -> None:
        """Tell nobody how long it takes: the wait is too short."""


def _refuse(job: Job[Any], error: BusyError) -> None:
    job.end(error)
