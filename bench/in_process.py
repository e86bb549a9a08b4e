"""An engine's service in threads of this process: what an engine costs without one of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from engines.service import Call, Service
from engines.wire import Frame, Head

OnEvent = Callable[[Head, bytes], None]


class InProcess:
    """Hosts ``service`` as ``engines.child`` does, a thread a lane, without the socket."""

    def __init__(self, service: Service) -> None:
        """Start no thread yet."""
        self._service = service
        self._lanes = {
            lane: ThreadPoolExecutor(1, f"bench-{lane}", service.enter, (lane,))
            for lane in dict.fromkeys(service.LANES.values())
        }

    async def call(
        self,
        method: str,
        arguments: Head,
        payload: bytes = b"",
        *,
        on_event: OnEvent = lambda _, __: None,
    ) -> Frame:
        """Call a method; ``on_event`` is called in this loop. Raises what the method raises."""
        loop = asyncio.get_running_loop()

        def emit(head: Head, data: bytes) -> None:
            if head:  # else it is no event, but a sign that it gets on
                loop.call_soon_threadsafe(on_event, head, data)

        def run() -> Frame:
            result: Any = getattr(self._service, method)(Call(arguments, payload, emit))
            return Frame(*result) if isinstance(result, tuple) else Frame(result or {})

        return await loop.run_in_executor(self._lanes[self._service.LANES[method]], run)

    def close(self) -> None:
        """End the threads."""
        for lane in self._lanes.values():
            lane.shutdown()
