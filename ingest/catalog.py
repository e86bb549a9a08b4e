"""The documents as the page, the server and the command line see them: async, by owner."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import structlog

from core.errors import StoreError
from ingest.scope import Scope
from ingest.shelf import LibraryDocument, Outline, Totals, Wanted
from ingest.store import DocumentInfo, Excerpt, Store, collect_originals
from ingest.trash import Trash

if TYPE_CHECKING:
    from ingest.incoming import IncomingQueue
    from ingest.vector_index import VectorIndexes

log = structlog.get_logger(__name__)


class Catalog:
    """Async access to the store's lists."""

    def __init__(
        self,
        store: Store,
        indexes: VectorIndexes | None = None,
        queue: IncomingQueue | None = None,
    ) -> None:
        """Ask ``store``, each time in a thread; ``indexes`` are made of it, where there are any.

        ``queue`` forgets what is deleted.
        """
        self._store = store
        self._indexes = indexes
        self._queue = queue
        self.trash = Trash(store, indexes, store.folder / "trash", queue=queue)

    async def documents(self, owners: Sequence[str]) -> list[DocumentInfo]:
        """Return all documents of ``owners``, failed ones too, by owner and name."""
        return await asyncio.to_thread(self._store.documents, owners)

    async def documents_in(self, scope: Scope) -> list[DocumentInfo]:
        """Return all documents in ``scope``, failed ones too, by owner and name."""
        return await asyncio.to_thread(self._store.documents_in, scope)

    async def top_folders(self, owner: str, most: int) -> dict[str, int]:
        """Return the most populous of an owner's folders at the top; see ``Listing``."""
        return await asyncio.to_thread(self._store.top_folders, owner, most)

    async def look_through(
        self, owners: Sequence[str], wanted: Wanted
    ) -> tuple[list[LibraryDocument], int]:
        """Return one page of what is wanted of ``owners``' documents, and how many there are."""
        return await asyncio.to_thread(self._store.look_through, owners, wanted)

    async def find(self, document_id: int, owners: Sequence[str]) -> LibraryDocument | None:
        """Return one of ``owners``' documents, or None."""
        return await asyncio.to_thread(self._store.library_document, document_id, owners)

    async def outline(self, document_id: int) -> Outline:
        """Return a document's pages, headings and passages."""
        return await asyncio.to_thread(self._store.outline, document_id)

    async def piece(self, document_id: int, owners: Sequence[str], start: int, end: int) -> str:
        """Return the characters ``start`` to ``end`` of a document's text."""
        return await asyncio.to_thread(self._store.piece, document_id, owners, start, end)

    async def set_tags(self, document_id: int, tags: Sequence[str]) -> None:
        """Give a document these tags instead of those that it has. Raises ``DocumentError``."""
        await asyncio.to_thread(self._store.set_tags, document_id, tags)

    async def totals_of(self, owners: Sequence[str]) -> Totals:
        """Return what is in the collections of ``owners``."""
        return await asyncio.to_thread(self._store.library_totals, owners)

    async def excerpts(
        self, owners: Sequence[str], document_ids: Sequence[int], each: int
    ) -> list[Excerpt]:
        """Return the first ``each`` chunks of some of ``owners``' documents, in the ids' order."""
        return await asyncio.to_thread(self._store.excerpts, owners, document_ids, each)

    async def delete_document(self, document_id: int, owner: str) -> bool:
        """Remove a document of ``owner``'s, and what it left; False if there is none."""
        found = await asyncio.to_thread(self._store.library_document, document_id, (owner,))
        if not await asyncio.to_thread(self._store.delete_document, document_id, owner):
            return False
        if found is not None:
            await self._forget(owner, [found.info.name])
        await self.scrub(owner)
        return True

    async def delete_named(self, name: str, owner: str) -> None:
        """Remove the document ``name`` of ``owner``'s, if there is one."""

        def delete() -> None:
            found = self._store.find_document(owner, name)
            if found is not None:
                self._store.delete_document(found.id, owner)

        await asyncio.to_thread(delete)
        await self._forget(owner, [name])

    async def is_there(self, name: str, owner: str) -> bool:
        """Return whether ``owner`` has a document ``name`` that could be read."""
        found = await asyncio.to_thread(self._store.find_document, owner, name)
        return found is not None and found.status == "ready"

    async def names_there(self, owners: Sequence[str], names: Collection[str]) -> set[str]:
        """Return which of ``names`` are documents of ``owners``."""
        return await asyncio.to_thread(self._store.names_there, owners, names)

    async def scrub(self, owner: str) -> None:
        """Take what was deleted of ``owner``'s out of the words and the saved vectors.

        Raises ``StoreError``.
        """
        await asyncio.to_thread(self._store.forget_deleted)
        if self._indexes is not None:
            try:
                await asyncio.to_thread(self._indexes.scrub, owner)
            except OSError as exc:
                raise StoreError("The vectors cannot be saved just now.") from exc

    async def move_document(self, document_id: int, owner: str, to_owner: str) -> bool:
        """Give a document of ``owner``'s to ``to_owner``; False if there is none.

        Raises ``DocumentError`` when that one has a document of the same name.
        """
        return await asyncio.to_thread(self._store.move_document, document_id, owner, to_owner)

    async def owners(self) -> list[str]:
        """Return everyone who has a collection."""
        return await asyncio.to_thread(self._store.owners)

    async def delete_owner(self, owner: str) -> None:
        """Remove everything that belongs to ``owner``, the saved vectors too."""
        await self._forget(owner, None)
        await asyncio.to_thread(self._store.delete_owner, owner)
        await self.scrub(owner)

    async def give_waiting(self, owner: str, heir: str) -> None:
        """Give what of ``owner``'s waits to be read to ``heir``. Raises ``StoreError``."""
        if self._queue is not None:
            await asyncio.to_thread(self._queue.give, owner, heir)

    async def _forget(self, owner: str, names: Sequence[str] | None) -> None:
        if self._queue is not None:
            await asyncio.to_thread(self._queue.forget, owner, names)

    async def look_after(self) -> None:
        """Check the database where that is due, and empty the trash in time, for ever."""
        await self.check_behind()
        await self.trash.run()

    async def check_behind(self) -> None:
        """Check a database that was too large to be checked before it was served.

        Damage is logged; after it every call raises ``StoreDamagedError``. What a program that was
        killed has left of deleted documents' files is removed.
        """
        try:
            if not await asyncio.to_thread(lambda: self._store.needs_check):
                await asyncio.to_thread(self._store.check)
            await asyncio.to_thread(collect_originals, self._store)
        except StoreError as exc:
            log.error("store.check_failed", error=str(exc))

    async def totals(self) -> tuple[int, int]:
        """Return how many documents are ready and how many passages there are, over all owners."""
        return await asyncio.to_thread(self._store.totals)

    async def statuses(self) -> dict[str, int]:
        """Return how many documents there are of each status, over all owners."""
        return await asyncio.to_thread(self._store.statuses)
