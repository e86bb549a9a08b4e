"""What of a collection lies in which of its folders at the top."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ingest.database import marks
from ingest.vectors import Ids

KEPT_SELECTIONS: Final = 8
"""Selections that are held until their collection changes; 800 KB for 100,000 passages."""

# What an archive or a mail at the top brought lies in no folder, though its name has a slash.
_TOP: Final = """
CASE WHEN instr(d.source, '/') = 0 OR EXISTS (
    SELECT 1 FROM documents o WHERE o.collection_id = d.collection_id
    AND o.source = substr(d.source, 1, instr(d.source, '/') - 1)
) THEN '' ELSE substr(d.source, 1, instr(d.source, '/') - 1) END
"""


@dataclass(frozen=True)
class Selection:
    """What of one collection lies in some folders."""

    documents: str
    """Their ids as a list in JSON, which SQL takes as one value."""
    chunks: Ids
    """The ids of their chunks, ascending."""
    languages: dict[str, int]
    """Chunks of each language."""


class Selections:
    """Looks up what lies in folders. Thread-safe; ``db`` is inside a transaction."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, int, tuple[str, ...]], Selection] = OrderedDict()

    def select(
        self, db: sqlite3.Connection, collection: int, folders: tuple[str, ...]
    ) -> Selection:
        """Return what of a collection lies in ``folders``."""
        (revision,) = db.execute(
            "SELECT revision FROM collections WHERE id = ?", (collection,)
        ).fetchone()
        key = (collection, revision, folders)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = _selected(db, collection, folders)
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > KEPT_SELECTIONS:
                self._kept.popitem(last=False)
        return found


def documents_in(db: sqlite3.Connection, collection: int, folders: Sequence[str]) -> list[int]:
    """Return the ids of a collection's documents in ``folders``."""
    rows = db.execute(
        f"SELECT d.id FROM documents d WHERE d.collection_id = ? AND {_TOP} IN ({marks(folders)})",
        (collection, *folders),
    )
    return [row[0] for row in rows]


def top_folders(db: sqlite3.Connection, owner: str, most: int) -> list[tuple[str, int]]:
    """Return an owner's folders at the top and how many documents are in each, by that number."""
    return db.execute(
        f"SELECT {_TOP} AS top, COUNT(*) FROM documents d JOIN collections c"
        " ON c.id = d.collection_id WHERE c.owner = ? GROUP BY top ORDER BY 2 DESC, 1 LIMIT ?",
        (owner, most),
    ).fetchall()


def _selected(db: sqlite3.Connection, collection: int, folders: tuple[str, ...]) -> Selection:
    documents = json.dumps(documents_in(db, collection, folders))
    rows = db.execute(
        "SELECT id FROM chunks WHERE document_id IN (SELECT value FROM json_each(?)) ORDER BY id",
        (documents,),
    )
    chunks = np.array([row[0] for row in rows], dtype=np.int64)
    held = set(chunks.tolist())
    # Of the whole collection, from an index: the rows themselves are as long as their vectors.
    languages = Counter(
        language
        for chunk_id, language in db.execute(
            "SELECT id, language FROM chunks WHERE collection_id = ?", (collection,)
        )
        if chunk_id in held
    )
    return Selection(documents, chunks, dict(languages))
