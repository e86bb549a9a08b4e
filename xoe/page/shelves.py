"""Documents by their shelf: one's own, which nobody else sees, and the shared library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import chainlit as cl

from chains.types import LIBRARY_OWNER
from core.errors import DocumentError, StoreError
from ingest.loaders.kinds import unit_of
from ingest.sources import FOLDER
from xoe import library
from xoe.auth.identity import Identity
from xoe.page import session

if TYPE_CHECKING:
    from core.settings import Settings
    from ingest.store import DocumentInfo
    from xoe.services import Services

LISTED = 100


def listed(
    documents: Sequence[DocumentInfo], me: Identity, settings: Settings
) -> list[dict[str, Any]]:
    """Return the first documents as the page lists them, one's own before the shared ones."""
    mine_first = sorted(documents, key=lambda document: document.owner != me.id)
    return [
        {
            "id": document.id,
            "name": document.name,
            "title": document.title,
            "status": document.status,
            "reason": document.reason or "",
            "passages": document.chunks,
            "pages": document.pages,
            "unit": unit_of(document.name),
            "own": document.owner == me.id,
            # With its file it is deleted on the library's own page, where that can be undone.
            "removable": document.origin != FOLDER and not library.why_kept(document, me, settings),
            "shareable": document.owner == me.id and library.is_movable(document, me),
        }
        for document in mine_first[:LISTED]
    ]


async def remove_document(services: Services, payload: Mapping[str, object]) -> bool:
    """Delete a document, or say why it cannot be; return whether it is gone."""
    document_id, me = _id(payload), session.identity()
    if document_id is None:
        return False
    try:
        deleted = await library.delete(services, me, [document_id])
    except (DocumentError, StoreError) as exc:
        await cl.context.emitter.send_toast(str(exc), "warning")
        return False
    for _, why in deleted.refused:
        await cl.context.emitter.send_toast(why, "warning")
    return bool(deleted.ids)


async def share_document(services: Services, payload: Mapping[str, object]) -> bool:
    """Move one of the operator's own documents to the library that all ask; say why it cannot be.

    Returns whether it was done.
    """
    document_id, me = _id(payload), session.identity()
    if document_id is None or not me.is_operator:
        return False
    try:
        return await services.store.move_document(document_id, me.id, LIBRARY_OWNER)
    except (DocumentError, StoreError) as exc:
        await cl.context.emitter.send_toast(str(exc), "warning")
        return False


def _id(payload: Mapping[str, object]) -> int | None:
    given = payload.get("document_id")
    return given if isinstance(given, int) and not isinstance(given, bool) else None
