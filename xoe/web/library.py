"""The library over HTTP: what is in it, and what may be done with it. Its own page asks these."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Request
from pydantic import Field

from chains.types import LIBRARY_OWNER
from ingest.loaders.kinds import unit_of
from ingest.shelf import KEPT_S, MAX_LISTED, LibraryDocument, Sort, Wanted
from xoe import library
from xoe.auth.identity import Identity, identity_of
from xoe.web.health import startup_of
from xoe.web.library_models import (
    MAX_ID,
    AddRequest,
    ChangeRequest,
    ChangeResponse,
    DayTotal,
    DeleteRequest,
    DeleteResponse,
    DocumentId,
    FolderTotal,
    HeadingEntry,
    KindTotal,
    LibraryDetail,
    LibraryEntry,
    LibraryPage,
    LibraryTotals,
    MoveRequest,
    PageEntry,
    PassageEntry,
    Refused,
    TagsRequest,
    TextPart,
    UndoRequest,
    UndoResponse,
)
from xoe.web.problems import Problem

if TYPE_CHECKING:
    from xoe.services import Services

router = APIRouter()

MAX_TEXT_CHARS = 50_000

_Short = Annotated[str, Field(max_length=400)]
_NOT_THERE: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "There is no such document, or none to be seen."},
}


@router.get("/library", tags=["library"])
async def look_through(
    request: Request,
    q: _Short = "",
    owner: Literal["all", "own", "shared"] = "all",
    tag: _Short = "",
    state: Literal["", "ready", "failed"] = "",
    folder: _Short = "",
    sort: Sort = "name",
    order: Literal["asc", "desc"] = "asc",
    offset: Annotated[int, Field(ge=0, le=10_000_000)] = 0,
    limit: Annotated[int, Field(ge=1, le=MAX_LISTED)] = 50,
) -> LibraryPage:
    """List the shared documents and one's own; `q` looks in names, titles and texts."""
    services, me = await asked(request)
    seen = library.seen_by(me)
    owners = {"all": seen, "own": (me.id,), "shared": (LIBRARY_OWNER,)}[owner]
    wanted = Wanted(
        text=q,
        tag=tag,
        state=state,
        folder=folder,
        sort=sort,
        descending=order == "desc",
        offset=offset,
        limit=limit,
    )
    (found, matched), totals = await asyncio.gather(
        services.store.look_through(owners, wanted), services.store.totals_of(seen)
    )
    entries = await asyncio.to_thread(lambda: [_entry(one, services, me) for one in found])
    return LibraryPage(
        documents=[LibraryEntry(**entry) for entry in entries],
        matched=matched,
        may_add=me.may_upload,
        may_share=me.is_operator,
        may_add_pages=me.is_operator and services.settings.web_pages,
        totals=LibraryTotals(
            documents=totals.documents,
            passages=totals.passages,
            bytes=totals.bytes,
            failed=totals.failed,
            by_kind={
                kind: KindTotal(documents=count, bytes=size)
                for kind, (count, size) in totals.by_kind.items()
            },
            added=[
                DayTotal(day=day, documents=count, bytes=size) for day, count, size in totals.added
            ],
            tags=totals.tags,
            folders=[
                FolderTotal(own=whose == me.id, folder=path, documents=count)
                for whose, path, count in totals.folders
            ],
        ),
    )


@router.patch("/library", tags=["library"])
async def change_many(request: Request, body: ChangeRequest) -> ChangeResponse:
    """Give documents more tags, share them with all, or take them back."""
    services, me = await asked(request)
    shared = None if body.to is None else body.to == "shared"
    changed, refused = await library.change_many(
        services, me, body.ids, add_tags=body.tags, shared=shared
    )
    return ChangeResponse(changed=changed, refused=_refused(refused))


@router.post("/library/delete", tags=["library"])
async def delete_many(request: Request, body: DeleteRequest) -> DeleteResponse:
    """Delete documents: no question finds them from now on, and in a minute they are gone."""
    return await _deleted(request, body.ids)


@router.post("/library/undo", tags=["library"])
async def undo(request: Request, body: UndoRequest) -> UndoResponse:
    """Bring back what was deleted within the last minute."""
    services, me = await asked(request)
    return UndoResponse(restored=await library.undo(services, me, body.undo))


@router.post("/library/pages", tags=["library"])
async def add_page(request: Request, body: AddRequest) -> LibraryEntry:
    """Fetch a web page into the shared library; for operators, where that is switched on."""
    services, me = await asked(request)
    if not me.is_operator:
        raise HTTPException(403, "Only the operator of this server can add web pages.")
    report = await library.add_page(services, me, body.address)
    return await _now(services, me, report.document_id or 0)


