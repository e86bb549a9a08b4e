"""The HTTP interface of sharing: for the operator's page, and for ``xoe share``.

Only the operator comes to ``/share``. What only somebody may say who has the data folder (which key
file to log in with, which certificate to show) is taken from the command line alone.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from io import BytesIO
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from core.errors import XoeError
from xoe.auth.identity import identity_of
from xoe.auth.services import CONSOLE
from xoe.share.owner import owner_name
from xoe.share.service import Sharing
from xoe.share.tunnels import SERVICES, TunnelOptions
from xoe.share.tunnels.targets import Service
from xoe.share.view import MAX_GUESTS, MAX_HOURS, ShareOptions
from xoe.web.health import startup_of

router = APIRouter()

_Text = Annotated[str, Field(max_length=400)]
_CONSOLE_ONLY = ("identity", "agent", "certificate", "key")


class ShareRequest(BaseModel):
    """How to share."""

    model_config = ConfigDict(extra="forbid")

    target: _Text | None = Field(None, description="`[user@]host[:port]`, reached by SSH.")
    service: Service = Field("ssh", description=f"One of {', '.join(SERVICES)}.")
    scope: Literal["ask", "upload"] = Field("ask", description="What guests may do.")
    hours: float = Field(2.0, gt=0, le=MAX_HOURS)
    guests: int = Field(5, ge=1, le=MAX_GUESTS)
    tls: bool = Field(False, description="The server itself speaks TLS, through the tunnel.")
    public_url: _Text | None = Field(None, description="Where a web server stands in front.")
    remote_port: int = Field(0, ge=0, le=65535)
    accept_key: _Text | None = Field(None, description="`SHA256:…` of a new far end's key.")
    identity: _Text | None = Field(None, description="A private key; command line only.")
    agent: _Text | None = Field(None, description="An SSH agent's socket; command line only.")
    certificate: _Text | None = Field(None, description="PEM; command line only.")
    key: _Text | None = Field(None, description="PEM; command line only.")

    def options(self) -> ShareOptions:
        """Return it as the service takes it."""
        tunnel = TunnelOptions(
            target=self.target or None,
            service=self.service,
            public_url=self.public_url or None,
            remote_port=self.remote_port,
            accept_key=self.accept_key or None,
            identity=self.identity,
            agent=self.agent,
        )
        return ShareOptions(
            tunnel,
            self.scope,
            self.hours,
            self.guests,
            self.tls,
            certificate=self.certificate,
            key=self.key,
        )


class EndRequest(BaseModel):
    """Whom to send out."""

    model_config = ConfigDict(extra="forbid")

    guest: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="A guest's number or id; without it all of them."
    )


@router.post("/share/start", tags=["sharing"])
async def start(request: Request, body: ShareRequest) -> Response:
    """Share the app, and return the link."""
    is_console = identity_of(request.scope) == CONSOLE
    given = [name for name in _CONSOLE_ONLY if getattr(body, name) is not None]
    if given and not is_console:
        raise HTTPException(403, f"{given[0]} can be given on the command line only.")
    view = await sharing_of(request).start(body.options(), made_by=identity_of(request.scope).id)
    return JSONResponse(view.json())


@router.get("/share/state", tags=["sharing"])
async def state(request: Request) -> dict[str, Any]:
    """Return what is shared, and who is on."""
    return (await sharing_of(request).view_now()).json()


@router.get("/share/events", tags=["sharing"], response_class=EventSourceResponse)
async def events(request: Request) -> EventSourceResponse:
    """Tell what is shared and who is on, at once and at each change (event `share`)."""
    sharing = sharing_of(request)

    async def frames() -> AsyncIterator[ServerSentEvent]:
        async for view in sharing.views():
            yield ServerSentEvent(event="share", data=json.dumps(view.json()))

    return EventSourceResponse(frames(), ping=15)


@router.post("/share/end", tags=["sharing"])
async def end(request: Request, body: EndRequest) -> dict[str, Any]:
    """Send one guest out, or all of them and take the invitation back."""
    sharing = sharing_of(request)
    try:
        view = await (sharing.end() if body.guest is None else sharing.end_guest(body.guest))
    except XoeError as exc:
        raise HTTPException(404, str(exc)) from exc
    return view.json()


@router.get("/share/code.svg", tags=["sharing"])
async def code(request: Request) -> Response:
    """Return the link as a QR code."""
    link = sharing_of(request).view().link
    if link is None:
        raise HTTPException(404, "Nothing is shared.")
    image = BytesIO()
    import segno  # not needed for the page

    segno.make(link, micro=False).save(image, kind="svg", scale=4, light="#fff")
    return Response(image.getvalue(), media_type="image/svg+xml")


@router.get("/visit", tags=["sharing"])
async def visit(request: Request) -> dict[str, Any]:
    """Tell whoever asks who they are here, whose computer this is and until when they may stay."""
    who = identity_of(request.scope)
    startup = startup_of(request)
    ends_in_s = None
    if who.ends_at is not None:
        ends_in_s = round(max(0.0, who.ends_at - time.time()))
        if startup.sharing is not None:
            ends_in_s = min(ends_in_s, startup.sharing.view().ends_in_s or 0)
    return {
        "role": who.role,
        "name": who.name,
        "owner": owner_name(startup.settings),
        "may_upload": who.may_upload,
        "may_share": who.is_operator and startup.sharing is not None,
        "ends_at": who.ends_at,
        "ends_in_s": ends_in_s,
    }


def sharing_of(request: Request) -> Sharing:
    """Return the service; 503 where Chainlit runs the server itself."""
    sharing = startup_of(request).sharing
    if sharing is None:
        raise HTTPException(503, "Sharing needs the server of xoe serve.")
    return sharing
