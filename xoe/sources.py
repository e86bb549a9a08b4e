"""The sources of the settings file: run at the start, and again when their time has come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from chains.types import LIBRARY_OWNER
from core.errors import SourceError, XoeError
from core.settings import Settings, config_path
from core.source_settings import SourceSettings
from ingest.folders import remove_documents
from ingest.source_sync import of_other_sources, sync_source
from xoe.workbench import Workbench

AT_A_TIME: Final = 2
"""Loaders that run beside one another: each may take memory and a network's time."""
TOLD_EACH: Final = 25
"""Unchanged documents are told of so many at a time."""

log = structlog.get_logger(__name__)


class Sources:
    """Keeps the shared documents in step with their sources."""

    def __init__(
        self,
        settings: Settings,
        bench: Workbench,
        *,
        tell: Callable[[str], None],
        on_change: Callable[[], Awaitable[None]],
        on_end: Callable[[], Awaitable[None]],
    ) -> None:
        """``tell`` is given how far they are; ``on_end`` follows each run.

        ``on_change`` follows what was taken in or out.
        """
        self._settings = settings
        self._bench = bench
        self._tell = tell
        self._on_change = on_change
        self._on_end = on_end
        self._places = asyncio.Semaphore(AT_A_TIME)
        self._remarks: dict[str, str] = {}
        self._of_others = ""

    def remarks(self) -> list[str]:
        """Return what is to be said of the sources, for a person."""
        return [remark for remark in (*self._remarks.values(), self._of_others) if remark]

    async def run(self) -> None:
        """Run each source now and whenever its time has come, for ever.

        What came from sources that are not named any more is removed when the others were read:
        renaming one embeds nothing.
        """
        async with asyncio.TaskGroup() as group:
            firsts = [group.create_task(self._sync(one)) for one in self._settings.sources]
            for source, first in zip(self._settings.sources, firsts, strict=True):
                group.create_task(self._keep(source, first))
            group.create_task(self._remove_unnamed(firsts))

    async def _keep(self, source: SourceSettings, first: asyncio.Task[None]) -> None:
        await first
        while source.pause_s is not None:
            await asyncio.sleep(source.pause_s)
            await self._sync(source)

    async def _sync(self, source: SourceSettings) -> None:
        """Run one source, and note what is to be said of it."""
        async with self._places:
            try:
                self._remarks[source.name] = await self._read(source)
            except XoeError as exc:
                said = exc.detail if isinstance(exc, SourceError) else ""
                log.warning("source.not_read", source=source.name, error=type(exc).__name__)
                hint = f" 'xoe ingest --source {source.name}' tells more." if said else ""
                self._remarks[source.name] = f"{exc}{hint}"
            except Exception as exc:  # the next time is another try
                log.exception("source.not_read", source=source.name)
                self._remarks[source.name] = f"The source {source.name}: {type(exc).__name__}."
        await self._told()

    async def _read(self, source: SourceSettings) -> str:
        """Run one source; return the remark. Raises ``XoeError``, with what it gave taken in."""
        count = failed = changed = 0
        try:
            async for report in sync_source(
                self._bench.store,
                self._bench.ingestor,
                source,
                owner=LIBRARY_OWNER,
                data_dir=self._settings.data_dir,
                max_mb=self._settings.upload_max_mb,
            ):
                count += report.status != "removed"
                failed += report.status == "failed"
                changed += report.status in ("ready", "removed")
                if report.status == "ready" or count % TOLD_EACH == 0:
                    self._tell(f"{count} documents of {source.name} read")
        finally:
            if changed:
                await self._on_change()
        return f"{failed} of {source.name} could not be read" if failed else ""

    async def _remove_unnamed(self, firsts: list[asyncio.Task[None]]) -> None:
        """Remove what no source gives any more, unless the settings file itself is away."""
        await asyncio.gather(*firsts)
        names = {source.name for source in self._settings.sources}
        try:
            store = self._bench.store
            gone = await asyncio.to_thread(of_other_sources, store, LIBRARY_OWNER, names)
            if not gone:
                return
            if await asyncio.to_thread(config_path().is_file):
                async for _ in remove_documents(store, gone):
                    pass
                await self._on_change()
                self._of_others = f"{len(gone)} of sources that are named no more were removed"
            else:
                self._of_others = f"{config_path()} is not there; what its sources gave stays"
        except XoeError as exc:  # the next start is another try
            log.warning("source.not_removed", error=type(exc).__name__)
        await self._told()

    async def _told(self) -> None:
        try:
            await self._on_end()
        except XoeError as exc:  # the store; whoever asks it is told
            log.warning("source.not_told", error=type(exc).__name__)
