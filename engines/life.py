"""The lives of an engine's process: started, watched, started again, proven, or left alone."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import structlog

from core.errors import EngineNotReadyError, ModelLoadError, XoeError
from engines.process import SILENCE_S, EngineFault, EngineLost, EngineProcess
from engines.restarts import Losses
from engines.wire import Head

log = structlog.get_logger(__name__)

WorkerState = Literal["stopped", "loading", "ready", "failed"]

REST_S: Final = 600.0
"""So long an engine is left alone that did not come up, or ended at each job."""
CALL_WAIT_S: Final = 30.0
"""How long a call waits for an engine that is being started again."""
LOAD_S: Final = 300.0
"""An engine that has not loaded its model by then is stuck, however alive it looks."""
RESTART_WAIT_S: Final = 5.0
"""How long a job waits for an engine that is being started again; longer, and it does without."""
BEING_STARTED: Final = EngineLost("it is being started again")


@dataclass(frozen=True)
class Recipe:
    """How an engine is made, and what its failures are called."""

    name: str
    title: str
    """At the beginning of a sentence for a person: ``The language model``."""
    service: str
    """``module:Class`` of an ``engines.service.Service``."""
    options: Head
    """What the class is made with."""
    lost: Callable[[Exception], XoeError]
    """The error for what was under way when the process was lost or its engine failed."""
    closed: Callable[[], XoeError]
    """The error for what was under way, or waited, when the engine was shut down."""
    refused: Callable[[XoeError], XoeError] = field(
        default=lambda problem: EngineNotReadyError(str(problem))
    )
    """The error for a job of an engine that could not be loaded, because of a problem."""
    prepare: Callable[[EngineProcess], Awaitable[object]] = field(
        default=lambda process: process.call("load", {})
    )
    """Loads what it needs to be ready, also after it was started again."""
    stall_s: float | None = None
    """A job that does not get on for so long is stuck: its process is killed."""
    environment: Callable[[bool], Mapping[str, str]] = field(default=lambda _: {})
    """What the process's environment is given; blocking. ``True``: prove that it can run here."""


