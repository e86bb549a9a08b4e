"""The one thread that owns a speech engine."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, Protocol, TypeVar

import structlog

from xoe.errors import EngineNotReadyError, TranscriptionBusyError, TranscriptionError, XoeError

log = structlog.get_logger(__name__)

QUEUE_LIMIT = 16
"""Pieces of speech that may wait: a few seconds of work, more would come too late."""


class Cancelled(Exception):  # noqa: N818 - no error, but how a job is left
    """Nobody waits for this job any more."""


class Engine(Protocol):
    """What the thread owns."""

    def close(self) -> None:
        """Free the memory."""


EngineT = TypeVar("EngineT", bound=Engine)
T = TypeVar("T")


class Job(Generic[EngineT, T]):
    """A piece of work; its ``future`` may be awaited in any loop."""

    def __init__(self, action: Callable[[EngineT, Job[EngineT, T]], T], *, partial: bool) -> None:
        """Take ``action``: it gets the engine and this job, and calls ``check`` now and then."""
        self.action = action
        self.partial = partial
        self.future: Future[T] = Future()
        self.submitted = time.perf_counter()
        self.wait_ms = 0.0
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Ask the job to end at its next step."""
        self._cancelled.set()

    def check(self) -> None:
        """Raise ``Cancelled`` when nobody waits any more."""
        if self._cancelled.is_set():
            raise Cancelled


class Worker(Generic[EngineT]):
    """Runs jobs one after another, final ones before partial ones. Thread-safe."""

    def __init__(self, name: str, load: Callable[[], EngineT]) -> None:
        """``load`` makes the engine, in the thread."""
        self._name = name
        self._load = load
        self._changed = threading.Condition()
        self._finals: deque[Job[EngineT, object]] = deque()
        self._partials: deque[Job[EngineT, object]] = deque()
        self._thread: threading.Thread | None = None
        self._loading: Future[None] = Future()
        self._ready = False
        self._stopping = False

    @property
    def ready(self) -> bool:
        """True when the engine is loaded."""
        return self._ready

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return len(self._finals) + len(self._partials)

    def start(self) -> Future[None]:
        """Load the engine; the result raises what loading raised. Jobs may follow at once."""
        with self._changed:
            if self._thread is not None:
                return self._loading
            self._stopping = False
            loading = self._loading = Future()
            self._thread = threading.Thread(
                target=self._run, args=(loading,), name=self._name, daemon=True
            )
            self._thread.start()
        return loading

    def submit(self, job: Job[EngineT, T]) -> None:
        """Let ``job`` wait for its turn.

        Raises ``EngineNotReadyError`` or ``TranscriptionBusyError`` at once.
        """
        with self._changed:
            if self._thread is None or self._stopping:
                raise EngineNotReadyError("Speech recognition is not running. Please type instead.")
            if self.waiting >= QUEUE_LIMIT:
                raise TranscriptionBusyError(self.waiting)
            queue = self._partials if job.partial else self._finals
            queue.append(job)  # type: ignore[arg-type] # its result is only handed on
            self._changed.notify_all()

    def cancel(self, job: Job[EngineT, T]) -> None:
        """Take ``job`` out of the queue, or stop it at its next step."""
        job.cancel()
        with self._changed:
            for queue in (self._finals, self._partials):
                if job in queue:
                    queue.remove(job)  # type: ignore[arg-type]
                    job.future.cancel()

    def stop(self) -> None:
        """Fail what waits, end the thread, free the engine; blocks until that is done."""
        with self._changed:
            thread, self._thread = self._thread, None
            self._stopping = True
            self._changed.notify_all()
        if thread is not None:
            thread.join()

    # What follows runs in the worker's own thread.

    def _run(self, loading: Future[None]) -> None:
        try:
            engine = self._load()
        except Exception as exc:  # noqa: BLE001 - raised again where the load is awaited
            with self._changed:
                self._thread, self._stopping = None, True
            self._refuse(exc if isinstance(exc, XoeError) else None)
            loading.set_exception(exc)
            return
        self._ready = True
        loading.set_result(None)
        try:
            while (job := self._take()) is not None:
                self._do(engine, job)
        finally:
            self._ready = False
            self._refuse(None)
            engine.close()

    def _take(self) -> Job[EngineT, object] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._finals or self._partials)
            if self._stopping:
                return None
            return (self._finals or self._partials).popleft()

    def _do(self, engine: EngineT, job: Job[EngineT, object]) -> None:
        if not job.future.set_running_or_notify_cancel():
            return
        job.wait_ms = (time.perf_counter() - job.submitted) * 1e3
        try:
            job.check()
            result = job.action(engine, job)
        except Cancelled:
            job.future.set_exception(TranscriptionError("The transcription was stopped."))
        except XoeError as exc:
            job.future.set_exception(exc)
        except Exception as exc:
            log.exception("stt.failed", worker=self._name)
            error = TranscriptionError("Speech recognition failed. Please say it again, or type.")
            error.__cause__ = exc
            job.future.set_exception(error)
        else:
            job.future.set_result(result)

    def _refuse(self, reason: XoeError | None) -> None:
        with self._changed:
            waiting = [*self._finals, *self._partials]
            self._finals.clear()
            self._partials.clear()
        for job in waiting:
            if job.future.set_running_or_notify_cancel():
                job.future.set_exception(
                    reason or EngineNotReadyError("Speech recognition has been shut down.")
                )
