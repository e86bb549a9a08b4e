"""The calls that are going on, bounded in number."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from core.allotment import Allotment
from core.errors import CallBusyError
from core.share import share
from telemetry.metrics import VoiceMetrics

if TYPE_CHECKING:  # the engines' libraries are loaded behind the page
    from voice.call import Call

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class CallPlace:
    """A place for a call: taken before the call is made, and kept until it has ended."""

    call_id: str
    counts_as: str
    """The owner of the share, which several may have: all guests of an invitation, say."""
    call: Call | None = None
    task: asyncio.Task[None] | None = None


class ActiveCalls:
    """Runs calls, one of an id. Belongs to one event loop."""

    def __init__(self, limit: int, metrics: VoiceMetrics) -> None:
        """``limit``: calls at a time."""
        self._limit = limit
        self._metrics = metrics
        self._shares = Allotment(limit)
        self._places: dict[str, CallPlace] = {}

    async def reserve(self, call_id: str) -> CallPlace:
        """Take a place for a call that is about to be made, and end an earlier one of its id.

        Raises ``CallBusyError`` when one is being made already, the owner has as many as
        one may have, or all places are taken.
        """
        before = self._places.get(call_id)
        counts_as = share().owner or call_id
        if before is None:
            if not self._shares.take(counts_as):
                self._metrics.refused.inc()
                raise CallBusyError(self._limit, own=self._shares.held(counts_as))
        elif before.call is None:
            raise CallBusyError(self._limit, own=self._shares.held(counts_as), is_beginning=True)
        place = CallPlace(call_id, counts_as)
        self._places[call_id] = place  # the place of the earlier one, if there is one
        if before is not None:
            try:
                await self._end(before)
            except BaseException:
                self._leave(place)
                raise
        return place

    def open(self, place: CallPlace, call: Call) -> bool:
        """Run ``call`` in a task of its own; False when the place was given up meanwhile."""
        if self._places.get(place.call_id) is not place:
            return False
        place.call = call
        place.task = asyncio.create_task(self._run(place, call), name="call")
        self._count()
        return True

    def release(self, place: CallPlace) -> None:
        """Give a place back in which no call was opened; harmless otherwise."""
        if place.call is None:
            self._leave(place)

    def call(self, call_id: str) -> Call | None:
        """Return the call of that id, if there is one."""
        place = self._places.get(call_id)
        return None if place is None else place.call

    async def close(self, call_id: str) -> None:
        """End the call of that id, if there is one or one is made; returns when it has ended."""
        place = self._places.get(call_id)
        if place is not None:
            self._leave(place)
            await self._end(place)

    async def aclose(self) -> None:
        """End all calls."""
        for call_id in tuple(self._places):
            await self.close(call_id)

    async def _run(self, place: CallPlace, call: Call) -> None:
        try:
            await call.run()
        except Exception:
            log.exception("call.failed")
            raise
        finally:
            self._leave(place)

    async def _end(self, place: CallPlace) -> None:
        if place.task is not None:
            place.task.cancel()
            await asyncio.wait([place.task])

    def _leave(self, place: CallPlace) -> None:
        if self._places.get(place.call_id) is place:
            del self._places[place.call_id]
            self._shares.give_back(place.counts_as)
            self._count()

    def _count(self) -> None:
        self._metrics.calls.set(sum(place.call is not None for place in self._places.values()))
