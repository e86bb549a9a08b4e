"""Documents by their shelf: one's own, which nobody else sees, and the shared library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import chainlit as cl

from chains.types import LIBRARY_OWNER
from core.errors import DocumentError, StoreError
from ingest.loaders.kinds import unit_of
from xoe.auth.identity import Identity
from xoe.page import session

if TYPE_CHECKING:
    from ingest.store import DocumentInfo
    from xoe.services import Services

LISTED = 100


def listed(documents: Sequence[DocumentInfo], me: Identity) -> list[dict[str, Any]]:
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
            "removable": document.owner == me.id or _may_take_down(document, me),
            "shareable": me.is_operator and document.owner == me.id and document.status == "ready",
        }
        for document in mine_first[:LISTED]
    ]


async def remove_document(services: Services, payload: Mapping[str, object]) -> bool:
    """Remove one's own document or, as operator, a shared one that does not lie in the folder.

    Returns whether it was there.
    """
    document_id, me = _id(payload), session.identity()
    if document_id is None:
        return False
    if await services.store.delete_document(document_id, me.id):
        return True
    if not me.is_operator:
        return False
    shared = await services.store.documents((LIBRARY_OWNER,))
    if not any(document.id == document_id and _may_take_down(document, me) for document in shared):
        return False
    return await services.store.delete_document(document_id, LIBRARY_OWNER)


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


def _may_take_down(document: DocumentInfo, me: Identity) -> bool:
    """Whether an operator may remove a shared document: one that would come back stays."""
    from ingest.sources import comes_back  # with the engines, behind the page

    return me.is_operator and document.owner == LIBRARY_OWNER and not comes_back(document.origin)


def _id(payload: Mapping[str, object]) -> int | None:
    given = payload.get("document_id")
    return given if isinstance(given, int) and not isinstance(given, bool) else None
