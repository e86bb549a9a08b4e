"""One request on its way to the model's process, and what waits for the model."""

from __future__ import annotations

import contextlib
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from dataclasses import replace

from chains.llm.request import (
    Finished,
    GenerationRequest,
    Queued,
    Scored,
    StreamEvent,
    TextPiece,
)
from core.errors import BusyError, EngineBusyError
from core.fairness import FairQueue
from core.share import share
from engines.job import Job
from engines.wire import Head

_PIECES_APART = 64
"""Pieces that wait for a slow reader one by one; later ones are joined."""


class AnswerJob(Job[StreamEvent]):
    """What waits for the reader is bounded by the length of the answer.

    A new place replaces an unread one, and pieces of text are joined when the reader falls behind.
    """

    def __init__(
        self,
        request: GenerationRequest,
        *,
        max_tokens: int,
        profile: str,
        on_loaded: Callable[[str], None],
        words: Sequence[str] = (),
    ) -> None:
        """Must be called in the event loop that reads the events.

        ``on_loaded`` is called when the model was changed for it, in the worker's thread. With
        ``words`` nothing is written: the one event is how likely the answer begins with each.
        """
        super().__init__(
            "score" if words else "generate",
            {
                "messages": [(turn.role, turn.content) for turn in request.messages],
                "max_tokens": max_tokens,
                "profile": profile,
                "session_id": request.session_id,
                "owner": share().owner,
                "temperature": request.temperature,
                "stop": request.stop,
                "words": list(words),
            },
        )
        whose = share()
        self.share = replace(whose, session=whose.session or request.session_id)
        self.profile = profile
        self._on_loaded = on_loaded
        self.place: int | None = None
        """The last place told; the queue's, under the worker's lock."""

    def receive(self, head: Head, _: bytes) -> None:
        """Take a piece of the answer."""
        if "loaded" in head:
            self._on_loaded(str(head["loaded"]))
        else:
            self.send(TextPiece(str(head["text"])))

    def finish(self, head: Head, _: bytes) -> None:
        """Take the answer's measures, or the scores, and end."""
        queue_ms = (self.begun - self.submitted) * 1e3 + head["queue_ms"]
        measures = head | {"queue_ms": queue_ms}
        if self.method == "score":
            self.send(Scored(**(measures | {"logits": tuple(head["logits"])})))
        else:
            self.send(Finished(**measures))
        self.end()

    def put(self, event: StreamEvent) -> None:
        """Hand on an event, in the job's own loop."""
        last = self._events[-1] if self._events else None
        if isinstance(event, Queued) and isinstance(last, Queued):
            self._events[-1] = event
        elif (
            isinstance(event, TextPiece)
            and isinstance(last, TextPiece)
            and len(self._events) >= _PIECES_APART
        ):
            self._events[-1] = TextPiece(last.text + event.text)
        else:
            super().put(event)


class AnswerQueue:
    """The fair queue, and telling those in it their places."""

    def __init__(self, limit: int) -> None:
        """``limit``: how many may wait."""
        self._queue: FairQueue[AnswerJob] = FairQueue(limit, refuse=_refuse, busy=EngineBusyError)
        self.loaded: str | None = None
        """The profile whose model is loaded."""

    def put(self, job: AnswerJob) -> None:
        """Add ``job``; ``EngineBusyError`` when there is no room for one more of its owner's."""
        self._queue.put(job, whose=job.share, group=job.profile)

    def take(self) -> AnswerJob:
        """Remove and return the next to serve; ``IndexError`` when there is none."""
        return self._queue.take(self.loaded)

    def remove(self, job: AnswerJob) -> bool:
        """Take ``job`` out of its place; False when it does not wait here."""
        return self._queue.remove(job)

    def clear(self) -> list[AnswerJob]:
        """Empty the queue and return what waited in it."""
        return self._queue.clear()

    def __len__(self) -> int:
        return len(self._queue)

    def tell(self) -> None:
        """Tell the jobs whose place has changed, with one call into each loop."""
        loops: dict[AbstractEventLoop, list[tuple[AnswerJob, int]]] = {}
        for place, job in enumerate(self._queue.order(self.loaded)):
            if job.place != place:
                job.place = place
                loops.setdefault(job.loop, []).append((job, place))
        for loop, told in loops.items():
            with contextlib.suppress(RuntimeError):  # the loop was closed
                loop.call_soon_threadsafe(_put_places, told)


def _refuse(job: AnswerJob, error: BusyError) -> None:
    job.end(error)


def _put_places(told: list[tuple[AnswerJob, int]]) -> None:
    for job, place in told:
        job.hand_on(Queued(place))
