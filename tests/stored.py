"""A store's documents, made without a model."""

from __future__ import annotations

import numpy as np

from chains import lexical
from ingest.loaders import HeadingSpan, LoadedDocument, PageSpan
from ingest.scope import Scope
from ingest.splitter import Chunk
from ingest.store import Fingerprint, Store

FINGERPRINT = Fingerprint("embedder-a", 8, "splitter-a")


def unit_vectors(count: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def put(store: Store, owner: str, source: str, *texts: str, seed: int = 0, sha: str = "s") -> int:
    whole = "\n\n".join(texts)
    chunks = [Chunk(whole.index(text), whole.index(text) + len(text), text, "") for text in texts]
    document = LoadedDocument(
        text=whole,
        title=source,
        kind="text",
        pages=(PageSpan(1, 0, len(whole)),),
        headings=(HeadingSpan(1, "A", 0, 1),),
    )
    return store.put_document(
        owner,
        source,
        origin="upload",
        sha256=sha,
        size_bytes=len(whole),
        document=document,
        chunks=chunks,
        vectors=unit_vectors(len(texts), seed),
        tokens=[text.encode() for text in texts],
    )


def found(store: Store, word: str, *owners: str) -> list[str]:
    matches = store.match(lexical.match_expression([word]), Scope.of(*owners), 10)
    return sorted(chunk.text for chunk in store.chunks([m[0] for m in matches], owners).values())
