"""What was deleted, while it can be brought back: a minute, or until the server starts again.

A deleted document belongs to nobody who asks: it is moved to a collection whose owner no identity
can have, so neither a question nor a list finds it, and an undo moves it back as it was, vectors
and all. A file of a watched folder goes aside with its document, or it would be read again.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from core.errors import DocumentError, StoreError
from ingest.listing import DELETED
from ingest.shelf import KEPT_S

if TYPE_CHECKING:
    from ingest.incoming import IncomingQueue
    from ingest.store import Store
    from ingest.vector_index import VectorIndexes

MAX_KEPT: Final = 100
"""Deletions that can be undone at a time; of more the oldest is over at once."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Deletion:
    whose: str
    until: float
    owners: tuple[str, ...]
    files: tuple[tuple[Path, Path], ...]
    """Where each file lay, and where it lies now."""


class Trash:
    """Deletes documents so that it can be undone. For one event loop."""

    def __init__(
        self,
        store: Store,
        indexes: VectorIndexes | None,
        folder: Path,
        *,
        queue: IncomingQueue | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``folder`` takes the files; ``queue`` forgets them; ``clock`` returns seconds."""
        self._queue = queue
        self._store = store
        self._indexes = indexes
        self._folder = folder
        self._clock = clock
        self._deletions: OrderedDict[str, _Deletion] = OrderedDict()
        self._turn = asyncio.Lock()

    async def delete(
        self,
        documents: Mapping[str, Sequence[int]],
        files: Mapping[int, Path],
        whose: str,
    ) -> tuple[str, list[int]]:
        """Delete documents; return the token with which ``whose`` can undo it, and their ids.

        ``documents``: ids by owner. ``files``: the file that goes with a document, by its id.
        Raises ``StoreError``, or ``DocumentError`` where a file cannot be moved; then all is as
        it was.
        """
        token = secrets.token_urlsafe(16)
        async with self._turn:
            work = asyncio.to_thread(self._set_aside, token, documents, files)
            deleted, moved = await asyncio.shield(work)
            self._deletions[token] = _Deletion(
                whose, self._clock() + KEPT_S, tuple(documents), moved
            )
        while len(self._deletions) > MAX_KEPT:
            await self._finish(next(iter(self._deletions)))
        return token, deleted

    async def undo(self, token: str, whose: str) -> list[int]:
        """Bring back what was deleted; return the documents' ids.

        Raises ``DocumentError`` when it is too late.
        """
        async with self._turn:
            deletion = self._deletions.get(token)
            if deletion is None or deletion.whose != whose:
                raise DocumentError("It is too late to undo this: the documents are deleted.")
            del self._deletions[token]
            return await asyncio.shield(asyncio.to_thread(self._bring_back, token, deletion))

    async def run(self) -> None:
        """Finish deletions when their time is over, for ever; those of an earlier run at once."""
        await asyncio.to_thread(self._clear)
        while True:
            await asyncio.sleep(1.0)
            now = self._clock()
            for token in [key for key, one in self._deletions.items() if one.until <= now]:
                try:
                    await self._finish(token)
                except (StoreError, OSError) as exc:  # the next start is another try
                    log.error("trash.not_emptied", error=str(exc))

    async def _finish(self, token: str) -> None:
        async with self._turn:
            deletion = self._deletions.pop(token, None)
            if deletion is not None:
                await asyncio.shield(asyncio.to_thread(self._empty, token, deletion.owners))

    def _set_aside(
        self, token: str, documents: Mapping[str, Sequence[int]], files: Mapping[int, Path]
    ) -> tuple[list[int], tuple[tuple[Path, Path], ...]]:
        deleted: list[int] = []
        moved: list[tuple[Path, Path]] = []
        try:
            for owner, ids in documents.items():
                self._forget(owner, ids)
                deleted += self._store.set_aside(ids, owner, _aside(token, owner))
            for number, path in enumerate(files[one] for one in deleted if one in files):
                target = self._folder / token / str(number)
                target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                with suppress(FileNotFoundError):  # somebody else has deleted it
                    shutil.move(path, target)
                    moved.append((path, target))
        except (OSError, StoreError) as exc:
            self._restore(token, documents, moved)
            if isinstance(exc, StoreError):
                raise
            raise DocumentError(
                f"A file in the folder cannot be deleted ({exc.strerror}), so nothing was."
            ) from exc
        return deleted, tuple(moved)

    def _forget(self, owner: str, ids: Sequence[int]) -> None:
        if self._queue is not None:
            found = (self._store.library_document(one, (owner,)) for one in ids)
            self._queue.forget(owner, [one.info.name for one in found if one is not None])

    def _bring_back(self, token: str, deletion: _Deletion) -> list[int]:
        return self._restore(token, deletion.owners, deletion.files)

    def _restore(
        self,
        token: str,
        owners: Iterable[str],
        files: Sequence[tuple[Path, Path]],
    ) -> list[int]:
        for path, kept in files:  # first, so that whoever watches the folder finds it there
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(kept, path)
        restored: list[int] = []
        for owner in owners:
            aside = _aside(token, owner)
            restored += self._store.bring_back(aside, owner)
            self._store.delete_owner(aside)  # what another document has taken the name of
        shutil.rmtree(self._folder / token, ignore_errors=True)
        return restored

    def _empty(self, token: str, owners: Sequence[str]) -> None:
        for owner in owners:
            self._store.delete_owner(_aside(token, owner))
        shutil.rmtree(self._folder / token, ignore_errors=True)
        self._scrub(owners)

    def _clear(self) -> None:
        """Finish what an earlier run of the server left."""
        shutil.rmtree(self._folder, ignore_errors=True)
        left = self._store.deleted_owners()
        for owner in left:
            self._store.delete_owner(owner)
        if left:
            self._scrub({owner.removeprefix(DELETED).partition(":")[2] for owner in left})

    def _scrub(self, owners: Iterable[str]) -> None:
        self._store.forget_deleted()
        if self._indexes is not None:
            for owner in owners:
                self._indexes.scrub(owner)


def _aside(token: str, owner: str) -> str:
    return f"{DELETED}{token}:{owner}"
