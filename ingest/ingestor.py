"""Files in, passages out: read, split, embed in sorted batches, commit one document at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import structlog

from core.errors import DocumentBusyError, DocumentEmptyError, DocumentError
from core.fairness import FairSlots
from core.settings import Settings
from core.tasks import next_of
from ingest.containers import MAX_DEPTH, members_of, unpacking_folder
from ingest.embedder import Embedder
from ingest.found_files import (
    FoundFile,
    PreparedFile,
    is_unchanged,
    keep_original,
    look_at,
    os_reason,
    slowness,
    tell_embedded,
    tell_kind,
)
from ingest.guard import safe_name
from ingest.loaders import CONTAINERS, Kind, LoadedDocument, as_read
from ingest.originals import Arriving, Originals
from ingest.parse_lane import FILES_OF_OWNER, FILES_WAITING
from ingest.parse_process import ParserProcess
from ingest.recordings import RecordingReader, transcript_document
from ingest.sources import FOLDER as FOLDER
from ingest.sources import UPLOAD as UPLOAD
from ingest.sources import DocumentReport as DocumentReport
from ingest.sources import IngestProgress as IngestProgress
from ingest.sources import ProgressSink, put_off_report, stored_report
from ingest.sources import SourceFile as SourceFile
from ingest.splitter import Chunk, search_heading, split
from ingest.store import Store
from ingest.vectors import DIMENSION, Encoded

log = structlog.get_logger(__name__)

WINDOW_CHUNKS = 128
"""Chunks embedded in one go: enough to sort by length, and an upload that comes while a folder
is read waits for one window at most (3 to 5 s on two cores)."""

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
    ) -> None:
        """Wire the parts; nothing is started. Without ``recordings`` they are refused."""
        self._store = store
        self._embedder = embedder
        self._parser = parser
        self._settings = settings
        self._recordings = recordings
        self._originals = Originals(store.folder)
        # A window, or a document, at a time: owners take turns between them.
        self._embedding = _slots(1)
        self._splitting = _slots(2)

    async def ingest_file(
        self,
        path: Path,
        *,
        name: str,
        owner: str,
        on_progress: Callable[[IngestProgress], None] | None = None,
    ) -> DocumentReport:
        """Ingest one file. A file that cannot be read is a report, not an exception.

        The passages of what is inside of it are counted with its own.

        Raises ``StoreError`` subclasses when the store itself fails (a full disk, say).
        """
        source = SourceFile(path, safe_name(name))
        sink: ProgressSink | None = None
        if on_progress is not None:
            notify = on_progress
            sink = lambda _source, progress: notify(progress)  # noqa: E731
        reports = [r async for r in self.ingest_many([source], owner=owner, on_progress=sink)]
        *inside, whole = reports
        return replace(whole, passages=whole.passages + sum(one.passages for one in inside))

    async def ingest_many(
        self, sources: Iterable[SourceFile], *, owner: str, on_progress: ProgressSink | None = None
    ) -> AsyncIterator[DocumentReport]:
        """Ingest files and yield a report for each, as they are done.

        What is inside of an archive or a mail becomes documents of its own, which are reported
        before it. Small documents are embedded together. The next files are read in the meantime.
        Pictures and recordings come last, since each may take as long as all the rest.
        """
        notify = on_progress or (lambda _source, _progress: None)
        arriving = self._originals.arriving()
        ready: asyncio.Queue[PreparedFile | DocumentReport | None] = asyncio.Queue(PARSED_AHEAD)

        async def produce() -> None:
            for source in sorted(sources, key=slowness):
                async with aclosing(self._read(source, owner, notify, arriving)) as items:
                    async for item in items:
                        await ready.put(item)
            await ready.put(None)

        producer = asyncio.create_task(produce())
        try:
            window: list[PreparedFile] = []
            put_off: set[str] = set()
            while (item := await next_of(ready, producer)) is not None:
                if isinstance(item, DocumentReport):
                    yield item
                    continue
                if item.members:  # it comes after all that was in it, or not at all
                    async for report in self._take_in(window, owner, notify, put_off):
                        yield report
                    window = []
                    if any(name.startswith(f"{item.source.name}/") for name in put_off):
                        yield put_off_report(item.source, DocumentBusyError(FILES_WAITING))
                        continue
                window.append(item)
                if sum(len(p.chunks) for p in window) >= WINDOW_CHUNKS or ready.empty():
                    async for report in self._take_in(window, owner, notify, put_off):
                        yield report
                    window = []
            async for report in self._take_in(window, owner, notify, put_off):
                yield report
        finally:
            producer.cancel()
            await asyncio.to_thread(arriving.end, self._store.content_hashes)

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
            for info in await asyncio.to_thread(self._store.documents, [owner]):
                if info.status != "ready":
                    continue
                document = await asyncio.to_thread(self._store.load_document, info.id)
                prepared = PreparedFile(
                    SourceFile(Path(info.name), info.name, info.origin),
                    info.sha256,
                    info.bytes,
                    document,
                    await self._split(document),
                )
                for item, read in await self._embed([prepared], lambda _s, _p: None):
                    await self._commit(item, read, beside, lambda _s, _p: None)
                rebuilt += 1
            await asyncio.to_thread(self._store.replace_collection, owner, beside)
            log.info("ingest.rebuilt", owner=owner, documents=rebuilt)
        return rebuilt

    async def _read(
        self, source: SourceFile, owner: str, notify: ProgressSink, arriving: Arriving
    ) -> AsyncGenerator[PreparedFile | DocumentReport, None]:
        """Yield what becomes of a file, after what becomes of the files inside of it."""
        notify(source, IngestProgress("reading", 0, 1))
        found = FoundFile(source)
        try:
            await asyncio.to_thread(look_at, found, self._settings)
            await asyncio.to_thread(keep_original, found, self._store, owner, arriving)
            known = await asyncio.to_thread(self._store.find_document, owner, source.name)
            if known is not None and is_unchanged(found, known):
                yield stored_report(known, "unchanged")
                return
            await asyncio.to_thread(tell_kind, found)
            if found.kind is not None:
                sha256 = as_read(found.sha256, found.kind)
                if copied := await self._copied(source, owner, sha256, found.kind):
                    yield copied
                    return
            if found.kind in CONTAINERS:
                async with aclosing(self._members(found, owner, notify, arriving)) as items:
                    async for item in items:
                        yield item
            yield await self._prepare(found, notify)
        except DocumentBusyError as exc:
            yield put_off_report(source, exc)
        except (DocumentError, OSError) as exc:
            yield await self._refuse(found, owner, exc)

    async def _copied(
        self, source: SourceFile, owner: str, sha256: str, kind: Kind
    ) -> DocumentReport | None:
        """Take a file from a document of the same content; None where there is none.

        An archive or mail is not: what is inside of it belongs to the other one.
        """
        if source.again or kind in CONTAINERS:
            return None
        name, origin = source.name, source.origin
        copied = await asyncio.to_thread(
            self._store.put_copy, owner, name, origin=origin, sha256=sha256, kind=kind
        )
        if copied is None:
            return None
        log.info("ingest.copied", document_id=copied.id, passages=copied.chunks)
        return stored_report(copied, "ready")

    async def _members(
        self, found: FoundFile, owner: str, notify: ProgressSink, arriving: Arriving
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
                    yield await self._refuse(FoundFile(member), owner, DocumentError(reason))
                    continue
                async with aclosing(self._read(member, owner, notify, arriving)) as items:
                    async for item in items:
                        yield item
                        if isinstance(item, DocumentReport) and item.name == member.name:
                            failed += item.status == "failed"
                            if item.put_off:
                                raise DocumentBusyError(FILES_WAITING)
        await asyncio.to_thread(self._store.keep_members, owner, source.name, names)
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
        chunks = await self._split(document)
        if not chunks:
            raise DocumentEmptyError(f"{source.name} has no text to search.")
        sha256 = found.sha256 if document.read_again else as_read(found.sha256, document.kind)
        return PreparedFile(source, sha256, found.size_bytes, document, chunks, found.members)

    async def _refuse(
        self, found: FoundFile, owner: str, why: DocumentError | OSError
    ) -> DocumentReport:
        source = found.source
        reason = str(why) if isinstance(why, DocumentError) else os_reason(source, why)
        log.info("ingest.failed", error=type(why).__name__)
        await asyncio.to_thread(
            self._store.put_failure,
            owner,
            source.name,
            origin=source.origin,
            sha256=found.sha256,
            size_bytes=found.size_bytes,
            title=source.name,
            reason=reason,
        )
        return DocumentReport(source.name, "failed", 0, reason=reason)

    async def _take_in(
        self, window: Sequence[PreparedFile], owner: str, notify: ProgressSink, put_off: set[str]
    ) -> AsyncIterator[DocumentReport]:
        """Embed and commit; what is there twice, or was stored meanwhile, is embedded once.

        ``put_off`` gets the names of what has to wait for another time.
        """
        fresh: dict[tuple[str, str], PreparedFile] = {}
        twice: list[PreparedFile] = []
        for prepared in window:
            kind = prepared.document.kind
            copied = await self._copied(prepared.source, owner, prepared.sha256, kind)
            if copied is not None:
                yield copied
            elif (key := (prepared.sha256, kind)) in fresh:
                twice.append(prepared)
            else:
                fresh[key] = prepared
        async for report in self._take_in_fresh(list(fresh.values()), owner, notify):
            if report.put_off:
                put_off.add(report.name)
            yield report
        for prepared in twice:
            async for report in self._take_in([prepared], owner, notify, put_off):
                yield report

    async def _take_in_fresh(
        self, window: Sequence[PreparedFile], owner: str, notify: ProgressSink
    ) -> AsyncIterator[DocumentReport]:
        """Embed and commit; where the embedder fails on a window, one document at a time."""
        try:
            embedded = await self._embed(window, notify)
        except DocumentBusyError as exc:
            for prepared in window:
                yield put_off_report(prepared.source, exc)
            return
        except DocumentError as exc:
            if len(window) == 1:
                [bad] = window
                found = FoundFile(bad.source, bad.sha256, bad.size_bytes)
                yield await self._refuse(found, owner, exc)
                return
            for prepared in window:
                async for report in self._take_in_fresh([prepared], owner, notify):
                    yield report
            return
        for prepared, read in embedded:
            yield await self._commit(prepared, read, owner, notify)

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

    async def _split(self, document: LoadedDocument) -> list[Chunk]:
        cut = partial(
            split,
            document,
            chunk_tokens=self._settings.chunk_tokens,
            count=self._embedder.count_tokens,
        )
        async with self._splitting.place():
            try:
                return await asyncio.to_thread(cut)
            except DocumentError:  # the embedder was lost, perhaps for what is embedded meanwhile
                log.warning("ingest.split_again")
        async with self._embedding.place():
            return await asyncio.to_thread(cut)

    async def _embed(
        self, window: Sequence[PreparedFile], notify: ProgressSink
    ) -> list[tuple[PreparedFile, Encoded]]:
        """Embed all chunks of ``window`` together, sorted by length."""
        texts = [
            f"{search_heading(prepared.document.title, chunk.heading)}\n{chunk.text}"
            for prepared in window
            for chunk in prepared.chunks
        ]
        read = Encoded(np.empty((len(texts), DIMENSION), dtype=np.float32), [b""] * len(texts))
        for start in range(0, len(texts), WINDOW_CHUNKS):
            part = texts[start : start + WINDOW_CHUNKS]
            async with self._embedding.place():
                made = await asyncio.to_thread(self._embedder.encode, part)
            read.vectors[start : start + len(part)] = made.vectors
            read.tokens[start : start + len(part)] = made.tokens
            tell_embedded(window, start + len(part), notify)
        result, start = [], 0
        for prepared in window:
            end = start + len(prepared.chunks)
            result.append((prepared, Encoded(read.vectors[start:end], read.tokens[start:end])))
            start = end
        return result

    async def _commit(
        self, prepared: PreparedFile, read: Encoded, owner: str, notify: ProgressSink
    ) -> DocumentReport:
        notify(prepared.source, IngestProgress("saving", 0, 1))
        document_id = await asyncio.to_thread(
            self._store.put_document,
            owner,
            prepared.source.name,
            origin=prepared.source.origin,
            sha256=prepared.sha256,
            size_bytes=prepared.size_bytes,
            document=prepared.document,
            chunks=prepared.chunks,
            vectors=read.vectors,
            tokens=read.tokens,
        )
        log.info("ingest.ready", document_id=document_id, passages=len(prepared.chunks))
        return DocumentReport(
            prepared.source.name,
            "ready",
            len(prepared.chunks),
            len(prepared.document.pages) or None,
            reason=" ".join(prepared.document.warnings) or None,
            document_id=document_id,
        )


def _slots(places: int) -> FairSlots:
    return FairSlots(places, FILES_WAITING, FILES_OF_OWNER, busy=DocumentBusyError)
