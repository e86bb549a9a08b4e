"""Keeps documents in step with folders: what changes there changes here, and what goes there, goes.

A document is its origin, however its file is named on the way: the same file is the same document.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from pathlib import Path
from typing import Final

import structlog
import watchfiles

from core.errors import DocumentError
from ingest.guard import passed_over, safe_relative_name, supported_paths
from ingest.ingestor import Ingestor
from ingest.listing import DocumentInfo
from ingest.sources import FOLDER, DocumentReport, ProgressSink, SourceFile
from ingest.store import Store

log = structlog.get_logger(__name__)

QUIET_S: Final = 1.0
"""Without a change, after which a folder is read: a file that is being written is waited for."""
LONGEST_S: Final = 30.0
"""After which it is read though it goes on changing."""
AGAIN_S: Final = 5.0
"""Between two looks for a folder that is not there."""


class Folder:
    """A folder whose files are documents of one owner's."""

    def __init__(self, path: Path, owner: str, *, is_library: bool = False) -> None:
        """``is_library``: its files are named from it on, those of others with its own name."""
        self.path = path.absolute()
        self.owner = owner
        self.is_library = is_library

    def has(self, known: DocumentInfo) -> bool:
        """Tell whether a document came from here, whether or not its file is still there."""
        if self.is_library:
            return known.origin == FOLDER
        return known.origin.startswith(f"{self.path}/")

    def source(self, path: Path, store: Store, taken: Collection[str]) -> SourceFile:
        """Return one of its files as it is to be ingested. Blocking."""
        if self.is_library:
            name = safe_relative_name(str(path.relative_to(self.path)))
            return SourceFile(path, name, FOLDER)
        shown = path.relative_to(self.path.parent)
        return named_source(path, shown, store, self.owner, taken)


def named_source(
    path: Path, shown: Path, store: Store, owner: str, taken: Collection[str]
) -> SourceFile:
    """Return a file of no library under the name of its document, or else a free one. Blocking.

    That is ``shown``, led by as many parent folders as tell it from another file's.
    """
    origin = str(path)
    if (known := store.find_origin(owner, origin)) is not None:
        return SourceFile(path, known.name, origin)
    for parts in range(len(shown.parts), len(path.parts)):
        name = safe_relative_name("/".join(path.parts[-parts:]))
        other = store.find_document(owner, name)
        if name not in taken and other is None:
            return SourceFile(path, name, origin)
    return SourceFile(path, safe_relative_name(origin), origin)


async def sync_folder(
    store: Store, ingestor: Ingestor, folder: Folder, *, on_progress: ProgressSink | None = None
) -> AsyncIterator[DocumentReport]:
    """Make the documents of ``folder`` those of its files: new and changed in, vanished ones out.

    What only got another name is not embedded again. Raises ``DocumentError``, before anything
    is changed, where the folder cannot be read, or where nothing at all is left in it: a disk
    that is not there looks like that.
    """
    known = await asyncio.to_thread(_known, store, folder)
    sources = await asyncio.to_thread(_sources, store, folder, bool(known))
    wanted = await ingestor.still_wanted(sources, folder.owner)
    async for report in ingestor.ingest_many(wanted, owner=folder.owner, on_progress=on_progress):
        yield report
    names = {source.name for source in sources}
    async for report in remove_documents(store, [one for one in known if one.name not in names]):
        yield report


async def remove_vanished(store: Store, folder: Folder) -> AsyncIterator[DocumentReport]:
    """Remove the documents of ``folder`` whose files are gone, and yield a report for each.

    Raises ``DocumentError`` as ``sync_folder`` does.
    """

    def gone() -> list[DocumentInfo]:
        known = _known(store, folder)
        _look(folder, bool(known))
        return [one for one in known if not Path(one.origin).exists()]

    async for report in remove_documents(store, await asyncio.to_thread(gone)):
        yield report


async def changes(path: Path) -> AsyncIterator[None]:
    """Yield each time when something below ``path`` has changed and then been left alone.

    A folder that is not there is waited for.
    """
    while True:
        if not await asyncio.to_thread(path.is_dir):
            await asyncio.sleep(AGAIN_S)
            if await asyncio.to_thread(path.is_dir):
                yield
            continue
        waiting_s = 0.0
        pending = False
        try:
            async for found in watchfiles.awatch(
                path, rust_timeout=int(QUIET_S * 1000), yield_on_timeout=True, debounce=400
            ):
                pending = pending or bool(found)
                waiting_s = waiting_s + QUIET_S if pending else 0.0
                if pending and (not found or waiting_s >= LONGEST_S):
                    pending, waiting_s = False, 0.0
                    yield
                if not await asyncio.to_thread(path.is_dir):
                    break
        except (OSError, RuntimeError) as exc:
            log.warning("folder.not_watched", error=type(exc).__name__)
            await asyncio.sleep(AGAIN_S)


def _known(store: Store, folder: Folder) -> list[DocumentInfo]:
    return [one for one in store.documents([folder.owner]) if folder.has(one)]


def _sources(store: Store, folder: Folder, is_known: bool) -> list[SourceFile]:
    _look(folder, is_known)
    if not folder.path.is_dir():
        return []
    if others := passed_over(folder.path):
        log.warning("ingest.passed_over", files=others.total(), endings=dict(others))
    found: dict[str, SourceFile] = {}
    for path in supported_paths([folder.path]):
        source = folder.source(path, store, found)
        found[source.name] = source
    return list(found.values())


def _look(folder: Folder, is_known: bool) -> None:
    """Raise ``DocumentError`` where it cannot be told what became of the folder's documents."""
    try:
        there = any(folder.path.iterdir())
    except FileNotFoundError:
        there = False
    except OSError as exc:
        raise DocumentError(f"The folder {folder.path} may not be read.") from exc
    if is_known and not there:
        raise DocumentError(
            f"The folder {folder.path} is not there, or nothing is left in it. Its documents stay "
            "as they are until it is back; 'xoe library rm' removes them."
        )


async def remove_documents(
    store: Store, gone: Sequence[DocumentInfo]
) -> AsyncIterator[DocumentReport]:
    """Remove documents, and yield a report for each."""
    for one in gone:
        await asyncio.to_thread(store.delete_document, one.id, one.owner)
        log.info("ingest.removed", owner=one.owner, document_id=one.id)
        yield DocumentReport(one.name, "removed", 0, document_id=one.id)
    if gone:
        await asyncio.to_thread(store.forget_deleted)
