"""What transcribers and voices have in common, and two of a kind that stand in for each other."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final, Generic, TypeVar

import structlog

from core.errors import ModelError
from engines.worker import EngineReport
from state.ladder import Engine

if TYPE_CHECKING:  # an engine's process has no Redis
    from state.breakers import Breakers

log = structlog.get_logger(__name__)

PAUSE_S: Final = 10.0
"""An engine that hung is not asked again for so long."""


class VoiceEngine(ABC):
    """A transcriber or a voice."""

    name: str
    """Short name for logs and metrics, e.g. ``tiny.en`` or ``piper``."""

    @property
    def serving(self) -> Engine:
        """Which engine of a pair served last, ``none`` when neither could; mostly the usual one."""
        return "usual"

    @property
    def waiting(self) -> int:
        """How many jobs wait; 0 for an engine without a queue."""
        return 0

    @abstractmethod
    async def start(self) -> None:
        """Load the engine; does nothing when it is ready. Raises ``ModelError``."""

    async def try_usual(self) -> None:
        """Where a spare engine serves, see whether the usual one works again; raises nothing."""
        return

    def reports(self) -> tuple[EngineReport, ...]:
        """Return how its processes are; none for an engine without one."""
        return ()

    @abstractmethod
    async def aclose(self) -> None:
        """End the engine and free the memory; what runs and waits fails."""


E = TypeVar("E", bound=VoiceEngine)


class Pair(VoiceEngine, Generic[E]):
    """The usual engine behind its circuit breaker, and a spare one, loaded when it is needed."""

    missing_event: ClassVar[str]
    """What is logged when only the spare one can be loaded."""

    def __init__(
        self,
        usual: E,
        spare: E,
        *,
        breakers: Breakers,
        timeout_s: float,
        on_fallback: Callable[[], None] = lambda: None,
        saves_memory: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``timeout_s``: the longest wait for an engine to start.

        One that raises ``TimeoutError`` is left alone for a while.
        ``on_fallback`` is called each time when the spare engine takes over; ``saves_memory``
        tells that only the spare one may be used now.
        """
        self.name = usual.name
        self.usual = usual
        self.spare = spare
        self._breakers = breakers
        self._timeout_s = timeout_s
        self._on_fallback = on_fallback
        self._saves_memory = saves_memory
        self._clock = clock
        self._not_before = 0.0
        self._serving: Engine = "usual"

    @property
    def serving(self) -> Engine:
        """Which engine served last; ``none`` when neither could."""
        return self._serving

    @property
    def waiting(self) -> int:
        """How many jobs wait for either engine."""
        return self.usual.waiting + self.spare.waiting

    async def start(self) -> None:
        """Load the usual engine, else the spare one. Raises ``ModelError`` if neither can be."""
        try:
            await self.usual.start()
        except ModelError as exc:
            log.warning(self.missing_event, error=str(exc))
            await self.spare.start()
            self._serving = "spare"

    def reports(self) -> tuple[EngineReport, ...]:
        """Return how the processes of both engines are."""
        return (*self.usual.reports(), *self.spare.reports())

    async def aclose(self) -> None:
        """End both engines."""
        await self.usual.aclose()
        await self.spare.aclose()

    def _may_try_usual(self) -> bool:
        """Return whether the usual engine failed last and may be asked again."""
        is_resting = self._saves_memory() or self._clock() < self._not_before
        return self._serving != "usual" and not is_resting

    def _leave_alone(self) -> None:
        """Ask the usual engine no more for a while: it hung."""
        self._not_before = self._clock() + PAUSE_S
