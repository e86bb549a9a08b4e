"""Files in, passages out: read, split, embed in sorted batches, commit one document at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import structlog

from core.errors import DocumentBusyError, DocumentEmptyError, DocumentError
from core.fairness import FairSlots
from core.settings import Settings
from ingest.embedder import Embedder
from ingest.guard import (
    EXTENSIONS,
    check_size,
    is_recording,
    passed_over,
    safe_name,
    safe_relative_name,
    supported_paths,
)
from ingest.loaders import LoadedDocument, as_read
from ingest.parse_lane import FILES_OF_OWNER, FILES_WAITING
from ingest.parse_process import ParserProcess
from ingest.recordings import RecordingReader, transcript_document
from ingest.splitter import Chunk, search_heading, split
from ingest.store import Store
from ingest.vectors import DIMENSION, Encoded
from models.integrity import sha256_of

log = structlog.get_logger(__name__)

WINDOW_CHUNKS = 128
"""Chunks embedded in one go: enough to sort by length, and an upload that comes while a folder
is read waits for one window at most (3 to 5 s on two cores)."""

PARSED_AHEAD = 4
"""Documents read while earlier ones are embedded."""

REBUILDING = "rebuilding:"
FOLDER = "folder"
UPLOAD = "upload"


@dataclass(frozen=True)
class IngestProgress:
    """Where one file stands."""

    stage: Literal["reading", "listening", "embedding", "saving"]
    done: int
    total: int
    """Chunks while embedding, seconds of a recording while listening, pages while pictures of text
    are read, otherwise 1."""


@dataclass(frozen=True)
class DocumentReport:
    """What became of one file."""

    name: str
    status: Literal["ready", "unchanged", "failed"]
    passages: int
    pages: int | None = None
    reason: str | None = None
    """Why it failed or, for a ready one, what of it could not be read; for the user."""
    document_id: int | None = None


@dataclass(frozen=True)
class SourceFile:
    """A file to ingest under ``name``; replaces the owner's document of that name."""

    path: Path
    name: str
    origin: str = UPLOAD
    """``FOLDER``, ``UPLOAD`` or, for a file named on the command line, its absolute path."""


ProgressSink = Callable[[SourceFile, IngestProgress], None]


