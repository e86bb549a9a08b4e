"""What somebody may see of the library, and do with it: for the page, programs and the chat.

All who come in see the shared documents and their own. Everybody rules over their own, operators
over the shared ones too.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chains.types import LIBRARY_OWNER, LOOSE, MAX_CATEGORIES, OWN, SHARED, WHOLES
from core.errors import DocumentError, QuestionError, WebPageError
from ingest.sources import FOLDER, UPLOAD, container_of, source_of
from xoe.auth.identity import Identity

if TYPE_CHECKING:
    from core.settings import Settings
    from ingest.listing import DocumentInfo
    from ingest.queued import Item, Overview
    from ingest.shelf import LibraryDocument
    from ingest.sources import DocumentReport
    from xoe.services import Services


@dataclass(frozen=True)
class Deleted:
    """What became of a wish to delete documents."""

    ids: list[int]
    refused: list[tuple[int, str]]
    """Ids, and why not, for a person."""
    undo: str
    """The token with which it can be undone; empty where nothing was deleted."""


def seen_by(me: Identity) -> tuple[str, str]:
    """Return the owners whose documents somebody sees."""
    return me.id, LIBRARY_OWNER


def why_kept(document: DocumentInfo, me: Identity, settings: Settings) -> str:
    """Return why somebody cannot delete a document, for a person; empty where they can."""
    if inside := container_of(document.origin):
        return f"{document.name} came with {inside}: delete that, and it goes too."
    if document.owner == me.id:
        return ""
    if not me.is_operator or document.owner != LIBRARY_OWNER:
        return f"{document.name} is shared: only the operator of this server can delete it."
    if document.origin == FOLDER and not (settings.library_dir / document.name).is_file():
        return f"{document.name} has another name in the library's folder: delete its file there."
    if (source := source_of(document.origin)) is not None:
        return f"{document.name} is kept in step with the source {source}: delete it there."
    for folder in filter(None, settings.folders.split(os.pathsep)):
        path = Path(folder).expanduser().absolute()
        if document.origin.startswith(f"{path}/"):
            return f"{document.name} is kept in step with a folder: delete the file in {path}."
    return ""


def is_movable(document: DocumentInfo, me: Identity) -> bool:
    """Whether somebody may move a document between their own ones and the shared ones."""
    if not me.is_operator or document.status != "ready" or container_of(document.origin):
        return False
    return document.owner == me.id or (
        document.owner == LIBRARY_OWNER and document.origin == UPLOAD
    )


async def categories(services: Services) -> dict[str, str]:
    """Return what of the library can be asked by itself, and how each is called.

    The folders at the top of the shared documents, the ``MAX_CATEGORIES`` with the most of them.
    """
    folders = await services.store.top_folders(LIBRARY_OWNER, MAX_CATEGORIES + 1)
    found = {OWN: "My own documents", SHARED: "All shared documents"}
    if "" in folders and len(folders) > 1:
        found[LOOSE] = "Shared, in no folder"
    taken = set(found.values())
    named = sorted(filter(None, folders), key=str.casefold)[:MAX_CATEGORIES]
    return found | {name: f"{name}/" if name in taken else name for name in named}


async def check_categories(services: Services, given: Sequence[str]) -> None:
    """Raise ``QuestionError`` where one of these cannot be asked, as it is not there."""
    unknown = [one for one in given if one not in WHOLES]
    if not unknown:
        return
    folders = await services.store.top_folders(LIBRARY_OWNER, -1)
    for one in unknown:
        if one not in folders:
            there = ", ".join((*sorted(filter(None, folders))[:MAX_CATEGORIES], *WHOLES))
            raise QuestionError(f"There is no category “{one}”. There are: {there}.")


async def find(services: Services, me: Identity, document_id: int) -> LibraryDocument:
    """Return a document that somebody sees. Raises ``LookupError``."""
    found = await services.store.find(document_id, seen_by(me))
    if found is None:
        raise LookupError(f"There is no document {document_id}.")
    return found


async def delete(services: Services, me: Identity, ids: Sequence[int]) -> Deleted:
    """Delete documents, with their files in the library's folder; it can be undone for a minute.

    Raises ``StoreError``, or ``DocumentError`` where a file cannot be moved.
    """
    refused: list[tuple[int, str]] = []
    wanted: dict[str, list[int]] = {}
    files: dict[int, Path] = {}
    for document_id in dict.fromkeys(ids):
        found = await services.store.find(document_id, seen_by(me))
        if found is None:
            refused.append((document_id, "It is not there any more."))
            continue
        why = await asyncio.to_thread(why_kept, found.info, me, services.settings)
        if why:
            refused.append((document_id, why))
            continue
        wanted.setdefault(found.info.owner, []).append(document_id)
        if found.info.origin == FOLDER:
            files[document_id] = services.settings.library_dir / found.info.name
    if not wanted:
        return Deleted([], refused, "")
    token, deleted = await services.store.trash.delete(wanted, files, me.id)
    services.changed.tell()
    return Deleted(deleted, refused, token)


async def undo(services: Services, me: Identity, token: str) -> list[int]:
    """Bring back what somebody has deleted; return the documents' ids.

    Raises ``DocumentError`` when it is too late.
    """
    restored = await services.store.trash.undo(token, me.id)
    services.changed.tell()
    return restored


async def move(services: Services, me: Identity, document_id: int, *, shared: bool) -> None:
    """Give an operator's own document to all, or take a shared one for oneself.

    Raises ``DocumentError`` where that cannot be.
    """
    found = await find(services, me, document_id)
    target = LIBRARY_OWNER if shared else me.id
    if found.info.owner == target:
        return
    if not is_movable(found.info, me):
        raise DocumentError(f"{found.info.name} cannot be moved from where it is.")
    await services.store.move_document(document_id, found.info.owner, target)
    services.changed.tell()


def why_untagged(document: DocumentInfo, me: Identity) -> str:
    """Return why somebody cannot tag a document, for a person; empty where they can."""
    if document.owner == me.id or me.is_operator:
        return ""
    return "Only the operator of this server can tag what is shared."


async def change_many(
    services: Services,
    me: Identity,
    ids: Sequence[int],
    *,
    add_tags: Sequence[str] = (),
    shared: bool | None = None,
) -> tuple[list[int], list[tuple[int, str]]]:
    """Add tags to documents, or ``move`` them; return which, and which not and why."""
    changed, refused = [], []
    for document_id in dict.fromkeys(ids):
        try:
            found = await find(services, me, document_id)
            if add_tags:
                if why := why_untagged(found.info, me):
                    raise DocumentError(why)
                await services.store.set_tags(document_id, [*found.tags, *add_tags])
            if shared is not None:
                await move(services, me, document_id, shared=shared)
        except LookupError:
            refused.append((document_id, "It is not there any more."))
        except DocumentError as exc:
            refused.append((document_id, str(exc)))
        else:
            changed.append(document_id)
    return changed, refused


async def read_again(services: Services, me: Identity, document_id: int) -> DocumentReport:
    """Read a document's file once more. Raises ``DocumentError`` where that cannot be."""
    info = (await find(services, me, document_id)).info
    if info.owner != me.id and not me.is_operator:
        raise DocumentError(f"{info.name} is shared: only the operator can have it read again.")
    from ingest.web_pages import is_address  # with the engines, behind the page

    if is_address(info.origin):
        return await add_page(services, me, info.origin, again=True)
    source = await services.originals.source(info)
    reports = [one async for one in services.ingestor.ingest_many([source], owner=info.owner)]
    services.changed.tell()
    return reports[-1]


