"""A store of small documents without any engine: the real loaders, words-only search."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from chains.memory import Exchange
from chains.overview import Overview, Overviews
from chains.prompt_builder import Prompt
from chains.retriever import HybridSearch
from chains.summary import Summaries, compose_summary
from chains.types import LIBRARY_OWNER, Answer, Question, Token
from core.errors import ModelMissingError
from ingest.embedder import Embedder
from ingest.loaders import load_document
from ingest.splitter import split
from ingest.store import Fingerprint, Store
from ingest.vector_index import VectorIndexes

DIMENSION = 8
ASKER = "session:asker"


class _NoEmbedder:
    """An embedder whose model is missing: the search compares words."""

    def encode_question(self, _: str) -> np.ndarray:
        raise ModelMissingError("There is no embedder here.")


class Shelf:
    """Documents, and what is answered of them as wholes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.store = Store(folder / "data", Fingerprint("none", DIMENSION, "test"))
        indexes = VectorIndexes(self.store, folder / "index", exact_limit=1000)
        embedder = cast(Embedder, _NoEmbedder())
        self.search = HybridSearch(self.store, indexes, embedder, dense_weight=0.5)
        self.summaries = Summaries(self.store.still_there)
        self.overviews = Overviews(self.store, self.search, self.summaries)

    def close(self) -> None:
        self.search.close()
        self.store.close()

    def put(self, name: str, content: str | bytes, *, owner: str = LIBRARY_OWNER) -> int:
        """Add a file as an upload or the library's folder would."""
        data = content.encode() if isinstance(content, str) else content
        path = self._folder / Path(name).name
        path.write_bytes(data)
        document = load_document(path, name=name)
        chunks = split(document, chunk_tokens=120, count=lambda texts: [len(t) // 4 for t in texts])
        return self.store.put_document(
            owner,
            name,
            origin="folder" if owner == LIBRARY_OWNER else "upload",
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            document=document,
            chunks=chunks,
            vectors=np.full((len(chunks), DIMENSION), 0.35, dtype=np.float32),
        )

    def look(self, text: str, *earlier: str, owner: str = ASKER, **fields: Any) -> Overview | None:
        """Return what answers; ``earlier`` are the chat's questions before."""
        exchanges = [Exchange(q, q, q, "", frozenset(), "") for q in earlier]
        return self.overviews.find(Question(text, "chat", owner, **fields), exchanges)

    def ask(self, text: str, *earlier: str, owner: str = ASKER) -> Answer | None:
        """Return the answer; a summary's is that of a model that writes nothing."""
        found = self.look(text, *earlier, owner=owner)
        if found is None:
            return None
        return found.settled or (compose_summary(found.plan, ()) if found.plan else None)


class ScriptedModel:
    """Writes what it is told to, one text a prompt, and keeps the prompts."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)
        self.prompts: list[str] = []
        self.closed = 0

    async def __call__(self, prompt: Prompt) -> AsyncGenerator[Token, None]:
        self.prompts.append(str(prompt.messages[-1].content))
        text = self.texts.pop(0) if self.texts else ""
        try:
            for word in text.split(" "):
                yield Token(f"{word} ")
        finally:
            self.closed += 1


def documents(answer: Answer | None) -> Sequence[str]:
    """Return the documents that an answer cites, each once."""
    assert answer is not None
    return list(dict.fromkeys(citation.source for citation in answer.citations))
