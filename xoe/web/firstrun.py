"""What the page's header and its first tour ask: how things stand, and how fast the models are."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Annotated, Final

from fastapi import APIRouter, HTTPException, Request
from pydantic import AfterValidator, BaseModel

from chains import profiles
from chains.types import LIBRARY_OWNER
from xoe.auth.identity import identity_of
from xoe.web.health import iso, startup_of

if TYPE_CHECKING:
    from chains.llm.measuring import Measuring, MeasuringStatus

STANDING_PATH: Final = "/page/standing"
MEASUREMENT_PATH: Final = "/page/measurement"

router = APIRouter(include_in_schema=False)


class Standing(BaseModel):
    """What the chip in the header shows; nothing of anybody else's."""

    level: str | None
    """``None`` while the engines are being loaded."""
    reason: str
    """Why it is not a better level."""
    model: str
    """What answers a new chat."""
    documents: int
    """That the asker can ask: the shared ones and their own."""
    own: int
    operator: bool
    guest: bool
    voice: bool
    may_upload: bool
    who: str
    """Tells one account from another in the same browser; no name and no id."""


_Tenths = Annotated[float, AfterValidator(lambda value: round(value, 1))]


class ProspectView(BaseModel, from_attributes=True):
    """A model of the recommendation."""

    profile: str
    title: str
    installed: bool
    measured: bool
    reading: _Tenths
    writing: _Tenths
    answer_s: _Tenths
    fits: bool


class MeasurementView(BaseModel):
    """How far the measurement is, and what it says."""

    state: str
    doing: str
    done: int
    total: int
    at: str | None = None
    profile: str | None = None
    """The recommended one."""
    installed: bool = False
    sentence: str = ""
    command: str = ""
    """Installs the recommended model; empty where it is there."""
    room_mb: int = 0
    """Memory that a model could take, the loaded one's included."""
    prospects: list[ProspectView] = []


@router.get(STANDING_PATH)
async def standing(request: Request) -> Standing:
    """Tell how things stand for the one who asks."""
    startup = startup_of(request)
    who = identity_of(request.scope)
    settings, services = startup.settings, startup.services
    documents = own = 0
    if services is not None:
        listed = await services.store.documents((LIBRARY_OWNER, who.id))
        readable = [document for document in listed if document.chunks]
        documents = len(readable)
        own = sum(document.owner == who.id for document in readable)
    level = None if services is None else services.ladder.status()
    installed = await asyncio.to_thread(profiles.installed_profiles, settings)
    return Standing(
        level=None if level is None else str(level.level),
        reason="" if level is None else level.reason,
        model=profiles.title(installed[0]) if installed else settings.llm_model or "",
        documents=documents,
        own=own,
        operator=who.is_operator,
        guest=who.is_guest,
        voice=settings.voice,
        may_upload=who.may_upload,
        who=hashlib.sha256(f"tour:{who.id}".encode()).hexdigest()[:12],
    )


def _measuring(request: Request) -> Measuring:
    """Return the measuring of this server, to an operator."""
    if not identity_of(request.scope).is_operator:
        raise HTTPException(403, "Only the operator of this server can measure its models.")
    services = startup_of(request).services
    if services is None:
        raise HTTPException(503, "The engines are still loading.", {"Retry-After": "5"})
    return services.measuring


@router.get(MEASUREMENT_PATH)
async def measurement(request: Request) -> MeasurementView:
    """Tell how far the measurement is, and what the latest one recommends."""
    measuring = _measuring(request)
    return await _view(measuring, await measuring.status())


@router.post(MEASUREMENT_PATH, status_code=202)
async def measure(request: Request) -> MeasurementView:
    """Begin to measure."""
    measuring = _measuring(request)
    await measuring.start()
    return await _view(measuring, await measuring.status())


@router.delete(MEASUREMENT_PATH)
async def cancel(request: Request) -> MeasurementView:
    """End it; what was measured before stays."""
    measuring = _measuring(request)
    await measuring.cancel()
    return await _view(measuring, await measuring.status())


async def _view(measuring: Measuring, status: MeasuringStatus) -> MeasurementView:
    view = MeasurementView(
        state=status.state, doing=status.doing, done=status.done, total=status.total
    )
    if status.measurement is None:
        return view
    advice, room_bytes = await asyncio.to_thread(measuring.advice, status.measurement)
    chosen = next(one for one in advice.prospects if one.profile == advice.profile)
    view.at = iso(status.measurement.at)
    view.profile, view.sentence = advice.profile, advice.sentence
    view.room_mb = room_bytes // 1_000_000
    view.installed = chosen.installed
    view.command = "" if chosen.installed else f"xoe models pull {chosen.profile}"
    view.prospects = [ProspectView.model_validate(one) for one in advice.prospects]
    return view