@router.get("/library/{document_id}", tags=["library"], responses=_NOT_THERE)
async def detail(request: Request, document_id: DocumentId) -> LibraryDetail:
    """Return a document with its headings and passages."""
    services, me, found = await _found(request, document_id)
    outline = await services.store.outline(document_id)
    return LibraryDetail(
        **await asyncio.to_thread(_entry, found, services, me),
        origin=found.info.origin,
        characters=outline.characters,
        headings=[HeadingEntry.model_validate(one) for one in outline.headings],
        passages_in_order=[
            PassageEntry(id=id_, start=start, end=end, heading=heading)
            for id_, start, end, heading in outline.passages
        ],
    )


@router.get("/library/{document_id}/text", tags=["library"], responses=_NOT_THERE)
async def text(
    request: Request,
    document_id: DocumentId,
    start: Annotated[int, Field(ge=0, le=MAX_ID)] = 0,
    length: Annotated[int, Field(ge=1, le=MAX_TEXT_CHARS)] = MAX_TEXT_CHARS,
) -> TextPart:
    """Return a part of a document's text."""
    services, me, _ = await _found(request, document_id)
    start = min(start, 2**53)
    owners = library.seen_by(me)
    part = await services.store.piece(document_id, owners, start, start + length)
    outline = await services.store.outline(document_id)
    end = start + len(part)
    pages = [page for page in outline.pages if page.end > start and page.start < end]
    return TextPart(
        text=part,
        start=start,
        end=end,
        characters=outline.characters,
        pages=[PageEntry.model_validate(page) for page in pages],
    )


@router.patch("/library/{document_id}", tags=["library"], responses=_NOT_THERE)
async def change(request: Request, document_id: DocumentId, body: TagsRequest) -> LibraryEntry:
    """Give a document tags, instead of those that it has."""
    services, me, found = await _found(request, document_id)
    if why := library.why_untagged(found.info, me):
        raise HTTPException(403, why)
    await services.store.set_tags(document_id, body.tags)
    return await _now(services, me, document_id)


@router.post("/library/{document_id}/move", tags=["library"], responses=_NOT_THERE)
async def move(request: Request, document_id: DocumentId, body: MoveRequest) -> LibraryEntry:
    """Share one of the operator's documents with all, or take it back."""
    services, me, _ = await _found(request, document_id)
    await library.move(services, me, document_id, shared=body.to == "shared")
    return await _now(services, me, document_id)


@router.post("/library/{document_id}/reindex", tags=["library"], responses=_NOT_THERE)
async def reindex(request: Request, document_id: DocumentId) -> LibraryEntry:
    """Read a document's file once more, and wait until that is done."""
    services, me, found = await _found(request, document_id)
    report = await library.read_again(services, me, document_id)
    return await _now(services, me, report.document_id or found.info.id)


@router.delete("/library/{document_id}", tags=["library"], responses=_NOT_THERE)
async def delete(request: Request, document_id: DocumentId) -> DeleteResponse:
    """Delete one document; it can be brought back for a minute."""
    await _found(request, document_id)
    return await _deleted(request, [document_id])


async def asked(request: Request) -> tuple[Services, Identity]:
    """Return the services, waiting for them, and who asks."""
    return await startup_of(request).wait(), identity_of(request.scope)


async def _found(request: Request, document_id: int) -> tuple[Services, Identity, LibraryDocument]:
    services, me = await asked(request)
    try:
        return services, me, await library.find(services, me, document_id)
    except LookupError as exc:
        raise HTTPException(404, str(exc)) from exc


async def _now(services: Services, me: Identity, document_id: int) -> LibraryEntry:
    try:
        found = await library.find(services, me, document_id)
    except LookupError as exc:  # deleted, or replaced, meanwhile
        raise HTTPException(404, str(exc)) from exc
    return LibraryEntry(**await asyncio.to_thread(_entry, found, services, me))


async def _deleted(request: Request, ids: list[int]) -> DeleteResponse:
    services, me = await asked(request)
    deleted = await library.delete(services, me, ids)
    return DeleteResponse(
        deleted=deleted.ids,
        refused=_refused(deleted.refused),
        undo=deleted.undo,
        seconds=round(KEPT_S),
    )


def _refused(refused: list[tuple[int, str]]) -> list[Refused]:
    return [Refused(id=id_, reason=reason) for id_, reason in refused]


def _entry(found: LibraryDocument, services: Services, me: Identity) -> dict[str, Any]:
    """Return a document as it is sent. Blocking: it looks for files."""
    info, settings = found.info, services.settings
    kept = library.why_kept(info, me, settings)
    original = services.originals.is_there(info)
    return {
        "id": info.id,
        "name": info.name,
        "title": info.title,
        "kind": info.kind,
        "bytes": info.bytes,
        "passages": info.chunks,
        "pages": info.pages,
        "unit": unit_of(info.name),
        "language": found.language,
        "added_at": found.added_at,
        "state": info.status,
        "reason": info.reason,
        "own": info.owner == me.id,
        "tags": list(found.tags),
        "removable": not kept,
        "kept_because": kept,
        "with_file": not kept and info.origin == "folder" and original,
        "movable": library.is_movable(info, me),
        "original": original,
        "found": found.found,
    }
