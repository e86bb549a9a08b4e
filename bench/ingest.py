"""Ingest against LangChain's plain path with the same embedding function.

The baseline is what the tutorials do: ``RecursiveCharacterTextSplitter`` and
``FAISS.from_documents``, whose embedding function takes the chunks as they come, in batches of 32
padded to the longest, the usual default.

What is then on the disk is told for each byte of text, and what takes it: the files themselves are
left where they lie. ``DOCUMENTS_ENV`` names a folder of text or Markdown files to measure with
instead of made-up ones.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from statistics import median

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from bench.corpus import write
from bench.rows import BenchRow
from bench.scratch import scratch_folder
from chains.types import LIBRARY_OWNER
from core.settings import Settings
from ingest.encoder import SentenceEncoder
from ingest.ingestor import SourceFile
from ingest.sources import FOLDER
from ingest.store import DATABASE_NAME
from xoe.workbench import open_workbench

FILES = 40
ROUNDS = 3
PLAIN_BATCH = 32
PLAIN_CHUNK_CHARS = 1000
PLAIN_OVERLAP_CHARS = 100

DOCUMENTS_ENV = "XOE_BENCH_DOCUMENTS"

_PARTS = {
    "disk_tokens": "SELECT SUM(LENGTH(tokens)) FROM chunks",
    "disk_vectors": "SELECT SUM(LENGTH(vector)) FROM chunks",
    "disk_passages": "SELECT SUM(LENGTH(CAST(text || heading AS BLOB))) FROM chunks",
    "disk_texts": "SELECT SUM(LENGTH(text)) FROM documents",
    "disk_words": "SELECT SUM(pgsize) FROM dbstat WHERE name LIKE 'chunk#_fts#_%' ESCAPE '#'",
}
"""What takes the room in the database, in bytes."""


async def run(settings: Settings) -> list[BenchRow]:
    """Return the rows of the ingest suite."""
    with scratch_folder() as folder:
        paths = _documents(folder / "documents")
        megachars = sum(path.stat().st_size for path in paths) / 1e6
        ours: list[tuple[float, int]] = []
        plain: list[tuple[float, int]] = []
        encoder = SentenceEncoder(settings.models_dir)
        for number in range(ROUNDS):
            alone = settings.model_copy(update={"data_dir": folder / f"data-{number}"})
            ours.append(await _ours(alone, paths))
            plain.append(_plain(paths, encoder))
        disk = _disk_rows(folder / "data-0", sum(path.stat().st_size for path in paths))
        again = await _ours(settings.model_copy(update={"data_dir": folder / "data-0"}), paths)
    rate = median(chunks / seconds for seconds, chunks in ours)
    plain_rate = median(chunks / seconds for seconds, chunks in plain)
    text_rate = median(megachars / seconds for seconds, _ in ours)
    plain_text_rate = median(megachars / seconds for seconds, _ in plain)
    second = again[0] * 1000 / len(paths)
    return [
        BenchRow.against("ingest_chunks_per_second", rate, "chunks/s", plain_rate),
        BenchRow.against("ingest_text_per_second", text_rate * 1e3, "kB/s", plain_text_rate * 1e3),
        BenchRow.against(
            "ingest_unchanged_file", second, "ms", median(s for s, _ in ours) * 1000 / len(paths)
        ),
        *disk,
    ]


def _documents(folder: Path) -> list[Path]:
    """Return what is to be taken in."""
    if given := os.environ.get(DOCUMENTS_ENV):
        return sorted(path for path in Path(given).rglob("*") if path.suffix in (".md", ".txt"))
    return write(folder, FILES)


def _disk_rows(data_dir: Path, text_bytes: int) -> list[BenchRow]:
    """Return how many bytes are in the data folder for each byte of text."""
    taken = sum(path.stat().st_size for path in data_dir.rglob("*") if path.is_file())
    sizes = {"disk": float(taken)}
    with closing(sqlite3.connect(data_dir / DATABASE_NAME)) as db:
        for name, query in _PARTS.items():
            sizes[name] = float(db.execute(query).fetchone()[0])
    return [
        BenchRow(f"{name}_bytes_a_byte_of_text", size / text_bytes, "")
        for name, size in sizes.items()
    ]


async def _ours(settings: Settings, paths: Sequence[Path]) -> tuple[float, int]:
    """Return the seconds from the files to the searchable index, and the chunks."""
    begun = time.perf_counter()
    async with open_workbench(settings) as bench:
        sources = [SourceFile(path, path.name, FOLDER) for path in paths]
        async for _report in bench.ingestor.ingest_many(sources, owner=LIBRARY_OWNER):
            pass
        bench.indexes.warm([LIBRARY_OWNER])
        bench.indexes.save()
        seconds = time.perf_counter() - begun
        return seconds, bench.store.totals()[1]


class _PlainEmbeddings(Embeddings):
    """The same model, called as most wrappers call it."""

    def __init__(self, encoder: SentenceEncoder) -> None:
        self._encoder = encoder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        batches = [texts[i : i + PLAIN_BATCH] for i in range(0, len(texts), PLAIN_BATCH)]
        # On as many threads as ours, so that only the order and the padding differ.
        with ThreadPoolExecutor(self._encoder.workers) as pool:
            parts = pool.map(self._encoder.encode_padded, batches)
            return [vector for part in parts for vector in part.tolist()]

    def embed_query(self, text: str) -> list[float]:
        vector: list[float] = self._encoder.encode_question(text)[0].tolist()
        return vector


def _plain(paths: Sequence[Path], encoder: SentenceEncoder) -> tuple[float, int]:
    """Return the seconds of the plain path, and its chunks."""
    from langchain_community.vectorstores import FAISS
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    begun = time.perf_counter()
    documents = [Document(path.read_text(encoding="utf-8")) for path in paths]
    splitter = RecursiveCharacterTextSplitter(
        chunk_size=PLAIN_CHUNK_CHARS, chunk_overlap=PLAIN_OVERLAP_CHARS
    )
    chunks = splitter.split_documents(documents)
    FAISS.from_documents(chunks, _PlainEmbeddings(encoder))
    return time.perf_counter() - begun, len(chunks)
