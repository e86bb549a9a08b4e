"""Documents as they are listed, and looked into."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ingest.database import damaged_row, marks
from ingest.loaders import of_content
from ingest.passages import Passages
from ingest.scope import Scope
from ingest.selection import documents_in, top_folders

DELETED: Final = "deleted:"
"""Whose documents were deleted, and can be brought back still, begins with this. No identity's
does, so they are found and counted nowhere."""


@dataclass(frozen=True)
class DocumentInfo:
    """A document as it is listed."""

    id: int
    name: str
    """The source: a path inside the library, or the name of an uploaded file."""
    title: str
    owner: str
    kind: str | None
    pages: int | None
    chunks: int
    status: Literal["ready", "failed"]
    reason: str | None
    """Why it failed or, for a ready one, what of it could not be read; for a person."""
    sha256: str
    bytes: int
    origin: str
    """Where it came from: ``folder`` (the library's), ``upload``, or the file's absolute path."""


@dataclass(frozen=True)
class Excerpt:
    """A chunk of a document for a look at what it says."""

    document_id: int
    title: str
    language: str
    heading: str
    text: str


_NOT_DELETED: Final = "collection_id IN (SELECT id FROM collections WHERE owner NOT GLOB ?)"


class Listing(Passages):
    """Reads which documents there are. Blocking."""

    def find_document(self, owner: str, source: str) -> DocumentInfo | None:
        """Return the document that ``source`` became, or None."""
        found = self._documents("c.owner = ? AND d.source = ?", (owner, source))
        return found[0] if found else None

    def find_origin(self, owner: str, origin: str) -> DocumentInfo | None:
        """Return the document that the file at ``origin`` became, or None."""
        found = self._documents("c.owner = ? AND d.origin = ?", (owner, origin))
        return found[0] if found else None

    def documents(self, owners: Sequence[str]) -> list[DocumentInfo]:
        """Return all documents of ``owners``, by owner and name."""
        return self._documents(f"c.owner IN ({marks(owners)})", tuple(owners))

    def documents_in(self, scope: Scope) -> list[DocumentInfo]:
        """Return all documents in ``scope``, by owner and name."""
        found = self.documents(scope.owners)
        if not scope.part_of:
            return found
        with self._database.reading() as db:
            collections = db.execute("SELECT id FROM collections WHERE owner = ?", (scope.part_of,))
            kept = {one for row in collections for one in documents_in(db, row[0], scope.folders)}
        return [one for one in found if one.owner != scope.part_of or one.id in kept]

    def top_folders(self, owner: str, most: int) -> dict[str, int]:
        """Return an owner's folders at the top and how many documents are in each.

        The ``most`` populous (-1: all); those in no folder count under the empty text.
        """
        with self._database.reading() as db:
            return dict(top_folders(db, owner, most))

    def still_there(self, document_ids: Sequence[int]) -> set[int]:
        """Return those of ``document_ids`` that have not been removed or replaced."""
        with self._database.reading() as db:
            rows = db.execute(
                f"SELECT id FROM documents WHERE id IN ({marks(document_ids)})", (*document_ids,)
            ).fetchall()
        return {row[0] for row in rows}

    def owners(self) -> list[str]:
        """Return everyone who has a collection."""
        with self._database.reading() as db:
            owners = [row[0] for row in db.execute("SELECT owner FROM collections")]
        return [owner for owner in owners if not owner.startswith(DELETED)]

    def names_there(self, owners: Sequence[str], names: Collection[str]) -> set[str]:
        """Return which of ``names`` are documents of ``owners``."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT d.source FROM documents d JOIN collections c ON c.id = d.collection_id"
                f" WHERE c.owner IN ({marks(owners)}) AND d.source IN ({marks(tuple(names))})",
                (*owners, *names),
            )
            return {row[0] for row in rows}

    def deleted_owners(self) -> list[str]:
        """Return under which owners there are documents that were deleted."""
        with self._database.reading() as db:
            rows = db.execute("SELECT owner FROM collections WHERE owner GLOB ?", (f"{DELETED}*",))
            return [row[0] for row in rows]

    def collection_ids(self) -> list[int]:
        """Return the ids of all collections."""
        with self._database.reading() as db:
            return [row[0] for row in db.execute("SELECT id FROM collections")]

    def excerpts(
        self, owners: Sequence[str], document_ids: Sequence[int], each: int
    ) -> list[Excerpt]:
        """Return the first ``each`` chunks of some of ``owners``' documents, in the ids' order."""
        with self._database.reading() as db:
            rows = [
                row
                for document_id in document_ids
                for row in db.execute(
                    "SELECT d.id, d.title, k.language, k.heading, k.text FROM chunks k"
                    " JOIN documents d ON d.id = k.document_id"
                    " JOIN collections c ON c.id = d.collection_id"
                    f" WHERE d.id = ? AND c.owner IN ({marks(owners)}) ORDER BY k.id LIMIT ?",
                    (document_id, *owners, each),
                )
            ]
        return [Excerpt(*row) for row in rows]

    def statuses(self) -> dict[str, int]:
        """Return how many documents there are of each status, over all owners."""
        with self._database.reading() as db:
            rows = db.execute(
                f"SELECT status, COUNT(*) FROM documents WHERE {_NOT_DELETED} GROUP BY status",
                (f"{DELETED}*",),
            ).fetchall()
        return dict(rows)

    def totals(self) -> tuple[int, int]:
        """Return how many documents are ready and how many chunks there are, over all owners."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT (SELECT COUNT(*) FROM documents WHERE status = 'ready'"
                f" AND {_NOT_DELETED}), (SELECT COUNT(*) FROM chunks WHERE {_NOT_DELETED})",
                (f"{DELETED}*",) * 2,
            ).fetchone()
        return row[0], row[1]

    def document(self, document_id: int, owners: Sequence[str]) -> DocumentInfo | None:
        """Return the document of this id, if it is one of ``owners``'."""
        found = self._documents(
            f"d.id = ? AND c.owner IN ({marks(owners)})", (document_id, *owners)
        )
        return found[0] if found else None

    def piece(self, document_id: int, owners: Sequence[str], start: int, end: int) -> str:
        """Return the characters ``start`` to ``end`` of a document's text; empty where none are."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT substr(plain_text(d.text), ?, ?) FROM documents d JOIN collections c"
                f" ON c.id = d.collection_id WHERE d.id = ? AND c.owner IN ({marks(owners)})",
                (start + 1, end - start, document_id, *owners),
            ).fetchone()
        if row and row[0] is None:
            raise damaged_row(self._database.path, "document's text")
        return row[0] if row else ""

    def place_of(self, document_id: int, owners: Sequence[str], text: str) -> int | None:
        """Return where ``text`` stands first in a document's text, or None."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT instr(plain_text(d.text), ?) FROM documents d JOIN collections c"
                f" ON c.id = d.collection_id WHERE d.id = ? AND c.owner IN ({marks(owners)})",
                (text, document_id, *owners),
            ).fetchone()
        return row[0] - 1 if row and row[0] else None

    def content_hashes(self) -> set[str]:
        """Return the hashes of the files that documents were read from, over all owners."""
        with self._database.reading() as db:
            rows = db.execute("SELECT DISTINCT sha256 FROM documents").fetchall()
        return {of_content(row[0]) for row in rows}

    def kept_bytes(self, owner: str) -> int:
        """Return how large the files of an owner's documents are that are kept."""
        with self._database.reading() as db:
            row = db.execute(
                "SELECT COALESCE(SUM(d.bytes), 0) FROM documents d JOIN collections c"
                " ON c.id = d.collection_id WHERE c.owner = ?"
                " AND (d.origin = 'upload' OR d.origin LIKE 'in:%')",
                (owner,),
            ).fetchone()
        return int(row[0])

    def _documents(self, where: str, values: tuple[object, ...]) -> list[DocumentInfo]:
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT d.id, d.source, d.title, c.owner, d.kind,"
                " NULLIF(json_array_length(d.pages), 0),"
                " (SELECT COUNT(*) FROM chunks k WHERE k.document_id = d.id),"
                " d.status, d.reason, d.sha256, d.bytes, d.origin"
                " FROM documents d JOIN collections c ON c.id = d.collection_id"
                f" WHERE {where} ORDER BY c.owner, d.source",
                values,
            ).fetchall()
        return [DocumentInfo(*row) for row in rows]
