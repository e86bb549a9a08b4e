"""An engine in a process of its own, and what it is to do.

The worker has one thread with an event loop, which keeps the process alive (``engines.life``) and
hands it one job after the other. Every method may be called from any thread and any loop.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import structlog

from core.errors import BusyError, XoeError
from core.tasks import Tasks
from engines.job import Job
from engines.life import BEING_STARTED, Life, Recipe, WorkerState, failed
from engines.process import CallCancelled, EngineFault, EngineLost, EngineProcess
from engines.queue import FairJobs, JobQueue
from engines.wire import Frame, Head

log = structlog.get_logger(__name__)

GROWTH_BYTES: Final = 512 * 2**20
"""An engine that has grown by so much since it was loaded is started afresh when it is idle."""


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
        self,
        recipe: Recipe,
        queue: JobQueue | None = None,
        *,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing runs until it is used; without ``queue`` it is called, and has no jobs.

        ``on_change`` is called in the worker's thread.
        """
        self._recipe = recipe
        self._queue: JobQueue = FairJobs(1, busy=BusyError) if queue is None else queue
        self._stopping = threading.Lock()  # one stop after the other
        self._lock = threading.Lock()  # guards what follows; never held while something is awaited
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._running: J | None = None
        self._busy = 0
        self._is_stopping = False
        # What follows belongs to the worker's loop.
        self._life = Life(
            recipe, self._lock, on_ready=self._work, on_change=on_change, refuse=self._refuse
        )
        self._serving: asyncio.Task[None] | None = None
        self._side_calls = Tasks()
        self._under_way: tuple[EngineProcess, int] | None = None
        """The process that carries out the job that runs, and the number of its call."""
        self._size: tuple[EngineProcess, int] | None = None
        """Bytes of a process after its first job."""

    # ── for everybody ────────────────────────────────────────────────────────────────────────

    @property
    def state(self) -> WorkerState:
        """``loading`` also while it is started again; jobs may be submitted then."""
        return self._life.state

    @property
    def problem(self) -> str | None:
        """Why it could not be loaded, for a person."""
        problem = self._life.problem
        return None if problem is None else str(problem)

    @property
    def pid(self) -> int | None:
        """The process's id, while there is one."""
        process = self._life.process
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
        process = self._life.process
        return EngineReport(
            name=self._recipe.name,
            state=self._life.state,
            pid=None if process is None else process.pid,
            restarts=self._life.restarts,
            problem=self.problem or self._life.last_loss,
            memory_bytes=0 if process is None else process.memory_bytes(),
        )

    def start(self) -> Future[None]:
        """Load the engine, and keep it loaded; jobs may be submitted at once.

        The result raises what kept it from loading. May be called again after a failure, and when
        it was stopped.
        """
        with self._lock:
            if self._is_stopping:
                return failed(self._recipe.closed())
            loading, is_new = self._life.want()
            if is_new:
                self._in_loop(self._life.begin, loading)
        return loading

    async def started(self) -> None:
        """Wait for ``start``, whose work goes on when the caller gives up."""
        await asyncio.shield(asyncio.wrap_future(self.start()))

    def submit(self, job: J) -> None:
        """Let ``job`` wait for its turn.

        Raises ``EngineNotReadyError`` at once, or what the queue raises when it is full.
        """
        with self._lock:
            life = self._life
            if life.state == "stopped" or self._is_stopping:
                raise self._recipe.closed()
            if life.problem is not None:
                raise self._recipe.refused(life.problem) from life.problem
            if life.is_overdue:
                raise self._recipe.lost(BEING_STARTED)
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
            life = self._life
            if needs_ready:
                self.start()
                await asyncio.sleep(0)  # it begins in this loop
            process = await (life.ready_process() if needs_ready else life.any_process())
            try:
                frame = await process.call(method, arguments, payload, stall_s=stall_s)
            except (EngineLost, EngineFault, CallCancelled) as exc:
                life.lost_at_work |= needs_ready and isinstance(exc, EngineLost)
                raise self._recipe.lost(exc) from exc
            life.finished += needs_ready
            return frame

        async def counted() -> Frame:
            task: asyncio.Task[Frame] = asyncio.current_task()  # type: ignore[assignment]
            self._side_calls.keep(task)
            try:
                return await carry_out()
            except asyncio.CancelledError:
                if self._is_stopping:
                    raise self._recipe.closed() from None
                raise
            finally:
                with self._lock:
                    self._busy -= is_work

        with self._lock:
            if self._is_stopping:
                return failed(self._recipe.closed())
            self._busy += is_work
            return asyncio.run_coroutine_threadsafe(counted(), self._loop_of_its_own())

    def loaded_anew(self) -> None:
        """Take what the engine uses after its next job for its proper size."""
        self._size = None

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
            and self._life.state != "loading"
        )

    def _loop_of_its_own(self) -> asyncio.AbstractEventLoop:
        """Return it; the lock is held until it was given what it is to do, so it is not closed."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._life.enter_loop()
            self._thread = threading.Thread(
                target=self._loop.run_forever, name=f"xoe-{self._recipe.name}", daemon=True
            )
            self._thread.start()
        return self._loop

    def _in_loop(self, action: Callable[..., object], *arguments: Any) -> None:
        """Let the loop call ``action``; the lock is held."""
        self._loop_of_its_own().call_soon_threadsafe(action, *arguments)

    # ── the worker's loop ────────────────────────────────────────────────────────────────────

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
        process = self._life.process
        if process is None or process.is_ending:
            return None
        with self._lock:
            if self._life.state != "ready" or not len(self._queue):
                return None
            self._running = job = self._queue.take()
            self._queue.tell()
        return job, process

    async def _carry_out(self, job: J, process: EngineProcess) -> None:
        def note(number: int) -> None:
            self._under_way = process, number

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
            self._life.lost_at_work = isinstance(exc, EngineLost)
            failure = self._recipe.lost(exc)
            failure.__cause__ = exc
        else:
            self._life.finished += 1
        self._under_way = None
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
        if self._running is job and self._under_way is not None:
            process, number = self._under_way
            process.cancel(number)

    async def _renew_if_grown(self) -> None:
        """End a process that has grown, when nobody needs it now; it is started again at once."""
        process = self._life.process
        if process is None:
            return
        now = process.memory_bytes()
        if self._size is None or self._size[0] is not process:
            self._size = process, now
        elif now > self._size[1] + GROWTH_BYTES and self.idle:
            log.info("engine.renewed", engine=self._recipe.name, memory_mb=now >> 20)
            await self._life.renew(process)

    def _refuse(self, error: Callable[[], XoeError]) -> None:
        """Let nobody wait any more."""
        with self._lock:
            waiting = self._queue.clear()
        for job in waiting:
            job.end(error())

    async def _shut_down(self) -> None:
        await self._life.halt()
        if self._serving is not None:
            self._side_calls.keep(self._serving)
        await self._side_calls.aclose()
        self._serving = None
        with self._lock:
            running, self._running = self._running, None
        await self._life.end()
        if running is not None:
            running.end(self._recipe.closed())
        self._refuse(self._recipe.closed)
