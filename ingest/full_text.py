"""Search by words: SQLite's FTS5 with BM25, and how often each word stands in the library.

The terms of a passage are made by its language (``ingest/terms.py``), so a query has to name each
word as the languages of the searched passages have it.

BM25 needs the number of chunks that hold each word of a query, which FTS5 counts anew for each
query by walking through all of them. The word that stands for a collection is in every chunk of
it: where most chunks are the asker's own, the owner is looked at in the best matches instead.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ingest.database import marks

KNOWN_TERMS: Final = 20_000
"""Words whose counts are kept while the library does not change."""

OWN_SHARE: Final = 0.5
"""From this share of all chunks on, the owner is looked at after the ranking."""

SPARE_MATCHES: Final = 4
"""Times as many matches as wanted are ranked then, as some may be others'."""

_BM25: Final = "bm25(chunk_fts, 1.0, 0.6, 0.0)"
"""The weights of the columns ``text``, ``heading`` and ``owner_token``. Ordering by FTS5's hidden
column ``rank`` instead takes 1.7 times as long."""


@dataclass(frozen=True)
class _Counts:
    """What was counted in one state of the database."""

    state: tuple[int, int, int]
    chunks: dict[int, int]
    """By collection."""
    languages: dict[int, dict[str, int]]
    """Chunks of each language, by collection."""
    terms: dict[str, int] = field(default_factory=dict)


class FullText:
    """The full-text index of one database. Thread-safe; ``db`` is inside a transaction."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._lock = threading.Lock()
        self._kept: _Counts | None = None

    def match(
        self, db: sqlite3.Connection, collections: Sequence[int], expression: str, limit: int
    ) -> list[tuple[int, float]]:
        """Return ``(chunk id, BM25 score)`` of the collections' best matches, best first."""
        if not collections:
            return []
        chunks = self._counts(db).chunks
        own = sum(chunks.get(collection, 0) for collection in collections)
        if own >= OWN_SHARE * sum(chunks.values()):
            wanted = limit if own == sum(chunks.values()) else SPARE_MATCHES * limit
            found = self._ranked_first(db, collections, expression, wanted)
            mine = [(chunk_id, score) for chunk_id, score in found if chunk_id is not None]
            if len(mine) >= limit or len(found) < wanted:
                return mine[:limit]
        tokens = " OR ".join(owner_token(collection) for collection in collections)
        return db.execute(
            f"SELECT rowid, -{_BM25} FROM chunk_fts"
            f" WHERE chunk_fts MATCH ? ORDER BY {_BM25} LIMIT ?",
            (f"owner_token : ({tokens}) AND {{text heading}} : ({expression})", limit),
        ).fetchall()

    def match_among(
        self,
        db: sqlite3.Connection,
        collections: Sequence[int],
        documents: Sequence[str],
        expression: str,
        limit: int,
    ) -> list[tuple[int, float]]:
        """Return the best matches of the collections and of some ``documents`` besides.

        These are lists of ids in JSON. Each match is looked up before it is ranked, so that few
        documents lose nothing to many others.
        """
        among = " OR ".join("k.document_id IN (SELECT value FROM json_each(?))" for _ in documents)
        return db.execute(
            f"SELECT rowid, -{_BM25} FROM chunk_fts WHERE chunk_fts MATCH ? AND EXISTS ("
            " SELECT 1 FROM chunks k WHERE k.id = chunk_fts.rowid"
            f" AND (k.collection_id IN ({marks(collections)}) OR {among or 'FALSE'})"
            f") ORDER BY {_BM25} LIMIT ?",
            (f"{{text heading}} : ({expression})", *collections, *documents, limit),
        ).fetchall()

    def term_counts(self, db: sqlite3.Connection, terms: Sequence[str]) -> dict[str, int]:
        """Return in how many chunks each (already stemmed) term stands, where in any."""
        known = self._counts(db).terms
        counts = {term: known[term] for term in terms if term in known}
        new = [term for term in terms if term not in counts]
        if new:
            found = dict(
                db.execute(f"SELECT term, doc FROM chunk_terms WHERE term IN ({marks(new)})", new)
            )
            counts |= {term: found.get(term, 0) for term in new}
            with self._lock:
                if len(known) + len(new) > KNOWN_TERMS:
                    known.clear()
                known.update((term, counts[term]) for term in new[:KNOWN_TERMS])
        return {term: count for term, count in counts.items() if count}

    def chunks(self, db: sqlite3.Connection) -> int:
        """Return the number of all chunks."""
        return sum(self._counts(db).chunks.values())

    def languages(self, db: sqlite3.Connection, collections: Sequence[int]) -> Counter[str]:
        """Return how many of the collections' chunks are in each language."""
        known, found = self._counts(db).languages, Counter[str]()
        for collection in collections:
            found.update(known.get(collection, {}))
        return found

    def _counts(self, db: sqlite3.Connection) -> _Counts:
        """Return what is known of the database as ``db`` sees it."""
        # Each change of a collection raises its revision; ids are never given twice.
        state = db.execute(
            "SELECT COUNT(*), IFNULL(MAX(id), 0), IFNULL(SUM(revision), 0) FROM collections"
        ).fetchone()
        with self._lock:
            if self._kept is None or self._kept.state != state:
                languages: dict[int, dict[str, int]] = {}
                for collection, language, count in db.execute(
                    "SELECT collection_id, language, COUNT(*) FROM chunks GROUP BY 1, 2"
                ):
                    languages.setdefault(collection, {})[language] = count
                chunks = {one: sum(counted.values()) for one, counted in languages.items()}
                self._kept = _Counts(state, chunks, languages)
            return self._kept

    def _ranked_first(
        self, db: sqlite3.Connection, collections: Sequence[int], expression: str, limit: int
    ) -> list[tuple[int | None, float]]:
        """Return the best matches of all; those of other collections without their id."""
        return db.execute(
            f"SELECT CASE WHEN k.collection_id IN ({marks(collections)}) THEN k.id END, found.score"
            " FROM ("
            f"  SELECT rowid AS id, -{_BM25} AS score FROM chunk_fts"
            f"  WHERE chunk_fts MATCH ? ORDER BY {_BM25} LIMIT ?"
            ") found JOIN chunks k ON k.id = found.id ORDER BY found.score DESC",
            (*collections, f"{{text heading}} : ({expression})", limit),
        ).fetchall()


def owner_token(collection_id: int) -> str:
    """Return the word that stands for a collection in the full-text index."""
    return f"xoecollection{collection_id}"