@dataclass
class _Prepared:
    source: SourceFile
    sha256: str
    size_bytes: int
    document: LoadedDocument
    chunks: list[Chunk]


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

        Raises ``StoreError`` subclasses when the store itself fails (a full disk, say).
        """
        source = SourceFile(path, safe_name(name))
        sink: ProgressSink | None = None
        if on_progress is not None:
            notify = on_progress
            sink = lambda _source, progress: notify(progress)  # noqa: E731
        reports = [r async for r in self.ingest_many([source], owner=owner, on_progress=sink)]
        return reports[0]

    async def ingest_many(
        self, sources: Iterable[SourceFile], *, owner: str, on_progress: ProgressSink | None = None
    ) -> AsyncIterator[DocumentReport]:
        """Ingest files and yield a report for each, as they are done.

        Small documents are embedded together. The next files are read in the meantime.
        Pictures and recordings come last, since each may take as long as all the rest.
        """
        notify = on_progress or (lambda _source, _progress: None)
        ready: asyncio.Queue[_Prepared | DocumentReport | None] = asyncio.Queue(PARSED_AHEAD)

        async def produce() -> None:
            for source in sorted(sources, key=_slowness):
                notify(source, IngestProgress("reading", 0, 1))
                await ready.put(await self._prepare(source, owner, notify))
            await ready.put(None)

        producer = asyncio.create_task(produce())
        try:
            window: list[_Prepared] = []
            while (item := await _next(ready, producer)) is not None:
                if isinstance(item, DocumentReport):
                    yield item
                    continue
                window.append(item)
                if sum(len(p.chunks) for p in window) >= WINDOW_CHUNKS or ready.empty():
                    async for report in self._take_in(window, owner, notify):
                        yield report
                    window = []
            async for report in self._take_in(window, owner, notify):
                yield report
        finally:
            producer.cancel()

    async def sync_folder(
        self, folder: Path, *, owner: str, on_progress: ProgressSink | None = None
    ) -> AsyncIterator[DocumentReport]:
        """Make the owner's documents those of ``folder``: new and changed in, vanished ones out."""
        paths = await asyncio.to_thread(_folder_files, folder)
        if others := await asyncio.to_thread(passed_over, folder):
            log.warning("ingest.passed_over", files=others.total(), endings=dict(others))
        sources = [
            SourceFile(path, safe_relative_name(str(path.relative_to(folder))), FOLDER)
            for path in paths
        ]
        names = {source.name for source in sources}
        for known in await asyncio.to_thread(self._store.documents, [owner]):
            if known.origin == FOLDER and known.name not in names:
                await asyncio.to_thread(self._store.delete_document, known.id, owner)
                log.info("ingest.removed", owner=owner, document_id=known.id)
        async for report in self.ingest_many(sources, owner=owner, on_progress=on_progress):
            yield report

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
                prepared = _Prepared(
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

    async def _prepare(
        self, source: SourceFile, owner: str, notify: ProgressSink
    ) -> _Prepared | DocumentReport:
        sha256, size_bytes = "", 0
        try:
            size_bytes, recording = await asyncio.to_thread(_checked, source.path, self._settings)
            sha256 = await asyncio.to_thread(sha256_of, source.path)
            known = await asyncio.to_thread(self._store.find_document, owner, source.name)
            if (
                known is not None
                and known.status == "ready"
                and known.sha256 == as_read(sha256, known.kind or "")
            ):
                return DocumentReport(
                    *(source.name, "unchanged", known.chunks, known.pages, known.reason, known.id)
                )
            if recording:
                document = await self._transcribe(source, notify)
            else:
                document = await self._parser.parse(
                    source.path,
                    source.name,
                    lambda done, total: notify(source, IngestProgress("reading", done, total)),
                )
            chunks = await self._split(document)
            if not chunks:
                raise DocumentEmptyError(f"{source.name} has no text to search.")
        except DocumentBusyError as exc:
            return _put_off(source, exc)
        except (DocumentError, OSError) as exc:
            return await self._refuse(source, owner, exc, sha256=sha256, size_bytes=size_bytes)
        known_as = sha256 if document.read_again else as_read(sha256, document.kind)
        return _Prepared(source, known_as, size_bytes, document, chunks)

    async def _refuse(
        self,
        source: SourceFile,
        owner: str,
        why: DocumentError | OSError,
        *,
        sha256: str,
        size_bytes: int,
    ) -> DocumentReport:
        reason = str(why) if isinstance(why, DocumentError) else _os_reason(source, why)
        log.info("ingest.failed", error=type(why).__name__)
        await asyncio.to_thread(
            self._store.put_failure,
            owner,
            source.name,
            origin=source.origin,
            sha256=sha256,
            size_bytes=size_bytes,
            title=source.name,
            reason=reason,
        )
        return DocumentReport(source.name, "failed", 0, reason=reason)

    async def _take_in(
        self, window: Sequence[_Prepared], owner: str, notify: ProgressSink
    ) -> AsyncIterator[DocumentReport]:
        """Embed and commit; where the embedder fails on a window, one document at a time."""
        try:
            embedded = await self._embed(window, notify)
        except DocumentBusyError as exc:
            for prepared in window:
                yield _put_off(prepared.source, exc)
            return
        except DocumentError as exc:
            if len(window) == 1:
                [bad] = window
                yield await self._refuse(
                    bad.source, owner, exc, sha256=bad.sha256, size_bytes=bad.size_bytes
                )
                return
            for prepared in window:
                async for report in self._take_in([prepared], owner, notify):
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
        async with self._splitting.place():
            return await asyncio.to_thread(
                split,
                document,
                chunk_tokens=self._settings.chunk_tokens,
                count=self._embedder.count_tokens,
            )

    async def _embed(
        self, window: Sequence[_Prepared], notify: ProgressSink
    ) -> list[tuple[_Prepared, Encoded]]:
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
            _tell(window, start + len(part), notify)
        result, start = [], 0
        for prepared in window:
            end = start + len(prepared.chunks)
            result.append((prepared, Encoded(read.vectors[start:end], read.tokens[start:end])))
            start = end
        return result

    async def _commit(
        self, prepared: _Prepared, read: Encoded, owner: str, notify: ProgressSink
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


def _put_off(source: SourceFile, why: DocumentBusyError) -> DocumentReport:
    """Return the report for a file that was not read, and may be another time: nothing is kept."""
    log.info("ingest.put_off", waiting=why.waiting, own=why.own)
    return DocumentReport(source.name, "failed", 0, reason=str(why))


async def _next(
    ready: asyncio.Queue[_Prepared | DocumentReport | None], producer: asyncio.Task[None]
) -> _Prepared | DocumentReport | None:
    """Take the next prepared file, or raise what ended the producer."""
    getter = asyncio.create_task(ready.get())
    await asyncio.wait({getter, producer}, return_when=asyncio.FIRST_COMPLETED)
    if not getter.done() and producer.done() and producer.exception() is not None:
        getter.cancel()
        producer.result()
    return await getter


def _tell(window: Sequence[_Prepared], embedded: int, notify: ProgressSink) -> None:
    start = 0
    for prepared in window:
        total = len(prepared.chunks)
        done = min(total, max(0, embedded - start))
        if done:
            notify(prepared.source, IngestProgress("embedding", done, total))
        start += total


def _checked(path: Path, settings: Settings) -> tuple[int, bool]:
    """Return a file's size and whether it is a recording, which may be larger than the rest."""
    check_size(path, max(settings.upload_max_mb, settings.recording_max_mb))  # a file at all
    recording = is_recording(path)
    limit_mb = settings.recording_max_mb if recording else settings.upload_max_mb
    return check_size(path, limit_mb), recording


def _slowness(source: SourceFile) -> int:
    """Put pictures behind the rest, and recordings behind these."""
    kind = EXTENSIONS.get(Path(source.name).suffix.lower())
    return {"image": 1, "recording": 2}.get(kind or "", 0)


def _folder_files(folder: Path) -> list[Path]:
    return supported_paths([folder]) if folder.is_dir() else []


def _os_reason(source: SourceFile, exc: OSError) -> str:
    return f"{source.name} cannot be opened: {exc.strerror or exc}."
