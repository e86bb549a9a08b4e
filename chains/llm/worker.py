"""The one thread that owns the loaded model."""

from __future__ import annotations

import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Literal

import structlog

from chains.llm.generator import Generator
from chains.llm.job import Job, send_places
from chains.llm.loader import ModelLoader
from chains.llm.native import stand_behind
from chains.llm.queue import FairQueue
from chains.llm.request import ChatTurn, TextPiece
from chains.llm.runtime import Interrupted
from chains.llm.task import Task, shut_down
from xoe.errors import (
    EngineNotReadyError,
    EngineStalledError,
    GenerationError,
    ModelLoadError,
    XoeError,
)

log = structlog.get_logger(__name__)

EngineState = Literal["stopped", "loading", "ready", "failed"]

_STALLED = "The model does not respond just now."
_JOIN_S = 10.0
"""What runs ends within a token, and loading a model within seconds."""


class Worker:
    """Serves the queue with one model at a time. Every method may be called from any thread."""

    def __init__(self, loader: ModelLoader, *, queue_limit: int) -> None:
        """``queue_limit``: how many requests may wait."""
        self._loader = loader
        self._changed = threading.Condition()  # guards what follows; not held while it works
        self._queue: FairQueue[Job] = FairQueue(queue_limit)
        self._tasks: deque[Task] = deque()
        self._working = False
        self._running: Job | None = None
        self._generator: Generator | None = None
        self._loaded: str | None = None
        self._state: EngineState = "stopped"
        self._problem: str | None = None
        self._stopping = False
        self._stalled = False
        self._progress_at = 0.0
        self._thread: threading.Thread | None = None

    @property
    def stalled(self) -> bool:
        """Whether the model does not go on with what it was given."""
        return self._stalled

    @property
    def state(self) -> EngineState:
        """``ready`` also while it changes models for a request."""
        return self._state

    @property
    def problem(self) -> str | None:
        """Why the first model could not be loaded, for a person."""
        return self._problem

    @property
    def loaded(self) -> str | None:
        """The profile whose model is loaded."""
        return self._loaded

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """True when nothing runs and nothing waits."""
        with self._changed:
            return self._is_idle()

    def start(self, profile: str) -> Future[int]:
        """Load ``profile``; requests may be submitted at once and wait for it.

        The result raises ``ModelError`` when it cannot be loaded.
        """
        with self._changed:
            self._state, self._problem = "loading", None
            if self._thread is None:
                self._stopping = False
                self._thread = threading.Thread(target=self._run, name="xoe-llm", daemon=True)
                self._thread.start()
        return self._add_task(lambda: self._load_first(profile))

    def warm(self, messages: Sequence[ChatTurn], profile: str) -> Future[int]:
        """Read ``messages`` before they are needed; the result is their number of tokens."""
        return self._add_task(lambda: self._use(profile).warm(messages))

    def unload(self) -> None:
        """Free the model after what runs; the next request loads it again."""
        with self._changed:
            if self._thread is None or self._state != "ready":
                return

        def free() -> int:
            self._unload()
            return 0

        self._add_task(free)

    def submit(self, job: Job) -> None:
        """Let ``job`` wait for its turn.

        Raises ``EngineBusyError`` or ``EngineNotReadyError`` at once.
        """
        with self._changed:
            if self._state == "stopped":
                raise EngineNotReadyError("The model is not running. Please start it first.")
            if self._state == "failed":
                raise EngineNotReadyError(self._problem or "The model could not be loaded.")
            if self._stalled:
                raise EngineStalledError(_STALLED)
            starts_now = self._is_idle()
            self._queue.put(job, session_id=job.request.session_id, profile=job.profile)
            if not starts_now:
                self._tell_places()
            self._changed.notify_all()

    def cancel(self, job: Job) -> None:
        """Take ``job`` out of the queue, or stop the model within a token if it is running."""
        with self._changed:
            job.cancelled = True
            if self._queue.remove(job):
                self._tell_places()
            elif self._running is job and self._generator is not None:
                self._generator.interrupt()

    def look_for_stall(self, limit_s: float) -> None:
        """Fail what runs and waits when nothing has been read or written for ``limit_s``.

        Requests are refused from then on, until the model goes on.
        """
        with self._changed:
            job = self._running
            is_stuck = time.monotonic() - self._progress_at > limit_s
            if job is None or self._generator is None or self._stalled or not is_stuck:
                return
            self._stalled = True
            self._generator.interrupt()
            log.error("llm.stalled", profile=self._loaded, waiting=len(self._queue))
            for stuck in (job, *self._queue.clear()):
                stuck.cancelled = True
                stuck.fail(EngineStalledError(_STALLED))

    def stop(self) -> bool:
        """Stop what runs, fail what waits, free the model; blocks until the thread has ended.

        False when it is stuck in llama.cpp and does not end: it goes with the process.
        """
        with self._changed:
            thread, self._thread = self._thread, None
            self._stopping = True
            if self._generator is not None:
                self._generator.interrupt()
            self._changed.notify_all()
        if thread is None:
            return True
        thread.join(_JOIN_S)
        return not thread.is_alive()

    def _is_idle(self) -> bool:
        return not (self._working or self._tasks or self._queue)

    def _add_task(self, action: Callable[[], int]) -> Future[int]:
        task = Task(action)
        with self._changed:
            if self._thread is None:
                raise EngineNotReadyError("The model is not running. Please start it first.")
            self._tasks.append(task)
            self._changed.notify_all()
        return task.future

    def _tell_places(self) -> None:
        told = []
        for place, job in enumerate(self._queue.order(self._loaded)):
            if job.place != place:
                job.place = place
                told.append((job, place))
        send_places(told)

    # What follows runs in the worker's own thread.

    def _run(self) -> None:
        stand_behind()
        while self._serve_one():
            pass
        self._unload()
        with self._changed:
            self._state = "stopped"
            for task in self._tasks:
                task.refuse()
            self._tasks.clear()
            for job in self._queue.clear():
                job.fail(shut_down())

    def _serve_one(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._tasks or self._queue)
            if self._stopping:
                return False
            if self._generator is not None:
                self._generator.resume()
            self._working = True
            self._went_on()
            if self._tasks:
                do = self._tasks.popleft().run
            else:
                job = self._running = self._queue.take(self._loaded)
                self._tell_places()
                do = functools.partial(self._answer, job)
        tell_end = do()
        with self._changed:
            self._working, self._running = False, None
            if self._stalled:
                self._stalled = False
                log.info("llm.goes_on", profile=self._loaded)
        tell_end()  # not before: who hears it is to find the worker free
        return True

    def _went_on(self) -> None:
        self._progress_at = time.monotonic()

    def _answer(self, job: Job) -> Callable[[], None]:
        def emit(piece: TextPiece) -> None:
            if job.cancelled:
                raise Interrupted
            job.send(piece)

        try:
            generator = self._use(job.profile)
            self._went_on()
            if job.cancelled:
                raise Interrupted
            finished = generator.generate(
                job.request,
                max_tokens=job.max_tokens,
                queue_ms=(time.perf_counter() - job.submitted) * 1e3,
                emit=emit,
                on_progress=self._went_on,
            )
        except Interrupted:
            return lambda: job.fail(shut_down())  # if it was cancelled, nobody reads this
        except XoeError as exc:
            failure = exc
            return lambda: job.fail(failure)
        except Exception as exc:
            log.exception("llm.answer_failed", profile=job.profile)
            self._unload()  # the next request loads it afresh
            error = GenerationError("The model failed while it was answering. Please ask again.")
            error.__cause__ = exc
            return lambda: job.fail(error)
        return lambda: job.send(finished)

    def _load_first(self, profile: str) -> int:
        try:
            self._use(profile)
        except XoeError as exc:
            self._fail(str(exc))
            raise
        except Interrupted:
            raise
        except Exception:
            log.exception("llm.load_failed", profile=profile)
            self._fail("The model could not be loaded; the log has the reason.")
            raise
        with self._changed:
            self._state = "ready"
        return 0

    def _fail(self, problem: str) -> None:
        with self._changed:
            self._state, self._problem = "failed", problem
            for job in self._queue.clear():
                job.fail(EngineNotReadyError(problem))

    def _use(self, profile: str) -> Generator:
        """Return the profile's model, loaded; raises ``ModelError`` or ``Interrupted``."""
        if self._generator is not None and self._loaded == profile:
            return self._generator
        began = time.perf_counter()
        try:
            self._loader.vocabulary(profile)  # a missing file does not cost the loaded model
            self._unload()
            generator = self._loader.load(profile)
        except OSError as exc:
            raise ModelLoadError(f"The model {profile} cannot be read: {exc}.") from exc
        with self._changed:
            self._generator, self._loaded = generator, profile
            if self._stopping:
                raise Interrupted
        log.info("llm.loaded", profile=profile, ms=round((time.perf_counter() - began) * 1e3))
        return generator

    def _unload(self) -> None:
        with self._changed:
            generator, self._generator, self._loaded = self._generator, None, None
        if generator is not None:
            generator.close()
