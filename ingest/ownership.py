"""Documents by their owner: given away, set aside, brought back, tagged, removed with them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from core.errors import DocumentError, StoreError
from ingest.digests import COLLECTION_COLUMNS, DOCUMENT_COLUMNS, CollectionRow, DocumentRow, digest
from ingest.full_text import owner_token
from ingest.library import Library
from ingest.moving import all_inside, move
from ingest.passages import Fingerprint, mending
from ingest.shelf import MAX_TAGS, tidy_tag


class Ownership(Library):
    """Writes whose a document is. Blocking; each call is one transaction."""

    @mending
    def move_document(self, document_id: int, owner: str, to_owner: str) -> bool:
        """Give a document of ``owner``'s that could be read to ``to_owner``; False if none is.

        What was inside of it goes along. Raises ``DocumentError`` when that one has a document of
        the same name.
        """
        with self._database.writing() as db:
            row = db.execute(
                "SELECT d.collection_id, d.source FROM documents d JOIN collections c"
                " ON c.id = d.collection_id WHERE d.id = ? AND c.owner = ?"
                " AND d.status = 'ready'",
                (document_id, owner),
            ).fetchone()
            if row is None:
                return False
            before, source = row
            self._move(db, document_id, before, source, to_owner)
            return True

    @mending
    def set_aside(self, document_ids: Sequence[int], owner: str, aside: str) -> list[int]:
        """Give documents of ``owner``'s, also failed ones, to ``aside``; return which there were.

        What was inside of them goes along.
        """
        moved = []
        with self._database.writing() as db:
            for document_id in document_ids:
                row = db.execute(
                    "SELECT d.collection_id, d.source FROM documents d JOIN collections c"
                    " ON c.id = d.collection_id WHERE d.id = ? AND c.owner = ?",
                    (document_id, owner),
                ).fetchone()
                if row is not None:
                    before, source = row
                    self._move(db, document_id, before, source, aside)
                    moved.append(document_id)
        return moved

    @mending
    def bring_back(self, aside: str, owner: str) -> list[int]:
        """Give all documents of ``aside`` to ``owner`` again; return which.

        Those stay whose name another document has got meanwhile.
        """
        moved = []
        with self._database.writing() as db:
            target = self._collection_id(db, owner)
            rows = db.execute(
                "SELECT d.id, d.collection_id, d.source FROM documents d JOIN collections c"
                " ON c.id = d.collection_id WHERE c.owner = ? AND NOT EXISTS (SELECT 1"
                " FROM documents o WHERE o.collection_id = ? AND o.source = d.source)",
                (aside, target),
            ).fetchall()
            for document_id, before, source in rows:
                self._move(db, document_id, before, source, owner, alone=True)
                moved.append(document_id)
        return moved

    @mending
    def set_tags(self, document_id: int, tags: Sequence[str]) -> None:
        """Give a document these tags instead of those that it has. Raises ``DocumentError``."""
        kept = sorted({tidy_tag(tag) for tag in tags} - {""})
        if len(kept) > MAX_TAGS:
            raise DocumentError(f"A document can have {MAX_TAGS} tags at most.")
        with self._database.writing() as db:
            row = db.execute(
                "SELECT collection_id, source FROM documents WHERE id = ?", (document_id,)
            ).fetchone()
            if row is None:
                return
            db.execute("DELETE FROM tags WHERE collection_id = ? AND source = ?", row)
            db.executemany(
                "INSERT INTO tags(collection_id, source, tag) VALUES (?, ?, ?)",
                [(*row, tag) for tag in kept],
            )

    @mending
    def delete_owner(self, owner: str) -> None:
        """Remove everything that belongs to ``owner``."""
        with self._database.writing() as db:
            row = db.execute("SELECT id FROM collections WHERE owner = ?", (owner,)).fetchone()
            if row is not None:
                db.execute("DELETE FROM collections WHERE id = ?", row)

    def _move(
        self,
        db: sqlite3.Connection,
        document_id: int,
        before: int,
        source: str,
        to_owner: str,
        *,
        alone: bool = False,
    ) -> None:
        """Write a document to ``to_owner``'s collection; unless ``alone``, what was inside too."""
        target = self._collection_id(db, to_owner)
        inside = [] if alone else [one for one, _ in all_inside(db, before, source)]
        for moved in (document_id, *inside):
            values = db.execute(
                f"SELECT digest, {DOCUMENT_COLUMNS} FROM documents WHERE id = ?", (moved,)
            ).fetchone()
            self._compare("document", *values)
            document = DocumentRow(*values[1:])
            move(db, moved, document, collection=target, token=owner_token(target))
        bump(db, before)
        bump(db, target)

    def _collection_id(self, db: sqlite3.Connection, owner: str) -> int:
        """Return the owner's collection, made if need be."""
        mine = self.fingerprint
        found = db.execute(
            f"SELECT digest, {COLLECTION_COLUMNS} FROM collections WHERE owner = ?", (owner,)
        ).fetchone()
        if found is not None:
            self._compare("collection", *found)
            known = CollectionRow(*found[1:])
            if made_by(known) != mine:
                raise StoreError(
                    "The index is being rebuilt for another embedder; try again in a moment."
                )
            return known.id
        cursor = db.execute(
            "INSERT INTO collections(owner, embedder, dimension, splitter) VALUES (?, ?, ?, ?)",
            (owner, mine.embedder, mine.dimension, mine.splitter),
        )
        assert cursor.lastrowid is not None  # noqa: S101 - an INSERT always sets it
        made = CollectionRow(cursor.lastrowid, owner, mine.embedder, mine.dimension, mine.splitter)
        db.execute("UPDATE collections SET digest = ? WHERE id = ?", (digest(*made), made.id))
        return made.id


def bump(db: sqlite3.Connection, collection_id: int) -> None:
    """Count a change of a collection, by which its vector index learns that it is behind."""
    db.execute("UPDATE collections SET revision = revision + 1 WHERE id = ?", (collection_id,))


def made_by(collection: CollectionRow) -> Fingerprint:
    """Return what made a collection's passages and vectors."""
    return Fingerprint(collection.embedder, collection.dimension, collection.splitter)
