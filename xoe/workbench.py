"""The store and what fills and searches it, without a server: for commands and benches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chains.retriever import HybridSearch
from core.errors import StoreError
from core.settings import Settings
from ingest.embedder import Embedder
from ingest.incoming import IncomingQueue
from ingest.ingestor import Ingestor
from ingest.open_originals import OpenOriginals
from ingest.opening import open_store
from ingest.parse_process import ParserProcess
from ingest.splitter import splitter_fingerprint
from ingest.store import Fingerprint, Store
from ingest.vector_index import VectorIndexes
from ingest.vectors import DIMENSION
from voice.stt.recording_process import RecordingProcess


@dataclass(frozen=True)
class Workbench:
    """The documents' side of the system."""

    store: Store
    indexes: VectorIndexes
    embedder: Embedder
    parser: ParserProcess
    recordings: RecordingProcess | None
    """None where voice is switched off."""
    queue: IncomingQueue
    ingestor: Ingestor
    search: HybridSearch
    originals: OpenOriginals

    @classmethod
    def build(cls, settings: Settings) -> Workbench:
        """Open the data folder's store; the embedder is loaded meanwhile. Blocking.

        Raises ``StoreError``.
        """
        embedder = Embedder(settings.models_dir)
        embedder.begin()
        fingerprint = Fingerprint(
            embedder.fingerprint, DIMENSION, splitter_fingerprint(settings.chunk_tokens)
        )
        try:
            settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as exc:
            raise StoreError(
                f"The data folder {settings.data_dir} cannot be made ({exc.strerror})."
            ) from exc
        store = open_store(settings.data_dir, fingerprint)
        indexes = VectorIndexes(
            store, settings.data_dir / "index", exact_limit=settings.retrieval_exact_limit
        )
        parser = ParserProcess(settings)
        recordings = RecordingProcess(settings) if settings.voice else None
        queue = IncomingQueue(settings.data_dir)
        return cls(
            store=store,
            indexes=indexes,
            embedder=embedder,
            parser=parser,
            recordings=recordings,
            queue=queue,
            ingestor=Ingestor(
                store, embedder, parser, settings, recordings=recordings, queue=queue
            ),
            search=HybridSearch(
                store, indexes, embedder, dense_weight=settings.retrieval_dense_weight
            ),
            originals=OpenOriginals(store, settings),
        )

    async def aclose(self) -> None:
        """Stop the parser, a transcription and the embedder, close the store."""
        if self.recordings is not None:
            await self.recordings.aclose()
        await self.parser.aclose()
        await self.originals.aclose()
        self.search.close()
        await asyncio.to_thread(self.queue.close)
        await asyncio.to_thread(self.store.close)
        await asyncio.to_thread(self.embedder.close)


@asynccontextmanager
async def open_workbench(settings: Settings) -> AsyncIterator[Workbench]:
    """Lend a workbench. It does not save the indexes: the server that owns them does.

    Raises ``ModelError`` when there is no embedder, or ``StoreError``.
    """
    bench = await asyncio.to_thread(Workbench.build, settings)
    try:
        await asyncio.to_thread(bench.embedder.load)
        yield bench
    finally:
        await bench.aclose()
