"""Reads what waits in the queue and has no reader: what a kill left, and what is tried again."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog

from core.errors import DocumentError, StoreError, XoeError
from core.share import Share, as_share
from core.tasks import Tasks
from ingest.queued import Item
from ingest.sources import UPLOAD, DocumentReport, SourceFile, source_of
from ingest.web_pages import ingest_pages, is_address
from xoe.chats.types import StoredFile

if TYPE_CHECKING:
    from core.settings import Settings
    from xoe.chats.service import Chats
    from xoe.workbench import Workbench

LOOK_S: Final = 1.0
"""Between two looks for what has no reader."""
LOOK_FOR_DEAD: Final = 10
"""Looks between two in which programs are looked for that have ended amid their reading."""

log = structlog.get_logger(__name__)


class Incoming:
    """Reads what nobody reads, an owner's items one after the other. For one event loop."""

    def __init__(
        self,
        settings: Settings,
        bench: Workbench,
        chats: Chats,
        *,
        on_read: Callable[[], Awaitable[None]],
    ) -> None:
        """``on_read`` follows when an owner's documents were read."""
        self._settings = settings
        self._bench = bench
        self._chats = chats
        self._on_read = on_read
        self._reading: dict[str, asyncio.Task[None]] = {}
        self._tasks = Tasks()

    async def take_over(self) -> set[tuple[str, str]]:
        """Find what a kill has left; return owners and names of what is still to be read.

        Once, before anything comes in. What cannot be read is left to the next look.
        """
        try:
            left = await asyncio.to_thread(self._bench.queue.take_over)
            await asyncio.to_thread(self._bench.queue.sweep)
        except StoreError as exc:
            log.warning("incoming.not_looked_at", error=str(exc))
            return set()
        return {(item.owner, item.name) for item in left}

    async def run(self) -> None:
        """Look for what has no reader and read it, for ever."""
        looks = 0
        try:
            while True:
                looks += 1
                try:
                    await self._look(looks % LOOK_FOR_DEAD == 0)
                except StoreError as exc:
                    log.warning("incoming.not_looked_at", error=str(exc))
                await asyncio.sleep(LOOK_S)
        finally:
            await self._tasks.aclose()

    async def _look(self, for_dead: bool) -> None:
        queue = self._bench.queue
        waiting = await asyncio.to_thread(queue.take_over if for_dead else queue.unread)
        by_owner: dict[str, list[Item]] = defaultdict(list)
        for item in waiting:
            if item.owner not in self._reading:
                by_owner[item.owner].append(item)
        for owner, items in by_owner.items():
            self._reading[owner] = self._tasks.spawn(self._read(owner, items))

    async def _read(self, owner: str, items: Sequence[Item]) -> None:
        try:
            with as_share(Share(owner)):
                async for report in self._reports(owner, items):
                    log.info("incoming.read", status=report.status)
            await self._on_read()
            await self._tell_chats(owner, items)
        except XoeError as exc:
            log.warning("incoming.not_read", error=str(exc))
        finally:
            del self._reading[owner]

    async def _reports(self, owner: str, items: Sequence[Item]) -> AsyncIterator[DocumentReport]:
        sources, pages = [], []
        for item in items:
            try:
                if is_address(item.origin):
                    pages.append(item)
                else:
                    sources.append(await self._source(item))
            except DocumentError as exc:
                await asyncio.to_thread(self._bench.queue.end, item.id, "failed", reason=str(exc))
        async for report in self._bench.ingestor.ingest_many(sources, owner=owner):
            yield report
        if pages:
            await asyncio.to_thread(self._bench.queue.drop, [item.id for item in pages])
            fetched = ingest_pages(
                [item.origin for item in pages],
                self._settings,
                self._bench.store,
                self._bench.ingestor,
                owner=owner,
                again=True,
            )
            async for report in fetched:
                yield report

    async def _source(self, item: Item) -> SourceFile:
        """Return an item's file. Raises ``DocumentError`` where it is not there any more."""
        source = item.source()
        if await asyncio.to_thread(source.path.is_file):
            return source
        known = await asyncio.to_thread(self._bench.store.find_document, item.owner, item.name)
        if known is not None and item.origin == UPLOAD:
            original = await self._bench.originals.source(known)
            return replace(original, item_id=item.id)
        if (name := source_of(item.origin)) is not None:
            raise DocumentError(f"It is read again with the next run of the source {name}.")
        raise DocumentError(f"The file of {item.name} is not there any more. Add it once more.")

    async def _tell_chats(self, owner: str, items: Sequence[Item]) -> None:
        """Note in the chats that the files were dropped into what became of them."""
        for thread, asked in {(item.thread, item.asked) for item in items if item.asked}:
            found = await asyncio.to_thread(self._bench.queue.of_message, owner, asked)
            files = [
                StoredFile(
                    name=item.name,
                    state=_shown(item),
                    passages=item.passages,
                    reason=item.reason,
                )
                for item in found
            ]
            await self._chats.note_files(owner, thread, asked, files)


def _shown(item: Item) -> str:
    """Return an item's state as the chat's list of files names it."""
    return {"cancelled": "stopped", "reading": "waiting", "embedding": "waiting"}.get(
        item.state, item.state
    )
