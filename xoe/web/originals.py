"""The files that documents were read from, for whoever may search them: to keep, and to look at.

``GET /library/ID/original`` is the file as it came, always as a download. ``GET
/library/ID/pages/N.png`` is a page as a picture, drawn in the parser's process, so that a browser
is given nothing that a stranger made.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from chains.types import LIBRARY_OWNER
from ingest.loaders.kinds import DRAWN_KINDS
from xoe.auth.identity import SESSION, identity_of
from xoe.auth.limits import too_fast
from xoe.web.health import startup_of
from xoe.web.problems import retry_after

if TYPE_CHECKING:
    from ingest.listing import DocumentInfo
    from ingest.open_originals import OpenOriginals

router = APIRouter()

MARKS_HEADER = "X-Marks"
_MOST = 2**62
_GONE = "There is no such document here, or no longer."
_NOT_FOUND = (
    "This document is not in the library any more, or says something else now. The passage is as "
    "it was when the answer was given."
)

_Id = Annotated[int, Path(ge=1, le=_MOST, description="A document's number.")]
_Offset = Annotated[int, Query(ge=0, le=_MOST, description="Of the document's text, in characters")]


class CitedRequest(BaseModel):
    """A citation as it was kept with its answer."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(min_length=1, max_length=1_000, description="The document's name.")
    passage: str = Field(min_length=1, max_length=20_000, description="The text round the quote.")
    start: int = Field(ge=0, le=20_000, description="Where the quote begins in the passage.")
    end: int = Field(ge=0, le=20_000)


class CitedResponse(BaseModel):
    """Where it stands now."""

    id: int
    """The document's number."""
    start: int
    end: int
    page: int | None
    drawn: bool
    """Whether its pages can be had as pictures."""


@router.api_route(
    "/library/{document_id}/original",
    methods=["GET", "HEAD"],
    tags=["library"],
    response_class=FileResponse,
)
async def send_original(request: Request, document_id: _Id) -> Response:
    """Send the file as it came, as a download under its own name."""
    originals = await _originals(request)
    document = await _document(request, originals, document_id)
    path = await originals.file(document)
    return FileResponse(
        path,
        filename=PurePath(document.name).name,
        media_type="application/octet-stream",
        content_disposition_type="attachment",
    )


@router.get(
    "/library/{document_id}/pages/{number}.png",
    tags=["library"],
    response_class=Response,
    responses={200: {"content": {"image/png": {}}, "description": "The page."}},
)
async def send_page(
    request: Request,
    document_id: _Id,
    number: Annotated[int, Path(ge=1, le=1_000_000)],
    start: _Offset = 0,
    end: _Offset = 0,
) -> Response:
    """Send a page as a picture, with the characters from ``start`` to ``end`` marked on it."""
    originals = await _originals(request)
    document = await _document(request, originals, document_id)
    drawn = await originals.page(document, number, start, end)
    headers = {MARKS_HEADER: str(drawn.marks)}
    return Response(drawn.png, media_type="image/png", headers=headers)


@router.post("/library/cited", tags=["library"])
async def find_cited(request: Request, body: CitedRequest) -> CitedResponse:
    """Find the passage of a citation in the document as it is now."""
    originals = await _originals(request)
    found = await originals.cited(
        body.source, body.passage, _owners(request), start=body.start, end=body.end
    )
    if found is None:
        raise HTTPException(404, _NOT_FOUND)
    return CitedResponse(
        id=found.document.id,
        start=found.start,
        end=found.end,
        page=found.page,
        drawn=found.document.kind in DRAWN_KINDS,
    )


async def _originals(request: Request) -> OpenOriginals:
    """Count a request of who asks, and return what answers it."""
    services = await startup_of(request).wait()
    if wait_s := services.limits.take_for(identity_of(request.scope), "original"):
        raise HTTPException(429, too_fast("original", wait_s), retry_after(wait_s))
    return services.originals


async def _document(request: Request, originals: OpenOriginals, document_id: int) -> DocumentInfo:
    document = await originals.document(document_id, _owners(request))
    if document is None:
        raise HTTPException(404, _GONE)
    return document


def _owners(request: Request) -> list[str]:
    """Return whose documents may be looked at: one's own, and those that all share."""
    who = identity_of(request.scope).id
    # A browser without cookies is known by its page, not by its requests.
    return [LIBRARY_OWNER] if who == SESSION else [who, LIBRARY_OWNER]