async def add_file(
    services: Services, me: Identity, path: Path, name: str, *, shared: bool
) -> Item:
    """Put an uploaded file into the queue; it is moved. Raises ``StoreError``."""
    owner = LIBRARY_OWNER if shared else me.id
    keep = services.bench.queue.keep
    [item] = await asyncio.to_thread(keep, owner, [(path, name)], reader=False)
    return item


async def coming_in(services: Services, me: Identity, limit: int) -> Overview:
    """Return what comes in, as somebody sees it: their own, and what is shared."""
    return await asyncio.to_thread(services.bench.queue.overview, seen_by(me), limit)


def may_cancel(item: Item, me: Identity) -> bool:
    """Whether somebody may cancel what comes in, or have it tried again."""
    return item.owner == me.id or (me.is_operator and item.owner == LIBRARY_OWNER)


async def cancel(services: Services, me: Identity, ids: Sequence[int] | None = None) -> bool:
    """Cancel what comes in, all that somebody may where no ids are given; return whether any was.

    Raises ``StoreError``.
    """
    queue = services.bench.queue
    if ids is None:
        owners = (me.id, LIBRARY_OWNER) if me.is_operator else (me.id,)
        found = await asyncio.to_thread(queue.active, owners)
    else:
        items = await asyncio.to_thread(queue.items, ids)
        found = [one.id for one in items if may_cancel(one, me) and not one.is_ended]
    if found:
        await asyncio.to_thread(queue.cancel, found)
    return bool(found)


async def try_again(services: Services, me: Identity, item_id: int) -> Item:
    """Have what failed or was cancelled read once more; return it as it is now.

    Raises ``LookupError`` where somebody has no such item, ``DocumentError`` where it cannot be.
    """
    queue = services.bench.queue
    found = [one for one in await asyncio.to_thread(queue.items, [item_id]) if may_cancel(one, me)]
    if not found:
        raise LookupError("There is nothing of this number that came in lately.")
    if found[0].is_ended and not found[0].can_be_tried_again:
        raise DocumentError(f"{found[0].name} cannot be tried again. Add it once more.")
    await asyncio.to_thread(queue.again, item_id)
    return (await asyncio.to_thread(queue.items, [item_id]))[0]


async def add_page(
    services: Services, me: Identity, address: str, *, again: bool = False
) -> DocumentReport:
    """Take a web page into the shared library, for an operator. Raises ``DocumentError``."""
    if not me.is_operator:
        raise DocumentError("Only the operator of this server can add web pages.")
    from ingest.web_pages import ingest_pages  # with the engines, behind the page

    bench = services.bench
    fetched = ingest_pages(
        [address], services.settings, bench.store, bench.ingestor, owner=LIBRARY_OWNER, again=again
    )
    reports = [one async for one in fetched]
    services.changed.tell()
    if reports[-1].status == "failed" and reports[-1].document_id is None:
        raise WebPageError(reports[-1].reason or f"{address} could not be read.")
    return reports[-1]
