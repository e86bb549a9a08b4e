"""Files in, passages out: read, split, embed in sorted batches, commit one document at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import structlog

from core.errors import DocumentBusyError, DocumentEmptyError, DocumentError
from core.settings import Settings
from core.tasks import next_of
from ingest.batch import Batch, cancelled_report
from ingest.containers import MAX_DEPTH, members_of, unpacking_folder
from ingest.embedder import Embedder
from ingest.found_files import (
    FoundFile,
    PreparedFile,
    is_unchanged,
    keep_original,
    look_at,
    slowness,
    tell_kind,
)
from ingest.guard import safe_name
from ingest.incoming import IncomingQueue
from ingest.indexer import WINDOW_CHUNKS, Indexer, Run
from ingest.loaders import CONTAINERS, LoadedDocument, as_read
from ingest.originals import Originals
from ingest.parse_lane import FILES_WAITING
from ingest.parse_process import ParserProcess
from ingest.recordings import RecordingReader, transcript_document
from ingest.sources import FOLDER as FOLDER
from ingest.sources import UPLOAD as UPLOAD
from ingest.sources import DocumentReport as DocumentReport
from ingest.sources import IngestProgress as IngestProgress
from ingest.sources import ProgressSink, put_off_report, stored_report
from ingest.sources import SourceFile as SourceFile
from ingest.store import Store

log = structlog.get_logger(__name__)

PARSED_AHEAD = 4
"""Documents read while earlier ones are embedded."""

REBUILDING = "rebuilding:"


class Ingestor:
    """Takes files into the store. Many callers may use it at once; owners take turns."""

    def __init__(
        self,
        store: Store,
        embedder: Embedder,
        parser: ParserProcess,
        settings: Settings,
        *,
        recordings: RecordingReader | None = None,
        queue: IncomingQueue | None = None,
    ) -> None:
        """Wire the parts; nothing is started. Without ``recordings`` they are refused.

        ``queue`` shows what is read, and has it cancelled.
        """
        self._store = store
        self._embedder = embedder
        self._parser = parser
        self._settings = settings
        self._recordings = recordings
        self._queue = queue
        self._originals = Originals(store.folder)
        self._indexer = Indexer(store, embedder, settings)

    async def ingest_file(
        self,
        path: Path,
        *,
        name: str,
        owner: str,
        item_id: int = 0,
        on_progress: Callable[[IngestProgress], None] | None = None,
    ) -> DocumentReport:
        """Ingest one file. A file that cannot be read is a report, not an exception.

        The passages of what is inside of it are counted with its own. ``item_id``: of the queue.

        Raises ``StoreError`` subclasses when the store itself fails (a full disk, say).
        """
        source = SourceFile(path, safe_name(name), item_id=item_id)
        sink: ProgressSink | None = None
        if on_progress is not None:
            notify = on_progress
            sink = lambda _source, progress: notify(progress)  # noqa: E731
        reports = [r async for r in self.ingest_many([source], owner=owner, on_progress=sink)]
        *inside, whole = reports
        return replace(whole, passages=whole.passages + sum(one.passages for one in inside))

    async def ingest_many(
        self, sources: Iterable[SourceFile], *, owner: str, on_progress: ProgressSink | None = None
    ) -> AsyncGenerator[DocumentReport, None]:
        """Ingest files and yield a report for each, as they are done.

        What is inside of an archive or a mail becomes documents of its own, which are reported
        before it. Small documents are embedded together. The next files are read in the meantime.
        Pictures and recordings come last, since each may take as long as all the rest.
        """
        notify = on_progress or (lambda _source, _progress: None)
        async with Batch(self._queue, owner, sorted(sources, key=slowness)) as batch:

            def tell(source: SourceFile, progress: IngestProgress) -> None:
                batch.tell(source, progress)
                notify(source, progress)

            run = Run(owner, tell, self._originals.arriving(), batch)
            try:
                async with aclosing(self._run(run)) as reports:
                    async for report in reports:
                        await batch.end(report)
                        yield report
            finally:
                await asyncio.to_thread(run.arriving.end, self._store.content_hashes)

    async def still_wanted(self, sources: Sequence[SourceFile], owner: str) -> list[SourceFile]:
        """Leave out files whose reading was cancelled and which have not changed since."""
        if self._queue is None:
            return list(sources)
        return await asyncio.to_thread(self._queue.without_cancelled, owner, sources)

    async def _run(self, run: Run) -> AsyncGenerator[DocumentReport, None]:
        ready: asyncio.Queue[PreparedFile | DocumentReport | None] = asyncio.Queue(PARSED_AHEAD)

        async def read(source: SourceFile) -> None:
            async with aclosing(self._read(source, run)) as items:
                async for item in items:
                    await ready.put(item)

        async def produce() -> None:
            for source in run.batch.sources:
                if not await run.batch.run(source, read(source)):
                    await self._indexer.take_back(source, run)
                    await ready.put(cancelled_report(source))
            await ready.put(None)

        producer = asyncio.create_task(produce())
        try:
            window: list[PreparedFile] = []
            while (item := await next_of(ready, producer)) is not None:
                if isinstance(item, DocumentReport):
                    yield item
                    continue
                if item.members:  # it comes after all that was in it, or not at all
                    async for report in self._indexer.take_in(window, run):
                        yield report
                    window = []
                    if any(name.startswith(f"{item.source.name}/") for name in run.put_off):
                        yield put_off_report(item.source, DocumentBusyError(FILES_WAITING))
                        continue
                window.append(item)
                if sum(len(p.chunks) for p in window) >= WINDOW_CHUNKS or ready.empty():
                    async for report in self._indexer.take_in(window, run):
                        yield report
                    window = []
            async for report in self._indexer.take_in(window, run):
                yield report
        finally:
            producer.cancel()

    async def rebuild_outdated(self) -> int:
        """Split and embed again what another embedder or splitter made; return how many documents.

        Each collection is built beside the old one and swapped in when it is whole.
        """
        rebuilt = 0
        for owner in await asyncio.to_thread(self._store.outdated_owners):
            beside = f"{REBUILDING}{owner}"
            if owner.startswith(REBUILDING):
                await asyncio.to_thread(self._store.delete_owner, owner)
                continue
            await asyncio.to_thread(self._store.delete_owner, beside)
            run = Run(
                beside, lambda _s, _p: None, self._originals.arriving(), Batch(None, beside, ())
            )
            for info in await asyncio.to_thread(self._store.documents, [owner]):
                if info.status != "ready":
                    continue
                document = await asyncio.to_thread(self._store.load_document, info.id)
                prepared = PreparedFile(
                    SourceFile(Path(info.name), info.name, info.origin),
                    info.sha256,
                    info.bytes,
                    document,
                    await self._indexer.split(document),
                )
                for item, read in await self._indexer.embed([prepared], run):
                    await self._indexer.commit(item, read, run)
                rebuilt += 1
            await asyncio.to_thread(self._store.replace_collection, owner, beside)
            log.info("ingest.rebuilt", owner=owner, documents=rebuilt)
        return rebuilt

    async def _read(
        self, source: SourceFile, run: Run
    ) -> AsyncGenerator[PreparedFile | DocumentReport, None]:
        """Yield what becomes of a file, after what becomes of the files inside of it."""
        run.notify(source, IngestProgress("reading", 0, 1))
        owner, found = run.owner, FoundFile(source)
        try:
            await asyncio.to_thread(look_at, found, self._settings)
            await asyncio.to_thread(keep_original, found, self._store, owner, run.arriving)
            known = await asyncio.to_thread(self._store.find_document, owner, source.name)
            if known is not None and is_unchanged(found, known):
                yield stored_report(known, "unchanged")
                return
            await asyncio.to_thread(tell_kind, found)
            if found.kind is not None:
                sha256 = as_read(found.sha256, found.kind)
                if copied := await self._indexer.copied(source, owner, sha256, found.kind):
                    yield copied
                    return
            await run.batch.begin(source)
            if found.kind in CONTAINERS:
                async with aclosing(self._members(found, run)) as items:
                    async for item in items:
                        yield item
            yield await self._prepare(found, run.notify)
        except DocumentBusyError as exc:
            yield put_off_report(source, exc)
        except (DocumentError, OSError) as exc:
            yield await self._indexer.refuse(found, owner, exc)

    async def _members(
        self, found: FoundFile, run: Run
    ) -> AsyncGenerator[PreparedFile | DocumentReport, None]:
        """Yield what becomes of the files inside of one.

        Raises ``DocumentError`` where an archive cannot be unpacked, and ``DocumentBusyError``
        where one of its files has to wait for another time.
        """
        source = found.source
        if source.depth >= MAX_DEPTH:
            found.notes.append(
                "What is inside of it was not read: it is too deep in other archives."
            )
            return
        failed = 0
        names = []
        async with unpacking_folder(self._settings.data_dir) as folder:
            try:
                unpacked = await self._parser.unpack(source.path, source.name, folder)
            except DocumentBusyError:
                raise
            except DocumentError as exc:
                if found.kind == "zip":
                    raise
                found.notes.append(f"What is attached was not read. {exc}")
                return
            for member, reason in members_of(source, unpacked):
                names.append(member.name)
                found.members += 1
                if reason:
                    failed += 1
                    yield await self._indexer.refuse(
                        FoundFile(member), run.owner, DocumentError(reason)
                    )
                    continue
                async with aclosing(self._read(member, run)) as items:
                    async for item in items:
                        yield item
                        if isinstance(item, DocumentReport) and item.name == member.name:
                            failed += item.status == "failed"
                            if item.put_off:
                                raise DocumentBusyError(FILES_WAITING)
        await asyncio.to_thread(self._store.keep_members, run.owner, source.name, names)
        if failed:
            found.notes.append(f"{failed} of the {found.members} files in it could not be read.")

    async def _prepare(self, found: FoundFile, notify: ProgressSink) -> PreparedFile:
        source = found.source
        if found.kind == "recording":
            document = await self._transcribe(source, notify)
        else:
            document = await self._parser.parse(
                source.path,
                source.name,
                lambda done, total: notify(source, IngestProgress("reading", done, total)),
            )
        if found.notes:
            document = replace(document, warnings=(*document.warnings, *found.notes))
        chunks = await self._indexer.split(document)
        if not chunks:
            raise DocumentEmptyError(f"{source.name} has no text to search.")
        sha256 = found.sha256 if document.read_again else as_read(found.sha256, document.kind)
        return PreparedFile(source, sha256, found.size_bytes, document, chunks, found.members)

    async def _transcribe(self, source: SourceFile, notify: ProgressSink) -> LoadedDocument:
        if self._recordings is None:
            raise DocumentError(
                "It is a recording, and voice is switched off here (XOE_VOICE), so it cannot be "
                "transcribed."
            )

        def tell(heard_s: float, claimed_s: float | None) -> None:
            done = int(heard_s)
            notify(source, IngestProgress("listening", done, max(done, int(claimed_s or 0))))

        heard = await self._recordings.transcribe(source.path, source.name, tell)
        return await asyncio.to_thread(transcript_document, source.name, heard.segments)
