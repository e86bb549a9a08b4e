"""How far each part of the system is, for the health route and the page."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import structlog

from core.errors import XoeError
from core.signal import Signal
from core.tasks import Tasks

log = structlog.get_logger(__name__)

RESTARTED: Final = frozenset({"model", "voice"})
"""What is started again after it failed: its files may come back, or memory."""
RESTART_FIRST_S: Final = 5.0
RESTART_MAX_S: Final = 60.0

ComponentState = Literal["loading", "ready", "failed", "off"]


@dataclass(frozen=True)
class Component:
    """One part of the system."""

    name: str
    state: ComponentState
    detail: str
    """A sentence for a person."""
    since: float = field(default_factory=time.time)
    """When it came into its state, in seconds since 1970."""

    def becomes(self, state: ComponentState, detail: str) -> Component:
        """Return it with what is known now; ``since`` changes with the state only."""
        since = self.since if state == self.state else time.time()
        return Component(self.name, state, detail, since)


@dataclass(frozen=True)
class Readiness:
    """Whether the server lives, and whether it can answer."""

    live: bool
    ready: bool
    """True when a question can be answered; Redis and the library's folder may lag."""
    components: tuple[Component, ...]


class Components:
    """The parts of the system, started behind the page. For one event loop."""

    def __init__(self, tasks: Tasks, changed: Signal, *first: Component) -> None:
        """Begin with ``first``; ``changed`` hears of each change, ``tasks`` hold the starts."""
        self._tasks = tasks
        self._changed = changed
        self._parts = {one.name: one for one in first}
        self._settled: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def __getitem__(self, name: str) -> Component:
        """Return a part. Raises ``KeyError``."""
        return self._parts[name]

    def __contains__(self, name: str) -> bool:
        """Whether there is such a part here."""
        return name in self._parts

    def __iter__(self) -> Iterator[Component]:
        """Yield all parts."""
        return iter(tuple(self._parts.values()))

    def set(self, name: str, state: ComponentState, detail: str) -> None:
        """Note how a part is."""
        before = self._parts.get(name)
        now = Component(name, state, detail) if before is None else before.becomes(state, detail)
        self._parts[name] = now
        if state != "loading":
            self._settled[name].set()
        self._changed.tell()
        log.info("component", component=name, state=state)

    def detail(self, name: str, detail: str) -> None:
        """Note what is to be said of a part, which stays in its state."""
        self.set(name, self._parts[name].state, detail)

    async def settled(self, name: str) -> None:
        """Wait until a part is there, or known to be away."""
        await self._settled[name].wait()

    def begin(self, name: str, start: Callable[[], Coroutine[Any, Any, str]]) -> None:
        """Start a part behind the caller; ``start`` returns the sentence about it."""
        self.set(name, "loading", "loading")
        self._tasks.spawn(self.run(name, start))

    async def run(
        self, name: str, start: Callable[[], Coroutine[Any, Any, str]], *, first_pause_s: float = 0
    ) -> None:
        """Start a part, again and again with pauses where that is worth it."""
        await asyncio.sleep(first_pause_s)
        pause_s = RESTART_FIRST_S
        while True:
            failure = await self._try_start(name, start)
            if failure is None or name not in RESTARTED:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RESTART_MAX_S)

    async def _try_start(
        self, name: str, start: Callable[[], Coroutine[Any, Any, str]]
    ) -> XoeError | None:
        try:
            self.set(name, "ready", await start())
        except XoeError as exc:
            log.error("component.failed", component=name, error=str(exc))
            self.set(name, "failed", str(exc))
            return exc
        except Exception as exc:
            log.exception("component.failed", component=name)
            self.set(name, "failed", f"{name} failed: {type(exc).__name__}. See the log.")
            raise
        return None
