"""An engine in a process of its own: what waits for it, and starting it again when it is lost.

The worker has one thread with an event loop, which watches the process and hands it one job after
the other. Every method may be called from any thread and any loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, Protocol, TypeVar

import structlog

from core.errors import EngineNotReadyError, ModelLoadError, XoeError
from engines.job import Job
from engines.process import SILENCE_S, CallCancelled, EngineFault, EngineLost, EngineProcess
from engines.restarts import Losses
from engines.wire import Frame, Head

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
GROWTH_BYTES: Final = 512 * 2**20
"""An engine that has grown by so much since it was loaded is started afresh when it is idle."""


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


class NoQueue:
    """For an engine that is only called, and has no jobs."""

    def put(self, _: Any) -> None:
        """Refuse it."""
        raise TypeError("this engine takes no jobs")

    def take(self) -> Any:
        """Find none."""
        raise IndexError("this engine has no jobs")

    def remove(self, _: Any) -> bool:
        """Find none."""
        return False

    def clear(self) -> list[Any]:
        """Find none."""
        return []

    def tell(self) -> None:
        """Tell nobody."""

    def __len__(self) -> int:
        return 0


@dataclass(frozen=True)
class EngineReport:
    """How an engine is, for whoever watches it."""

    name: str
    state: WorkerState
    pid: int | None
    restarts: int
    """How often it was started again after it was lost."""
    problem: str
    """Why it is not there, or how it was lost last."""
    memory_bytes: int


J = TypeVar("J", bound=Job[Any])


class Worker(Generic[J]):
    """Owns one engine's process; started again when it is lost. Cheap to make."""

    def __init__(
        self, recipe: Recipe, queue: JobQueue, *, on_change: Callable[[], None] = lambda: None
    ) -> None:
        """Nothing runs until it is used. ``on_change`` is called in the worker's thread."""
        self._recipe = recipe
        self._queue = queue
        self._on_change = on_change
        self._stopping = threading.Lock()  # one stop after the other
        self._lock = threading.Lock()  # guards what follows; never held while something is awaited
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._state: WorkerState = "stopped"
        self._problem: XoeError | None = None
        self._running: J | None = None
        self._busy = 0
        self._is_stopping = False
        self._loading: Future[None] | None = None
        self._rests_until = 0.0
        # What follows belongs to the worker's loop.
        self._process: EngineProcess | None = None
        self._number: int | None = None
        self._life: asyncio.Task[None] | None = None
        self._serving: asyncio.Task[None] | None = None
        self._side_calls: set[asyncio.Task[Frame]] = set()
        self._restarts = 0
        self._last_loss = ""
        self._baseline_bytes: int | None = None
        self._finished = 0
        """Jobs and calls that its process has done since it was ready."""
        self._lost_at_work = False
        self._overdue: asyncio.TimerHandle | None = None
        self._is_overdue = False
        """It is being started again for longer than a job waits."""
        self._opening = asyncio.Lock()
        self._settled = asyncio.Event()

    # ── for everybody ────────────────────────────────────────────────────────────────────────

    @property
    def state(self) -> WorkerState:
        """``loading`` also while it is started again; jobs may be submitted then."""
        return self._state

    @property
    def problem(self) -> str | None:
        """Why it could not be loaded, for a person."""
        return None if self._problem is None else str(self._problem)

    @property
    def pid(self) -> int | None:
        """The process's id, while there is one."""
        process = self._process
        return None if process is None else process.pid

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """True when nothing runs, loads or waits."""
        with self._lock:
            return self._is_idle()

    def report(self) -> EngineReport:
        """Return how it is. Takes a fraction of a millisecond."""
        process = self._process
        return EngineReport(
            name=self._recipe.name,
            state=self._state,
            pid=None if process is None else process.pid,
            restarts=self._restarts,
            problem=self.problem or self._last_loss,
            memory_bytes=0 if process is None else process.memory_bytes(),
        )

    def start(self) -> Future[None]:
        """Load the engine, and keep it loaded; jobs may be submitted at once.

        The result raises what kept it from loading. May be called again after a failure, and when
        it was stopped.
        """
        with self._lock:
            if self._is_stopping:
                return _failed(self._recipe.closed())
            if self._loading is not None and self._state in ("loading", "ready"):
                return self._loading
            if self._problem is not None and time.monotonic() < self._rests_until:
                return _failed(self._problem)
            loading: Future[None] = Future()
            self._loading = loading
            self._state, self._problem = "loading", None
            self._in_loop(self._begin, loading)
        return loading

    async def started(self) -> None:
        """Wait for ``start``, whose work goes on when the caller gives up."""
        await asyncio.shield(asyncio.wrap_future(self.start()))

    def submit(self, job: J) -> None:
        """Let ``job`` wait for its turn.

        Raises ``EngineNotReadyError`` at once, or what the queue raises when it is full.
        """
        with self._lock:
            if self._state == "stopped" or self._is_stopping:
                raise self._recipe.closed()
            if self._problem is not None:
                raise self._recipe.refused(self._problem) from self._problem
            if self._is_overdue:
                raise self._recipe.lost(_BEING_STARTED)
            starts_now = self._is_idle()
            self._queue.put(job)
            if not starts_now:
                self._queue.tell()
            self._in_loop(self._work)

    def cancel(self, job: J) -> None:
        """Take ``job`` out of the queue, or stop the engine if it is running."""
        with self._lock:
            job.cancelled = True
            if self._queue.remove(job):
                self._queue.tell()
                return
            if self._running is job:
                self._in_loop(self._stop_running, job)

    def call(
        self,
        method: str,
        arguments: Head,
        payload: bytes = b"",
        *,
        needs_ready: bool = True,
        is_work: bool = False,
        stall_s: float | None = None,
    ) -> Future[Frame]:
        """Call a method beside the jobs; the result raises ``XoeError``.

        ``needs_ready``: wait until the engine is loaded, as ``start`` does; else any process of it
        will do, and one is started if there is none. ``is_work``: it keeps the engine from being
        ``idle``.
        """

        async def carry_out() -> Frame:
            process = await (self._ready_process() if needs_ready else self._any_process())
            try:
                frame = await process.call(method, arguments, payload, stall_s=stall_s)
            except (EngineLost, EngineFault, CallCancelled) as exc:
                self._lost_at_work |= needs_ready and isinstance(exc, EngineLost)
                raise self._recipe.lost(exc) from exc
            self._finished += needs_ready
            return frame

        async def counted() -> Frame:
            task: asyncio.Task[Frame] = asyncio.current_task()  # type: ignore[assignment]
            self._side_calls.add(task)
            try:
                return await carry_out()
            except asyncio.CancelledError:
                if self._is_stopping:
                    raise self._recipe.closed() from None
                raise
            finally:
                self._side_calls.discard(task)
                with self._lock:
                    self._busy -= is_work

        with self._lock:
            if self._is_stopping:
                return _failed(self._recipe.closed())
            self._busy += is_work
            return asyncio.run_coroutine_threadsafe(counted(), self._loop_of_its_own())

    def loaded_anew(self) -> None:
        """Take what the engine uses after its next job for its proper size."""
        self._baseline_bytes = None

    def stop(self) -> None:
        """Stop what runs, fail what waits, end the process; blocks until that is done."""
        with self._stopping:
            with self._lock:
                loop, thread = self._loop, self._thread
                if loop is None or thread is None:
                    return
                self._is_stopping = True  # from here on nothing is given to the loop any more
            try:
                asyncio.run_coroutine_threadsafe(self._shut_down(), loop).result()
            finally:
                loop.call_soon_threadsafe(loop.stop)
                thread.join()
                loop.close()
                with self._lock:
                    self._loop = self._thread = None
                    self._is_stopping = False

    def _is_idle(self) -> bool:
        return (
            self._running is None
            and not self._busy
            and not len(self._queue)
            and self._state != "loading"
        )

    def _loop_of_its_own(self) -> asyncio.AbstractEventLoop:
        """Return it; the lock is held until it was given what it is to do, so it is not closed."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._opening, self._settled = asyncio.Lock(), asyncio.Event()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name=f"xoe-{self._recipe.name}", daemon=True
            )
            self._thread.start()
        return self._loop

    def _in_loop(self, action: Callable[..., object], *arguments: Any) -> None:
        """Let the loop call ``action``; the lock is held."""
        self._loop_of_its_own().call_soon_threadsafe(action, *arguments)

    # ── the worker's loop: the process ───────────────────────────────────────────────────────

    def _begin(self, loading: Future[None]) -> None:
        self._settled.clear()
        self._life = asyncio.create_task(self._live(loading), name=f"{self._recipe.name}-life")

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
                if self._process is not None:  # the next start is to find nothing of this one
                    await self._process.stop()
                problem = exc if isinstance(exc, XoeError) else self._unloadable(str(exc))
                self._fail(problem, loading)
                return
            losses.ready()
            ready_at = time.monotonic()
            process.expect(SILENCE_S)
            self._set("ready")
            if not loading.done():
                loading.set_result(None)
            self._work()
            ended = await asyncio.shield(process.ended)
            self._set("loading")
            pause_s = losses.ended(
                lived_s=time.monotonic() - ready_at,
                finished=self._finished,
                at_work=self._lost_at_work,
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
        self._restarts += 1
        self._last_loss = str(ended)
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
            self._state, self._problem = state, problem
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
        self._is_overdue = False
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
            self._is_overdue = True
            waiting = self._queue.clear()
        for job in waiting:
            job.end(self._recipe.lost(_BEING_STARTED))

    def _fail(self, problem: XoeError, loading: Future[None]) -> None:
        self._set("failed", problem)
        with self._lock:
            waiting = self._queue.clear()
        for job in waiting:
            job.end(self._recipe.refused(problem))
        if not loading.done():
            loading.set_exception(problem)

    async def _open(self, *, prove: bool = False) -> EngineProcess:
        """Return the process, started if there is none. Raises ``EngineLost`` or ``XoeError``."""
        async with self._opening:
            while (last := self._process) is not None and last.is_ending:
                await asyncio.shield(last.ended)
                self._forget(last)
            if self._process is None:
                recipe = self._recipe
                environment = await asyncio.to_thread(recipe.environment, prove)
                process = await EngineProcess.start(
                    recipe.name, recipe.service, recipe.options, environment
                )
                self._process, self._baseline_bytes = process, None
                self._finished, self._lost_at_work = 0, False
                process.ended.add_done_callback(lambda _: self._forget(process))
            return self._process

    def _forget(self, process: EngineProcess) -> None:
        if self._process is process:
            self._process = self._number = None

    async def _ready_process(self) -> EngineProcess:
        """Return the process when the engine is loaded, or being loaded again soon is."""
        self.start()
        await asyncio.sleep(0)  # it begins in this loop
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CALL_WAIT_S):
                await self._settled.wait()
        if self._problem is not None:
            raise self._problem
        process = self._process
        if self._state != "ready" or process is None:
            raise self._recipe.lost(_BEING_STARTED)
        return process

    async def _any_process(self) -> EngineProcess:
        try:
            return await self._open()
        except EngineLost as exc:
            raise self._recipe.lost(exc) from exc

    # ── the worker's loop: the jobs ──────────────────────────────────────────────────────────

    def _work(self) -> None:
        """Serve what waits, unless that is done already."""
        if self._serving is None or self._serving.done():
            name = f"{self._recipe.name}-jobs"
            self._serving = asyncio.create_task(self._serve(), name=name)

    async def _serve(self) -> None:
        while (taken := self._take()) is not None:
            await self._carry_out(*taken)
            await self._renew_if_grown()

    def _take(self) -> tuple[J, EngineProcess] | None:
        process = self._process
        if process is None or process.is_ending:
            return None
        with self._lock:
            if self._state != "ready" or not len(self._queue):
                return None
            self._running = job = self._queue.take()
            self._queue.tell()
        return job, process

    async def _carry_out(self, job: J, process: EngineProcess) -> None:
        def note(number: int) -> None:
            self._number = number

        def receive(head: Head, payload: bytes) -> None:
            if job.cancelled:  # its loop was closed
                self._stop_running(job)
            else:
                job.receive(head, payload)

        failure: XoeError | None = None
        job.begin()
        try:
            if job.cancelled:
                raise CallCancelled
            frame = await process.call(
                job.method,
                job.arguments,
                job.payload,
                on_event=receive,
                on_number=note,
                stall_s=self._recipe.stall_s,
            )
        except CallCancelled:
            failure = self._recipe.closed()  # if it was cancelled, nobody reads this
        except XoeError as exc:
            failure = exc
        except (EngineLost, EngineFault) as exc:
            self._lost_at_work = isinstance(exc, EngineLost)
            failure = self._recipe.lost(exc)
            failure.__cause__ = exc
        else:
            self._finished += 1
        self._number = None
        with self._lock:
            self._running = None
        # Not before: who hears of the end is to find the worker free.
        if failure is None:
            try:
                job.finish(frame.head, frame.payload)
            except (KeyError, TypeError, ValueError) as exc:
                log.exception("engine.nonsense", engine=self._recipe.name)
                failure = self._recipe.lost(EngineFault(f"a result that is none: {exc}"))
        if failure is not None:
            job.end(failure)

    def _stop_running(self, job: J) -> None:
        if self._running is job and self._number is not None and self._process is not None:
            self._process.cancel(self._number)

    async def _renew_if_grown(self) -> None:
        """End a process that has grown, when nobody needs it now; it is started again at once."""
        process = self._process
        if process is None:
            return
        now = process.memory_bytes()
        if self._baseline_bytes is None:
            self._baseline_bytes = now
        elif now > self._baseline_bytes + GROWTH_BYTES and self.idle:
            log.info("engine.renewed", engine=self._recipe.name, memory_mb=now >> 20)
            self._set("loading")
            await process.stop()

    async def _shut_down(self) -> None:
        tasks = [task for task in (self._life, self._serving, *self._side_calls) if task]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._life = self._serving = None
        if self._overdue is not None:
            self._overdue.cancel()
        with self._lock:
            running, self._running = self._running, None
            left = self._queue.clear()
            self._state, self._problem, self._rests_until = "stopped", None, 0.0
            self._is_overdue = False
            loading, self._loading = self._loading, None
        if loading is not None and not loading.done():
            loading.set_exception(self._recipe.closed())
        if self._process is not None:
            await self._process.stop()
        for job in (*([running] if running is not None else ()), *left):
            job.end(self._recipe.closed())


_BEING_STARTED: Final = EngineLost("it is being started again")


def _failed(problem: XoeError) -> Future[Any]:
    failed: Future[Any] = Future()
    failed.set_exception(problem)
    return failed
