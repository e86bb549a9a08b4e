"""Questions about a whole document: passages spread over it instead of the best matches."""

from __future__ import annotations

from collections.abc import Sequence

from chains import lexical
from chains.retriever import HybridSearch
from chains.types import LIBRARY_OWNER, Passage
from ingest.store import DocumentInfo, Store


class Overview:
    """Picks the document that is meant, and passages that stand for it. Blocking."""

    def __init__(self, store: Store, search: HybridSearch) -> None:
        """Look documents up in ``store``."""
        self._store = store
        self._search = search

    def passages(self, question: str, owner: str, *, limit: int) -> tuple[Passage, ...]:
        """Return passages from the start, the middle and so on; empty if it is unclear which.

        A document is meant when its name or title is in the question; otherwise it is the asker's
        latest upload.
        """
        document = self._meant(question, owner)
        if document is None:
            return ()
        ids = self._store.document_chunk_ids(document.id)
        step = max(1, len(ids) // limit)
        return self._search.leads(ids[::step][:limit], (document.owner,))

    def _meant(self, question: str, owner: str) -> DocumentInfo | None:
        owners: Sequence[str] = (LIBRARY_OWNER, owner)
        ready = [d for d in self._store.documents(owners) if d.status == "ready"]
        asked = lexical.content_stems(question)

        def named(document: DocumentInfo) -> int:
            stem = document.name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
            names = (lexical.content_stems(document.title), lexical.content_stems(stem))
            return max(len(name & asked) if name and name <= asked else 0 for name in names)

        best = max(ready, key=named, default=None)
        if best is not None and named(best):
            return best
        uploads = [document for document in ready if document.owner == owner]
        return max(uploads, key=lambda document: document.id, default=None)
