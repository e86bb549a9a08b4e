"""One run of reading, as the queue shows it: how far each file is, and what is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any, Final

import structlog

from core.errors import StoreError
from ingest.incoming import IncomingQueue
from ingest.queued import State
from ingest.sources import DocumentReport, IngestProgress, SourceFile

EACH_S: Final = 0.5
"""Between two writings of how far files are."""

log = structlog.get_logger(__name__)


@dataclass(eq=False)
class _File:
    source: SourceFile
    item_id: int = 0
    """0 while it is in no queue: there may be nothing to do for it."""
    is_cancelled: bool = False
    is_ended: bool = False
    progress: IngestProgress | None = None
    """What is not written yet."""
    reading: asyncio.Task[None] | None = None


class Batch:
    """The files of one run. For one event loop; use it as a context.

    Files get into the queue when the first of them is to be read: a folder in which nothing has
    changed leaves it alone. What is inside of a file is not counted, but goes with it. A queue that
    cannot be written stops no reading.
    """

    def __init__(
        self, queue: IncomingQueue | None, owner: str, sources: Iterable[SourceFile]
    ) -> None:
        """Nothing is noted yet."""
        self._queue = queue
        self._owner = owner
        self._files = {source.name: _File(source, source.item_id) for source in sources}
        self._is_noted = False
        self._unneeded: list[int] = []
        self._telling: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Batch:
        """Take over those that are in the queue."""
        ids = [one.item_id for one in self._files.values() if one.item_id]
        if ids and self._queue is not None:
            await self._write(lambda queue: queue.adopt(ids))
            await self._tell()
            self._telling = asyncio.create_task(self._keep_telling())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancel what was not read to its end, or leave it to the next start."""
        if self._telling is not None:
            self._telling.cancel()
        await asyncio.shield(self._leave())

    @property
    def sources(self) -> list[SourceFile]:
        """The files."""
        return [one.source for one in self._files.values()]

    async def run(self, source: SourceFile, reading: Coroutine[Any, Any, None]) -> bool:
        """Read a file; return False where it was cancelled, and then nothing of it goes on."""
        file = self._files[source.name]
        if self.is_cancelled(source):
            reading.close()
            return False
        file.reading = asyncio.create_task(reading)
        try:
            await file.reading
        except asyncio.CancelledError:
            current = asyncio.current_task()
            ends = current is not None and current.cancelling() > 0
            if ends or not self.is_cancelled(source):
                raise
            return False
        finally:
            file.reading = None
        return True

    async def begin(self, source: SourceFile) -> None:
        """Note that a file is really read: it is new, or has changed."""
        file = self._files.get(source.name)
        if file is None or self._is_noted or self._queue is None:
            return
        self._is_noted = True
        new = [one for one in self._files.values() if not one.item_id and not one.is_ended]
        try:
            ids = await asyncio.to_thread(self._queue.add, self._owner, [one.source for one in new])
        except StoreError as exc:
            log.warning("incoming.not_noted", error=str(exc))
            return
        for one, item_id in zip(new, ids, strict=True):
            one.item_id = item_id
        if self._telling is None:
            self._telling = asyncio.create_task(self._keep_telling())

    def tell(self, source: SourceFile, progress: IngestProgress) -> None:
        """Note how far a file is."""
        if (file := self._files.get(source.name)) is not None:
            file.progress = progress

    def is_cancelled(self, source: SourceFile) -> bool:
        """Tell whether a file, or what it is inside of, was cancelled."""
        if source.depth == 0:
            file = self._files.get(source.name)
            return file is not None and file.is_cancelled
        return any(
            one.is_cancelled and source.name.startswith(f"{one.source.name}/")
            for one in self._files.values()
        )

    async def end(self, report: DocumentReport) -> None:
        """Note what became of a file."""
        file = self._files.get(report.name)
        if file is None or file.is_ended:
            return
        file.is_ended, file.progress = True, None
        if not file.item_id or self._queue is None:
            return
        if report.status == "unchanged" and not file.source.item_id:
            self._unneeded.append(file.item_id)
            return
        state: State = "ready"
        if report.status in ("failed", "cancelled"):
            state = report.status
        passages, reason = report.passages, report.reason or ""
        await self._write(
            lambda queue: queue.end(file.item_id, state, passages=passages, reason=reason)
        )

    async def _keep_telling(self) -> None:
        while True:
            await asyncio.sleep(EACH_S)
            await self._tell()

    async def _tell(self) -> None:
        moved = {one.item_id: one for one in self._files.values() if one.progress and one.item_id}
        progress = [
            (item_id, one.progress.stage, one.progress.done, one.progress.total)
            for item_id, one in moved.items()
            if one.progress is not None
        ]
        for one in moved.values():
            one.progress = None
        unneeded, self._unneeded = self._unneeded, []
        reading = [one.item_id for one in self._files.values() if one.item_id and not one.is_ended]
        unwanted: set[int] = set()

        def write(queue: IncomingQueue) -> None:
            if progress:
                queue.tell(progress)
            if unneeded:
                queue.drop(unneeded)
            unwanted.update(queue.unwanted(reading))

        await self._write(write)
        for file in self._files.values():
            if file.item_id in unwanted and not file.is_ended:
                file.is_cancelled = True
                if file.reading is not None:
                    file.reading.cancel()

    async def _leave(self) -> None:
        left = [one for one in self._files.values() if one.item_id and not one.is_ended]

        def write(queue: IncomingQueue) -> None:
            queue.drop(self._unneeded)
            if not queue.is_closing:
                for one in left:
                    queue.end(one.item_id, "cancelled")

        await self._write(write)

    async def _write(self, work: Callable[[IncomingQueue], None]) -> None:
        if self._queue is None:
            return
        with contextlib.suppress(RuntimeError):  # closed amid it: the program ends
            try:
                await asyncio.to_thread(work, self._queue)
            except StoreError as exc:
                log.warning("incoming.not_noted", error=str(exc))


def cancelled_report(source: SourceFile) -> DocumentReport:
    """Return the report of a file that was not read to its end, as somebody wanted."""
    return DocumentReport(source.name, "cancelled", 0, reason="Nothing of it was kept.")
