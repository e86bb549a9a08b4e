"""The folders whose documents all ask: read at the start, and again when they change.

Sources of the settings file follow behind them (``xoe.sources``).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from chains.types import LIBRARY_OWNER
from core.errors import DocumentError, XoeError
from core.settings import Settings
from ingest.folders import Folder, changes, sync_folder
from xoe.sources import Sources
from xoe.workbench import Workbench

TOLD_EACH = 25
"""Unchanged files are told of so many at a time."""

log = structlog.get_logger(__name__)


class SharedFolders:
    """Keeps the shared documents in step with their folders."""

    def __init__(
        self,
        settings: Settings,
        bench: Workbench,
        *,
        tell: Callable[[str], None],
        on_change: Callable[[], Awaitable[None]],
    ) -> None:
        """``tell`` is given how far they are; ``on_change`` follows what was taken in or out."""
        more = filter(None, settings.folders.split(os.pathsep))
        self._folders = [
            Folder(settings.library_dir, LIBRARY_OWNER, is_library=True),
            *(Folder(Path(path).expanduser(), LIBRARY_OWNER) for path in more),
        ]
        self._bench = bench
        self._tell = tell
        self._on_change = on_change
        self._turn = asyncio.Lock()
        self._is_read = False
        self._remarks: dict[Folder, str] = {}
        self._sources = Sources(
            settings, bench, tell=tell, on_change=on_change, on_end=self._tell_all
        )

    async def sync(self) -> str:
        """Read all folders; return what became of them, for a person. Raises ``StoreError``."""
        await self._bench.ingestor.rebuild_outdated()
        for folder in self._folders:
            await self._sync(folder)
        self._is_read = True
        return await self._told()

    async def _told(self) -> str:
        documents, passages = await asyncio.to_thread(self._bench.store.totals)
        remarks = (*filter(None, self._remarks.values()), *self._sources.remarks())
        return "; ".join([f"{documents} documents, {passages} passages", *remarks])

    async def watch(self) -> None:
        """Read each folder again whenever it has changed and been left alone, for ever.

        Sources are read now, and when their time has come.
        """
        watches = (self._watch(folder) for folder in self._folders)
        await asyncio.gather(*watches, self._sources.run())

    async def _tell_all(self) -> None:
        self._tell(await self._told())

    async def _watch(self, folder: Folder) -> None:
        async for _ in changes(folder.path):
            try:
                await self._sync(folder)
                await self._tell_all()
            except XoeError as exc:
                log.error("folder.not_read", error=str(exc))
            except Exception as exc:  # the next change is another try
                log.exception("folder.not_read", error=type(exc).__name__)

    async def _sync(self, folder: Folder) -> None:
        """Read one folder, and note what is to be said of it."""
        count = failed = changed = 0
        name = folder.path.name
        async with self._turn:
            try:
                async for report in sync_folder(self._bench.store, self._bench.ingestor, folder):
                    count += report.status != "removed"
                    failed += report.status == "failed"
                    changed += report.status in ("ready", "removed")
                    if report.status == "ready" or count % TOLD_EACH == 0:
                        self._tell(f"{count} files of {name} read")
            except DocumentError as exc:
                log.warning("folder.away")
                self._remarks[folder] = str(exc)
                return
            if changed or not self._is_read:
                await self._on_change()
        self._remarks[folder] = f"{failed} of {name} could not be read" if failed else ""
