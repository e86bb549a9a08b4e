"""What comes in, over HTTP: how far each file is, cancelling it, and trying it again."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, Field

from ingest.loaders.kinds import unit_of
from xoe import library
from xoe.auth.identity import Identity
from xoe.web.library import asked
from xoe.web.library_models import DocumentId
from xoe.web.problems import Problem
from xoe.web.uploads import QUEUE_PATH, receive_into_library

if TYPE_CHECKING:
    from ingest.queued import Item
    from xoe.services import Services

router = APIRouter()

MAX_SHOWN = 500
_NOT_THERE: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "Nothing of this number comes in, or came in lately."},
}


class IncomingItem(BaseModel):
    """A file that comes in, or came in lately."""

    id: int
    name: str
    own: bool
    bytes: int
    state: Literal["waiting", "reading", "embedding", "ready", "failed", "cancelled"]
    stage: str = Field(description="reading, listening, embedding or saving; empty in between.")
    done: int = Field(description="Of its stage: pages, seconds of a recording, or passages.")
    total: int
    unit: str = Field(description="What done and total count.")
    passages: int
    reason: str = Field(description="Why it failed, or what of it could not be read.")
    added_at: float = Field(description="Seconds since 1970.")
    ended_at: float | None
    seconds_left: float | None = Field(description="Of its stage, at its pace so far.")
    cancellable: bool
    retriable: bool


class Incoming(BaseModel):
    """All that comes in."""

    items: list[IncomingItem] = Field(
        description="What is being read, then what waits, then what ended last."
    )
    active: int = Field(description="How many are not ended, listed or not.")
    passages_per_second: float = Field(description="Of all that was read in the last minute.")
    seconds_left: float | None = Field(description="For all that waits, at that pace.")


@router.get(QUEUE_PATH, tags=["library"])
async def look(
    request: Request, limit: Annotated[int, Field(ge=1, le=MAX_SHOWN)] = 100
) -> Incoming:
    """List what comes into the shared library and one's own documents, with how far it is."""
    services, me = await asked(request)
    overview = await library.coming_in(services, me, limit)
    now = time.time()
    return Incoming(
        items=[_item(one, me, now) for one in overview.items],
        active=overview.active,
        passages_per_second=round(overview.passages_per_s, 2),
        seconds_left=overview.seconds_left,
    )


@router.post(QUEUE_PATH, tags=["library"], status_code=202)
async def add(request: Request, to: Literal["own", "shared"] = "own") -> IncomingItem:
    """Take a document, the field `file` of a form, into one's own documents or the shared ones.

    It is read behind the answer, whatever ends the server meanwhile.
    """
    services, me = await asked(request)
    if not me.may_upload:
        raise HTTPException(403, "Your invitation is for asking only, so documents are not taken.")
    if to == "shared" and not me.is_operator:
        raise HTTPException(403, "Only the operator of this server can add shared documents.")
    path, name = await receive_into_library(request)
    item = await library.add_file(services, me, path, name, shared=to == "shared")
    return await _now(services, me, item.id)


@router.delete(QUEUE_PATH, tags=["library"])
async def cancel_all(request: Request) -> Incoming:
    """Cancel all that one may cancel."""
    services, me = await asked(request)
    await library.cancel(services, me)
    return await look(request, MAX_SHOWN)


@router.delete(f"{QUEUE_PATH}/{{item_id}}", tags=["library"], responses=_NOT_THERE)
async def cancel(request: Request, item_id: DocumentId) -> IncomingItem:
    """Cancel one file. What is being read stops within a second, and nothing of it is kept."""
    services, me = await asked(request)
    if not await library.cancel(services, me, [item_id]):
        raise HTTPException(404, "Nothing of this number comes in just now.")
    return await _now(services, me, item_id)


@router.post(f"{QUEUE_PATH}/{{item_id}}/retry", tags=["library"], responses=_NOT_THERE)
async def retry(request: Request, item_id: DocumentId) -> IncomingItem:
    """Have a file that failed or was cancelled read once more."""
    services, me = await asked(request)
    try:
        await library.try_again(services, me, item_id)
    except LookupError as exc:
        raise HTTPException(404, str(exc)) from exc
    return await _now(services, me, item_id)


async def _now(services: Services, me: Identity, item_id: int) -> IncomingItem:
    found = await asyncio.to_thread(services.bench.queue.items, [item_id])
    if not found:
        raise HTTPException(404, "It is not in the queue any more.")
    return _item(found[0], me, time.time())


def _item(item: Item, me: Identity, now: float) -> IncomingItem:
    may = library.may_cancel(item, me)
    unit = {"embedding": "passage", "listening": "second"}.get(item.stage, unit_of(item.name))
    return IncomingItem(
        id=item.id,
        name=item.name,
        own=item.owner == me.id,
        bytes=item.bytes,
        state=item.state,
        stage=item.stage,
        done=item.done,
        total=item.total,
        unit=unit,
        passages=item.passages,
        reason=item.reason,
        added_at=item.added,
        ended_at=item.ended or None,
        seconds_left=item.seconds_left(now),
        cancellable=may and not item.is_ended,
        retriable=may and item.can_be_tried_again,
    )