class Life:
    """Keeps one engine loaded, from when it is wanted until it is shut down.

    Belongs to the worker's loop; what others read is guarded by the worker's lock.
    """

    def __init__(
        self,
        recipe: Recipe,
        lock: threading.Lock,
        *,
        on_ready: Callable[[], object],
        on_change: Callable[[], None],
        refuse: Callable[[Callable[[], XoeError]], None],
    ) -> None:
        """``on_ready``: it can work; ``refuse``: what waits is to fail with these errors."""
        self._recipe = recipe
        self._lock = lock  # guards the next four; never held while something is awaited
        self.state: WorkerState = "stopped"
        self.problem: XoeError | None = None
        self.is_overdue = False
        """It is being started again for longer than a job waits."""
        self._loading: Future[None] | None = None
        self._rests_until = 0.0
        self._on_ready = on_ready
        self._on_change = on_change
        self._refuse = refuse
        self.process: EngineProcess | None = None
        self.restarts = 0
        self.last_loss = ""
        self.finished = 0
        """Jobs and calls that its process has done since it was ready."""
        self.lost_at_work = False
        self._task: asyncio.Task[None] | None = None
        self._overdue: asyncio.TimerHandle | None = None
        self._opening = asyncio.Lock()
        self._settled = asyncio.Event()

    def enter_loop(self) -> None:
        """Belong to a new loop from now on."""
        self._opening, self._settled = asyncio.Lock(), asyncio.Event()

    def want(self) -> tuple[Future[None], bool]:
        """Return what tells when it is loaded, and whether to ``begin``; the lock is held."""
        if self._loading is not None and self.state in ("loading", "ready"):
            return self._loading, False
        if self.problem is not None and time.monotonic() < self._rests_until:
            return failed(self.problem), False
        self._loading = Future()
        self.state, self.problem = "loading", None
        return self._loading, True

    def begin(self, loading: Future[None]) -> None:
        """Load it, and keep it loaded."""
        self._settled.clear()
        self._task = asyncio.create_task(self._live(loading), name=f"{self._recipe.name}-life")

    async def ready_process(self) -> EngineProcess:
        """Return the process when the engine, which is wanted, is loaded, or soon is again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CALL_WAIT_S):
                await self._settled.wait()
        if self.problem is not None:
            raise self.problem
        process = self.process
        if self.state != "ready" or process is None:
            raise self._recipe.lost(BEING_STARTED)
        return process

    async def any_process(self) -> EngineProcess:
        """Return the process, loaded or not; one is started if there is none."""
        try:
            return await self._open()
        except EngineLost as exc:
            raise self._recipe.lost(exc) from exc

    async def renew(self, process: EngineProcess) -> None:
        """End a process that is idle; it is started again at once."""
        self._set("loading")
        await process.stop()

    async def halt(self) -> None:
        """Start nothing any more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        if self._overdue is not None:
            self._overdue.cancel()

    async def end(self) -> None:
        """End the process, after ``halt``."""
        with self._lock:
            self.state, self.problem, self._rests_until = "stopped", None, 0.0
            self.is_overdue = False
            loading, self._loading = self._loading, None
        if loading is not None and not loading.done():
            loading.set_exception(self._recipe.closed())
        if self.process is not None:
            await self.process.stop()

    async def _live(self, loading: Future[None]) -> None:
        """Keep the engine loaded until it is shut down, or cannot be loaded."""
        try:
            await self._keep_loaded(loading)
        except Exception as exc:  # a fault of ours: nobody is to wait for ever
            log.exception("engine.failed", engine=self._recipe.name)
            self._fail(self._unloadable(f"{type(exc).__name__}, see the log"), loading)

    async def _keep_loaded(self, loading: Future[None]) -> None:
        losses = Losses()
        while True:
            try:
                process = await self._open(prove=losses.must_prove)
                await self._prepare(process)
            except EngineLost as exc:
                pause_s = losses.unready()
                if losses.is_hopeless:
                    self._leave_alone(exc, losses.in_a_row, loading)
                    return
                self._note(exc)
                await asyncio.sleep(pause_s)
                continue
            except (XoeError, EngineFault) as exc:
                if self.process is not None:  # the next start is to find nothing of this one
                    await self.process.stop()
                problem = exc if isinstance(exc, XoeError) else self._unloadable(str(exc))
                self._fail(problem, loading)
                return
            losses.ready()
            ready_at = time.monotonic()
            process.expect(SILENCE_S)
            self._set("ready")
            if not loading.done():
                loading.set_result(None)
            self._on_ready()
            ended = await asyncio.shield(process.ended)
            self._set("loading")
            pause_s = losses.ended(
                lived_s=time.monotonic() - ready_at,
                finished=self.finished,
                at_work=self.lost_at_work,
                is_lost=ended is not None,
            )
            if ended is None:
                continue
            if losses.is_hopeless:
                self._leave_alone(ended, losses.in_a_row, loading)
                return
            self._note(ended)
            await asyncio.sleep(pause_s)

    async def _prepare(self, process: EngineProcess) -> None:
        try:
            async with asyncio.timeout(LOAD_S):
                await self._recipe.prepare(process)
        except TimeoutError as exc:
            stuck = EngineLost(f"it was not ready within {LOAD_S:.0f} s", is_stuck=True)
            await process.kill(stuck)
            raise stuck from exc

    def _unloadable(self, why: str) -> ModelLoadError:
        return ModelLoadError(f"{self._recipe.title} cannot be loaded: {why}.")

    def _note(self, ended: EngineLost) -> None:
        self.restarts += 1
        self.last_loss = str(ended)
        log.warning("engine.restart", engine=self._recipe.name, reason=str(ended))

    def _leave_alone(self, ended: EngineLost, times: int, loading: Future[None]) -> None:
        self._rests_until = time.monotonic() + REST_S
        error = ModelLoadError(
            f"{self._recipe.title} does not stay: {times} times in a row {ended}. It is left alone "
            f"for {REST_S / 60:.0f} minutes; 'xoe doctor' may tell why."
        )
        error.__cause__ = ended
        self._fail(error, loading)

    def _set(self, state: WorkerState, problem: XoeError | None = None) -> None:
        with self._lock:
            self.state, self.problem = state, problem
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
        self.is_overdue = False
        if state == "loading":  # again: the first time it is ``start`` that says so
            self._settled.clear()
            loop = asyncio.get_running_loop()
            self._overdue = loop.call_later(RESTART_WAIT_S, self._let_go)
        else:
            self._settled.set()
        self._on_change()

    def _let_go(self) -> None:
        """Let nobody wait any more: it takes too long to start it again."""
        with self._lock:
            self.is_overdue = True
        self._refuse(lambda: self._recipe.lost(BEING_STARTED))

    def _fail(self, problem: XoeError, loading: Future[None]) -> None:
        self._set("failed", problem)
        self._refuse(lambda: self._recipe.refused(problem))
        if not loading.done():
            loading.set_exception(problem)

    async def _open(self, *, prove: bool = False) -> EngineProcess:
        """Return the process, started if there is none. Raises ``EngineLost`` or ``XoeError``."""
        async with self._opening:
            while (last := self.process) is not None and last.is_ending:
                await asyncio.shield(last.ended)
                self._forget(last)
            if self.process is None:
                recipe = self._recipe
                environment = await asyncio.to_thread(recipe.environment, prove)
                process = await EngineProcess.start(
                    recipe.name, recipe.service, recipe.options, environment
                )
                self.process = process
                self.finished, self.lost_at_work = 0, False
                process.ended.add_done_callback(lambda _: self._forget(process))
            return self.process

    def _forget(self, process: EngineProcess) -> None:
        if self.process is process:
            self.process = None


def failed(problem: XoeError) -> Future[Any]:
    """Return a future that raises ``problem``."""
    future: Future[Any] = Future()
    future.set_exception(problem)
    return future
