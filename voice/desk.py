"""The calls that are going on, bounded in number."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from telemetry.metrics import VoiceMetrics

if TYPE_CHECKING:  # the engines' libraries are loaded behind the page
    from voice.call import Call

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Line:
    call: Call
    task: asyncio.Task[None]


class CallDesk:
    """Runs calls, one a session. Belongs to one event loop."""

    def __init__(self, limit: int, metrics: VoiceMetrics) -> None:
        """``limit``: calls at a time."""
        self._limit = limit
        self._metrics = metrics
        self._lines: dict[str, _Line] = {}

    def has_room(self, session_id: str) -> bool:
        """Whether the session may call now; counts a refusal when it may not."""
        if session_id in self._lines or len(self._lines) < self._limit:
            return True
        self._metrics.refused.inc()
        return False

    def open(self, session_id: str, call: Call) -> None:
        """Run ``call`` in a task of its own; the caller has just asked whether there is room."""
        task = asyncio.create_task(self._run(session_id, call), name="call")
        self._lines[session_id] = _Line(call, task)
        self._metrics.calls.set(len(self._lines))

    def call(self, session_id: str) -> Call | None:
        """Return the session's call, if it has one."""
        line = self._lines.get(session_id)
        return None if line is None else line.call

    async def close(self, session_id: str) -> None:
        """End the session's call, if it has one; returns when it has ended."""
        line = self._lines.pop(session_id, None)
        if line is not None:
            self._metrics.calls.set(len(self._lines))
            line.task.cancel()
            await asyncio.wait([line.task])

    async def aclose(self) -> None:
        """End all calls."""
        for session_id in tuple(self._lines):
            await self.close(session_id)

    async def _run(self, session_id: str, call: Call) -> None:
        try:
            await call.run()
        except Exception:
            log.exception("call.failed")
            raise
        finally:
            line = self._lines.get(session_id)
            if line is not None and line.call is call:
                del self._lines[session_id]
                self._metrics.calls.set(len(self._lines))
