"""LangChain's view of one owner's vectors, so that another store can take this one's place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import VectorStore

from chains.types import LIBRARY_OWNER
from ingest.embedder import Embedder
from ingest.loaders import LoadedDocument
from ingest.splitter import Chunk, search_heading
from ingest.store import Store
from ingest.vector_index import VectorIndexes
from ingest.vectors import Vectors

DEFAULT_LIMIT = 4


class LibraryVectorStore(VectorStore):
    """Dense search over one owner's chunks; texts added here are documents of a single chunk.

    Blocking, as LangChain's interface is; its asynchronous methods run these in a thread.
    """

    def __init__(
        self,
        store: Store,
        indexes: VectorIndexes,
        embedder: Embedder,
        *,
        owner: str = LIBRARY_OWNER,
    ) -> None:
        """Search and write the documents of ``owner``."""
        self._store = store
        self._indexes = indexes
        self._embedder = embedder
        self._owner = owner

    @property
    def embeddings(self) -> Embeddings:
        """The embedder of the store's vectors."""
        return self._embedder

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **_kwargs: Any,
    ) -> list[str]:
        """Add each text as a document and return the chunks' ids; the same source is replaced.

        A ``source`` in the metadata names the document, otherwise its hash does. The ids are the
        store's own: ``ids`` is refused with ``ValueError``.
        """
        if ids is not None:
            raise ValueError("The store gives the ids itself.")
        listed = list(texts)
        given = metadatas or [{} for _ in listed]
        sources = [
            str(metadata.get("source") or f"text-{_sha256(text)[:16]}")
            for text, metadata in zip(listed, given, strict=True)
        ]
        vectors = self._embedder.encode(
            [f"{search_heading(s, '')}\n{text}" for s, text in zip(sources, listed, strict=True)]
        )
        added = []
        for row, (text, source) in enumerate(zip(listed, sources, strict=True)):
            document_id = self._store.put_document(
                self._owner,
                source,
                origin="text",
                sha256=_sha256(text),
                size_bytes=len(text.encode()),
                document=LoadedDocument(text=text, title=source, kind="text"),
                chunks=[Chunk(0, len(text), text, "")],
                vectors=vectors[row : row + 1],
            )
            added += [str(chunk_id) for chunk_id in self._store.document_chunk_ids(document_id)]
        return added

    def similarity_search(
        self, query: str, k: int = DEFAULT_LIMIT, **_kwargs: Any
    ) -> list[Document]:
        """Return the ``k`` chunks nearest to ``query``, best first."""
        return [document for document, _ in self.similarity_search_with_score(query, k)]

    def similarity_search_with_score(
        self, query: str, k: int = DEFAULT_LIMIT, **_kwargs: Any
    ) -> list[tuple[Document, float]]:
        """Return the ``k`` nearest chunks, each with its cosine."""
        return self._nearest(self._embedder.encode_question(query), k)

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Return the chunks that are there, in the order of ``ids``."""
        wanted = [int(chunk_id) for chunk_id in ids if chunk_id.isdecimal()]
        chunks = self._store.chunks(wanted, (self._owner,))
        return [
            Document(
                id=str(chunk_id),
                page_content=chunk.text,
                metadata={
                    "source": chunk.source,
                    "title": chunk.title,
                    "heading": chunk.heading,
                    "start": chunk.start,
                    "end": chunk.end,
                },
            )
            for chunk_id in wanted
            if (chunk := chunks.get(chunk_id)) is not None
        ]

    def delete(self, ids: list[str] | None = None, **_kwargs: Any) -> bool:
        """Remove the documents of these chunks (all of the owner's for ``None``)."""
        if ids is None:
            self._store.delete_owner(self._owner)
            return True
        wanted = [int(chunk_id) for chunk_id in ids if chunk_id.isdecimal()]
        documents = {
            chunk.document_id for chunk in self._store.chunks(wanted, (self._owner,)).values()
        }
        removed = [self._store.delete_document(one, self._owner) for one in documents]
        return bool(removed) and all(removed)

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        **kwargs: Any,
    ) -> NoReturn:
        """Not offered: a store needs its data folder. Build one and call ``add_texts``."""
        raise NotImplementedError("Build a LibraryVectorStore on a Store, then call add_texts.")

    def _nearest(self, vector: Vectors, limit: int) -> list[tuple[Document, float]]:
        found = dict(self._indexes.search(vector, (self._owner,), limit))
        documents = self.get_by_ids([str(chunk_id) for chunk_id in found])
        return [(document, found[int(document.id or 0)]) for document in documents]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
