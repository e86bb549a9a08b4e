"""The documents as somebody looks through them: filtered, sorted, page by page; their totals."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, Literal

from ingest.database import marks
from ingest.full_text import owner_token
from ingest.language import fold
from ingest.listing import Listing
from ingest.loaders import HeadingSpan, PageSpan
from ingest.scope import Scope
from ingest.shelf import (
    MAX_FOLDERS,
    MAX_HEADINGS,
    MAX_LISTED,
    MAX_PASSAGES,
    LibraryDocument,
    Outline,
    Sort,
    Totals,
    Wanted,
    tidy_tag,
)
from ingest.terms import stem, words

_MAX_WORDS: Final = 12
"""Of a search; what more is typed narrows no further."""

_OF: Final = "FROM documents d JOIN collections c ON c.id = d.collection_id"
_SORTED_BY: Final[dict[Sort, str]] = {
    "name": "fold_text(d.source)",
    "added": "d.added_at",
    "size": "d.bytes",
    "kind": "IFNULL(d.kind, '')",
    "passages": "(SELECT COUNT(*) FROM chunks k WHERE k.document_id = d.id)",
    "state": "d.status",
}


class Library(Listing):
    """Reads the documents as a library shows them. Blocking."""

    def look_through(
        self, owners: Sequence[str], wanted: Wanted
    ) -> tuple[list[LibraryDocument], int]:
        """Return one page of what is wanted of ``owners``' documents, and how many there are."""
        where, values = [f"c.owner IN ({marks(owners)})"], [*owners]
        looked_for = fold(wanted.text.strip())
        named = "(instr(fold_text(d.source), ?) > 0 OR instr(fold_text(d.title), ?) > 0)"
        if looked_for:
            content = self._holding(wanted.text, owners)
            where.append(f"({named} OR d.id IN (SELECT value FROM json_each(?)))")
            values += [looked_for, looked_for, json.dumps(content)]
        if wanted.tag:
            where.append(
                "EXISTS (SELECT 1 FROM tags t WHERE t.collection_id = d.collection_id"
                " AND t.source = d.source AND t.tag = ?)"
            )
            values.append(tidy_tag(wanted.tag))
        if wanted.state:
            where.append("d.status = ?")
            values.append(wanted.state)
        if wanted.folder:
            where.append("substr(d.source, 1, length(?)) = ?")
            values += [f"{wanted.folder.rstrip('/')}/"] * 2
        of = f"{_OF} WHERE {' AND '.join(where)}"
        order = f"{_SORTED_BY[wanted.sort]} {'DESC' if wanted.descending else 'ASC'}, d.id"
        limit = max(0, min(wanted.limit, MAX_LISTED))
        with self._database.reading() as db:
            (matched,) = db.execute(f"SELECT COUNT(*) {of}", values).fetchone()
            ids = [
                row[0]
                for row in db.execute(
                    f"SELECT d.id {of} ORDER BY {order} LIMIT ? OFFSET ?",
                    (*values, limit, wanted.offset),
                )
            ]
        return self._described(ids, looked_for), matched

    def library_document(self, document_id: int, owners: Sequence[str]) -> LibraryDocument | None:
        """Return one of ``owners``' documents, or None."""
        if self.document(document_id, owners) is None:
            return None
        return next(iter(self._described([document_id], "")), None)

    def outline(self, document_id: int) -> Outline:
        """Return a document's pages, headings and passages, the first of each."""
        with self._database.reading() as db:
            characters, pages, headings = db.execute(
                "SELECT length(plain_text(text)), pages, headings FROM documents WHERE id = ?",
                (document_id,),
            ).fetchone() or (0, "[]", "[]")
            passages = db.execute(
                'SELECT id, start, "end", heading FROM chunks WHERE document_id = ? ORDER BY id'
                " LIMIT ?",
                (document_id, MAX_PASSAGES),
            ).fetchall()
        return Outline(
            characters,
            tuple(PageSpan(*page) for page in json.loads(pages)),
            tuple(HeadingSpan(*heading) for heading in json.loads(headings)[:MAX_HEADINGS]),
            tuple(passages),
        )

    def tags_of(self, document_id: int) -> list[str]:
        """Return a document's tags, sorted."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT t.tag FROM tags t JOIN documents d ON d.collection_id = t.collection_id"
                " AND d.source = t.source WHERE d.id = ? ORDER BY 1",
                (document_id,),
            )
            return [row[0] for row in rows]

    def tagged(self, owners: Sequence[str], tag: str) -> set[int]:
        """Return the ids of ``owners``' documents with a tag."""
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT d.id FROM tags t JOIN collections c ON c.id = t.collection_id"
                " JOIN documents d ON d.collection_id = t.collection_id AND d.source = t.source"
                f" WHERE c.owner IN ({marks(owners)}) AND t.tag = ?",
                (*owners, tidy_tag(tag)),
            )
            return {row[0] for row in rows}

    def library_totals(self, owners: Sequence[str]) -> Totals:
        """Return what is in the collections of ``owners``."""
        of = f"{_OF} WHERE c.owner IN ({marks(owners)})"
        with self._database.reading() as db:
            documents, size, failed = db.execute(
                "SELECT COUNT(*), IFNULL(SUM(d.bytes), 0), IFNULL(SUM(d.status = 'failed'), 0)"
                f" {of}",
                owners,
            ).fetchone()
            (passages,) = db.execute(
                "SELECT COUNT(*) FROM chunks WHERE collection_id IN"
                f" (SELECT id FROM collections WHERE owner IN ({marks(owners)}))",
                owners,
            ).fetchone()
            kinds = db.execute(
                f"SELECT IFNULL(d.kind, ''), COUNT(*), SUM(d.bytes) {of} GROUP BY 1"
                " ORDER BY 3 DESC",
                owners,
            ).fetchall()
            added = db.execute(
                f"SELECT substr(d.added_at, 1, 10), COUNT(*), SUM(d.bytes) {of}"
                " GROUP BY 1 ORDER BY 1 DESC LIMIT 366",
                owners,
            ).fetchall()
            tags = db.execute(
                "SELECT t.tag, COUNT(*) FROM tags t JOIN collections c ON c.id = t.collection_id"
                f" WHERE c.owner IN ({marks(owners)}) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 200",
                owners,
            ).fetchall()
            folders = db.execute(
                f"SELECT c.owner, folder_of(d.source), COUNT(*) {of} GROUP BY 1, 2 ORDER BY 1, 2"
                " LIMIT ?",
                (*owners, MAX_FOLDERS),
            ).fetchall()
        return Totals(
            documents,
            passages,
            size,
            failed,
            {kind: (count, of_kind) for kind, count, of_kind in kinds},
            added[::-1],
            dict(tags),
            folders,
        )

    def _described(self, ids: Sequence[int], looked_for: str) -> list[LibraryDocument]:
        """Return documents in the order of ``ids``; those that are gone by now are left out."""
        known = {one.id: one for one in self._documents(f"d.id IN ({marks(ids)})", tuple(ids))}
        with self._database.reading() as db:
            rows = db.execute(
                "SELECT d.id, d.added_at, IFNULL((SELECT k.language FROM chunks k"
                " WHERE k.document_id = d.id GROUP BY k.language ORDER BY COUNT(*) DESC LIMIT 1),"
                " ''), (SELECT json_group_array(t.tag) FROM tags t"
                " WHERE t.collection_id = d.collection_id AND t.source = d.source)"
                f" FROM documents d WHERE d.id IN ({marks(ids)})",
                ids,
            ).fetchall()
        rest = {row[0]: row[1:] for row in rows}
        found = []
        for one in (known[id_] for id_ in ids if id_ in known and id_ in rest):
            added_at, language, tags = rest[one.id]
            where: Literal["", "name", "content"] = ""
            if looked_for:
                is_named = looked_for in fold(one.name) or looked_for in fold(one.title)
                where = "name" if is_named else "content"
            tagged = tuple(sorted(json.loads(tags)))
            found.append(LibraryDocument(one, language, added_at, tagged, where))
        return found

    def _holding(self, text: str, owners: Sequence[str]) -> list[int]:
        """Return the ids of the documents with a passage that holds each word of ``text``."""
        languages = self.languages(Scope(tuple(owners)))
        forms = [
            " OR ".join(f'"{form}"' for form in dict.fromkeys(stem(word, one) for one in languages))
            for word in words(text)[:_MAX_WORDS]
        ]
        with self._database.reading() as db:
            collections = self._searched(db, owners)
            if not collections or not all(forms) or not forms:
                return []
            tokens = " OR ".join(map(owner_token, collections))
            each = " AND ".join(f"({one})" for one in forms)
            rows = db.execute(
                "SELECT DISTINCT k.document_id FROM chunk_fts f JOIN chunks k ON k.id = f.rowid"
                " WHERE chunk_fts MATCH ?",
                (f"owner_token : ({tokens}) AND {{text heading}} : ({each})",),
            )
            return [row[0] for row in rows]
