"""The thread that a speech engine lives in, and the queue before it."""

from __future__ import annotations

import asyncio
import threading
from abc import abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import Future

import structlog

from voice.tts.job import Cancelled, SpeechJob
from voice.tts.pieces import pieces
from voice.tts.synthesizer import AudioChunk, Synthesizer, VoiceStyle
from xoe.errors import SpeechBusyError, SynthesisError, XoeError

log = structlog.get_logger(__name__)

QUEUE_LIMIT = 32
"""Texts that may wait for one engine. A clause takes some 0.2 s: the last waits for seconds."""


class ThreadedSynthesizer(Synthesizer):
    """An engine in one thread, which takes one text after the other.

    A subclass gives ``_load``, ``_speak`` and ``_unload``; all three run in that thread only, so
    libraries with global state are safe in it.
    """

    def __init__(self, *, style: VoiceStyle | None = None, queue_limit: int = QUEUE_LIMIT) -> None:
        """``style`` is used where ``stream`` is given none."""
        self._style = style or VoiceStyle()
        self._limit = queue_limit
        self._changed = threading.Condition()  # guards what follows
        self._waiting: deque[SpeechJob] = deque()
        self._running: SpeechJob | None = None
        self._loading: Future[None] | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None

    @property
    def ready(self) -> bool:
        """True once it is loaded and warm."""
        loading = self._loading
        return loading is not None and loading.done() and loading.exception() is None

    @property
    def waiting(self) -> int:
        """How many texts wait."""
        return len(self._waiting)

    @property
    def idle(self) -> bool:
        """True when nothing is spoken and nothing waits."""
        with self._changed:
            return self._running is None and not self._waiting

    async def start(self) -> None:
        """Load and warm the engine; may be called again after a failure."""
        # The load goes on if the caller gives up, so that the state is true in any case.
        await asyncio.shield(asyncio.wrap_future(self._start()))

    async def stream(
        self, text: str, style: VoiceStyle | None = None
    ) -> AsyncGenerator[AudioChunk, None]:
        """Speak ``text``; see ``Synthesizer.stream``. A long text takes several turns."""
        if not self.ready:
            await self.start()
        for piece in pieces(text):
            job = SpeechJob(piece, style or self._style)
            self._submit(job)
            try:
                async for chunk in job.chunks():
                    yield chunk
            finally:
                self._cancel(job)

    async def aclose(self) -> None:
        """Stop what runs, fail what waits and end the thread."""
        await asyncio.to_thread(self._stop)

    @abstractmethod
    def _load(self) -> None:
        """Load and warm; raise ``ModelError`` when that fails."""

    @abstractmethod
    def _speak(self, job: SpeechJob) -> Iterator[AudioChunk]:
        """Speak ``job.text``; raise ``Cancelled`` soon after the job was cancelled."""

    @abstractmethod
    def _unload(self) -> None:
        """Free what ``_load`` took; also called when it failed half-way."""

    def _start(self) -> Future[None]:
        with self._changed:
            loading = self._loading
            if loading is not None and not (loading.done() and loading.exception()):
                return loading
            self._loading = Future()
            self._stopping = False
            self._thread = threading.Thread(
                target=self._run, args=(self._loading,), name=f"xoe-{self.name}", daemon=True
            )
            self._thread.start()
            return self._loading

    def _submit(self, job: SpeechJob) -> None:
        with self._changed:
            if self._thread is None:
                raise SynthesisError("The voice has been shut down.")
            if len(self._waiting) >= self._limit:
                raise SpeechBusyError(len(self._waiting))
            self._waiting.append(job)
            self._changed.notify()

    def _cancel(self, job: SpeechJob) -> None:
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)
        job.cancel()

    def _stop(self) -> None:
        with self._changed:
            thread, self._thread = self._thread, None
            self._loading = None
            self._stopping = True
            running = self._running
            self._changed.notify()
        if running is not None:
            running.cancel()
        if thread is not None:
            thread.join()

    # What follows runs in the engine's own thread.

    def _run(self, loading: Future[None]) -> None:
        try:
            self._load()
        except Exception as exc:  # whatever it is, who waits for the load is told of it
            self._unload()
            loading.set_exception(exc)
            if not isinstance(exc, XoeError):
                raise
            return
        loading.set_result(None)
        while (job := self._next()) is not None:
            self._serve(job)
        self._unload()
        with self._changed:
            left, self._waiting = list(self._waiting), deque()
        for job in left:
            job.end(SynthesisError("The voice was shut down before it could speak."))

    def _next(self) -> SpeechJob | None:
        with self._changed:
            self._running = None
            self._changed.wait_for(lambda: self._stopping or self._waiting)
            if self._stopping:
                return None
            self._running = self._waiting.popleft()
            return self._running

    def _serve(self, job: SpeechJob) -> None:
        try:
            for chunk in self._speak(job):
                job.check()
                job.send(chunk)
        except Cancelled:
            job.end(SynthesisError("The voice was shut down while it was speaking."))
        except XoeError as exc:
            job.end(exc)
        except Exception as exc:  # noqa: BLE001 - it is told, with its cause
            # The engines raise errors of many kinds; whichever it is, the caller is waiting.
            log.warning("tts.failed", engine=self.name, error=type(exc).__name__, reason=str(exc))
            failure = SynthesisError("The voice failed while it was speaking.")
            failure.__cause__ = exc
            job.end(failure)
        else:
            job.end()
