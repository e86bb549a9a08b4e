"""From text to passages: cut, embedded in sorted batches, committed one document at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import structlog

from core.errors import DocumentBusyError, DocumentError
from core.fairness import FairSlots
from core.settings import Settings
from ingest.batch import Batch, cancelled_report
from ingest.embedder import Embedder
from ingest.found_files import FoundFile, PreparedFile, os_reason, tell_embedded
from ingest.loaders import CONTAINERS, Kind, LoadedDocument
from ingest.originals import Arriving
from ingest.parse_lane import FILES_OF_OWNER, FILES_WAITING
from ingest.sources import (
    DocumentReport,
    IngestProgress,
    ProgressSink,
    SourceFile,
    put_off_report,
    stored_report,
)
from ingest.splitter import Chunk, search_heading, split
from ingest.store import Store
from ingest.vectors import DIMENSION, Encoded

log = structlog.get_logger(__name__)

WINDOW_CHUNKS = 128
"""Chunks embedded in one go: enough to sort by length, and an upload that comes while a folder
is read waits for one window at most (3 to 5 s on two cores)."""


@dataclass
class Run:
    """One call of ``ingest_many``."""

    owner: str
    notify: ProgressSink
    arriving: Arriving
    batch: Batch
    put_off: set[str] = field(default_factory=set)
    """Names of what has to wait for another time."""


class Indexer:
    """Makes documents of texts. Many callers may use it at once; owners take turns."""

    def __init__(self, store: Store, embedder: Embedder, settings: Settings) -> None:
        """Wire the parts; nothing is started."""
        self._store = store
        self._embedder = embedder
        self._settings = settings
        # A window, or a document, at a time: owners take turns between them.
        self._embedding = _slots(1)
        self._splitting = _slots(2)

    async def split(self, document: LoadedDocument) -> list[Chunk]:
        """Cut a document into chunks. Raises ``DocumentError`` where the embedder is lost."""
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

    async def embed(
        self, window: Sequence[PreparedFile], run: Run
    ) -> list[tuple[PreparedFile, Encoded]]:
        """Embed all chunks of ``window`` together; of cancelled files none that lie together."""
        chunks = [(prepared, chunk) for prepared in window for chunk in prepared.chunks]
        for prepared in window:
            run.notify(prepared.source, IngestProgress("embedding", 0, len(prepared.chunks)))
        read = Encoded(np.empty((len(chunks), DIMENSION), dtype=np.float32), [b""] * len(chunks))
        for start in range(0, len(chunks), WINDOW_CHUNKS):
            part = chunks[start : start + WINDOW_CHUNKS]
            if all(run.batch.is_cancelled(prepared.source) for prepared, _ in part):
                continue
            texts = [
                f"{search_heading(prepared.document.title, chunk.heading)}\n{chunk.text}"
                for prepared, chunk in part
            ]
            async with self._embedding.place():
                made = await asyncio.to_thread(self._embedder.encode, texts)
            read.vectors[start : start + len(part)] = made.vectors
            read.tokens[start : start + len(part)] = made.tokens
            tell_embedded(window, start + len(part), run.notify)
        result, start = [], 0
        for prepared in window:
            end = start + len(prepared.chunks)
            result.append((prepared, Encoded(read.vectors[start:end], read.tokens[start:end])))
            start = end
        return result

    async def commit(self, prepared: PreparedFile, read: Encoded, run: Run) -> DocumentReport:
        """Store a document. Raises ``StoreError``."""
        run.notify(prepared.source, IngestProgress("saving", 0, 1))
        document_id = await asyncio.to_thread(
            self._store.put_document,
            run.owner,
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

    async def copied(
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

    async def refuse(
        self, found: FoundFile, owner: str, why: DocumentError | OSError
    ) -> DocumentReport:
        """Store why a file could not be read."""
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

    async def take_in(
        self, window: Sequence[PreparedFile], run: Run
    ) -> AsyncIterator[DocumentReport]:
        """Embed and commit; what is there twice, or was stored meanwhile, is embedded once."""
        fresh: dict[tuple[str, str], PreparedFile] = {}
        twice: list[PreparedFile] = []
        for prepared in window:
            kind = prepared.document.kind
            copied = await self.copied(prepared.source, run.owner, prepared.sha256, kind)
            if copied is not None:
                yield copied
            elif (key := (prepared.sha256, kind)) in fresh:
                twice.append(prepared)
            else:
                fresh[key] = prepared
        async for report in self._take_in_fresh(list(fresh.values()), run):
            if report.put_off:
                run.put_off.add(report.name)
            yield report
        for prepared in twice:
            async for report in self.take_in([prepared], run):
                yield report

    async def _take_in_fresh(
        self, window: Sequence[PreparedFile], run: Run
    ) -> AsyncIterator[DocumentReport]:
        """Embed and commit; where the embedder fails on a window, one document at a time."""
        try:
            embedded = await self.embed(window, run)
        except DocumentBusyError as exc:
            for prepared in window:
                yield put_off_report(prepared.source, exc)
            return
        except DocumentError as exc:
            if len(window) == 1:
                [bad] = window
                found = FoundFile(bad.source, bad.sha256, bad.size_bytes)
                yield await self.refuse(found, run.owner, exc)
                return
            for prepared in window:
                async for report in self._take_in_fresh([prepared], run):
                    yield report
            return
        for prepared, read in embedded:
            if run.batch.is_cancelled(prepared.source):
                await self.take_back(prepared.source, run)
                yield cancelled_report(prepared.source)
            else:
                yield await self.commit(prepared, read, run)

    async def take_back(self, source: SourceFile, run: Run) -> None:
        """Remove what a cancelled archive or mail brought, unless it was there before."""
        known = await asyncio.to_thread(self._store.find_document, run.owner, source.name)
        if known is None:
            await asyncio.to_thread(self._store.keep_members, run.owner, source.name, [])


def _slots(places: int) -> FairSlots:
    return FairSlots(places, FILES_WAITING, FILES_OF_OWNER, busy=DocumentBusyError)
