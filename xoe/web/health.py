"""How the system is: the health routes, and the metrics. Times are ISO 8601 in UTC everywhere."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal, cast

from fastapi import APIRouter, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from core.settings import Settings
from engines import llama_build
from telemetry.metrics import CONTENT_TYPE, HttpMetrics
from telemetry.turn_record import TurnRecord, in_tree
from xoe import __version__
from xoe.auth.identity import SCOPE_KEY, Identity
from xoe.readiness import Readiness
from xoe.startup import Startup
from xoe.vitals import system_state_of

if TYPE_CHECKING:
    from engines.worker import EngineReport

router = APIRouter(tags=["health"])

_STARTING = "The engines are being loaded."
_RECENT = 50


def iso(moment: float) -> str:
    """Return seconds since 1970 as ISO 8601 in UTC, to the millisecond."""
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


_Moment = Annotated[str, BeforeValidator(lambda at: iso(at) if isinstance(at, float | int) else at)]
_Rate = Annotated[float, AfterValidator(lambda rate: round(rate, 4))]


class HealthComponent(BaseModel, from_attributes=True):
    """One part of the system."""

    name: str
    state: Literal["loading", "ready", "failed", "off"]
    detail: str = Field(description="A sentence for a person.")
    since: _Moment = Field(description="When it came into its state.")


class HealthEngine(BaseModel, from_attributes=True):
    """The process that a native engine lives in."""

    name: Literal["llm", "checker", "embedder", "vad", "stt", "stt-light", "piper", "espeak"]
    state: Literal["stopped", "loading", "ready", "failed"]
    pid: int | None = Field(description="null while it is being started.")
    restarts: int = Field(description="How often it was started again after it was lost.")
    problem: str = Field(description="Why it is not there, or how it was lost last.")
    memory_mb: int = Field(description="Resident memory.")


class HealthBuild(BaseModel, from_attributes=True):
    """Which of llama.cpp's builds runs the language model."""

    variant: str = Field(description="What it is compiled for.")
    reason: str = Field(description="Why it is not the best that the processor lists; or empty.")
    proven: bool = Field(description="Whether it has read and written on this processor.")


class HealthResponse(BaseModel):
    """Whether the server lives, whether it can answer, and how much of it works."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "live": True,
                    "ready": True,
                    "level": "lighter_voice",
                    "level_since": "2026-01-05T09:12:44.120Z",
                    "level_reason": "A simpler voice speaks, as the usual one fails.",
                    "loading": [],
                    "components": [
                        {
                            "name": "model",
                            "state": "ready",
                            "detail": "answers questions",
                            "since": "2026-01-05T08:00:03.500Z",
                        }
                    ],
                    "engines": [
                        {
                            "name": "llm",
                            "state": "ready",
                            "pid": 4711,
                            "restarts": 1,
                            "problem": "it was ended by SIGSEGV (a fault in its memory)",
                            "memory_mb": 640,
                        }
                    ],
                    "llama_build": {"variant": "AVX2", "reason": "", "proven": True},
                    "version": "0.1.0",
                    "timestamp": "2026-01-05T09:30:00.000Z",
                }
            ]
        }
    )

    live: bool
    ready: bool = Field(description="Whether a question can be answered.")
    level: str | None = Field(
        description="full, lighter_voice, half_voice, direct, extractive, template or emergency; "
        "null while the engines are being loaded."
    )
    level_since: str | None = Field(description="When it came to this level.")
    level_reason: str = Field(description="Why it is not a better one; empty at full.")
    loading: list[str] = Field(description="What is still loading.")
    components: list[HealthComponent]
    engines: list[HealthEngine] = Field(description="The engines' processes.")
    llama_build: HealthBuild | None = Field(
        description="null where the model is asked over the network."
    )
    version: str
    timestamp: str


class Circuit(BaseModel, from_attributes=True):
    """A circuit breaker: what it saw of the last calls, and what it lets through."""

    state: Literal["closed", "open", "half_open"]
    failures: int = Field(description="Failed calls of the last `calls`.")
    healthy: bool = Field(description="Whether it is closed.")
    failure_rate: _Rate = Field(description="0 to 1.")
    slow_rate: _Rate = Field(description="0 to 1.")
    calls: int = Field(description="Calls that are looked at.")
    slow_calls: int
    since: _Moment = Field(description="When it came into its state.")
    opened_at: _Moment | None = Field(description="When it opened last; null while it is closed.")
    next_probe_at: _Moment | None = Field(description="When an open circuit lets a call through.")
    store: Literal["redis", "memory"] = Field(description="Where its state is kept now.")


class CircuitsResponse(BaseModel):
    """All circuit breakers."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "healthy": False,
                    "circuits": {
                        "stt": {
                            "state": "open",
                            "failures": 5,
                            "healthy": False,
                            "failure_rate": 0.625,
                            "slow_rate": 0.125,
                            "calls": 8,
                            "slow_calls": 1,
                            "since": "2026-01-05T09:12:44.120Z",
                            "opened_at": "2026-01-05T09:12:44.120Z",
                            "next_probe_at": "2026-01-05T09:12:54.120Z",
                            "store": "redis",
                        }
                    },
                    "timestamp": "2026-01-05T09:12:50.000Z",
                }
            ]
        }
    )

    healthy: bool = Field(description="Whether all are closed.")
    circuits: dict[str, Circuit] = Field(
        description="By name; empty while the engines are being loaded."
    )
    timestamp: str


class TurnSpan(BaseModel):
    """A stage of a turn."""

    name: str
    depth: int = Field(description="0 for the turn itself.")
    start_ms: float
    ms: float | None = Field(description="null: it had not ended when the turn did.")
    error: str | None = Field(description="The error's class.")


class TurnSummary(BaseModel):
    """A recent turn, without anything that was asked or answered."""

    turn: str = Field(description="As `xoe trace` takes it.")
    kind: str
    outcome: str
    began: str
    ms: float | None
    spans: list[TurnSpan]


class TurnsResponse(BaseModel):
    """The recent turns, the latest first."""

    turns: list[TurnSummary]


@router.get(
    "/health",
    responses={
        200: {"description": "It can answer questions, perhaps not as well as usual: see `level`."},
        503: {"model": HealthResponse, "description": "It lives, and cannot answer yet."},
    },
)
async def health(request: Request, response: Response) -> HealthResponse:
    """Tell what works, how well, and since when; the status is 503 until it can answer.

    Whoever is no operator learns whether it lives and can answer, and nothing else.
    """
    startup = startup_of(request)
    readiness = startup.readiness()
    response.status_code = 200 if readiness.ready else 503
    who = request.scope.get(SCOPE_KEY)
    if not (isinstance(who, Identity) and who.is_operator):
        return _for_everybody(readiness)
    services = startup.services
    level = None if services is None else services.ladder.status()
    return HealthResponse(
        live=readiness.live,
        ready=readiness.ready,
        level=None if level is None else str(level.level),
        level_since=None if level is None else iso(level.since),
        level_reason=_STARTING if level is None else level.reason,
        loading=[c.name for c in readiness.components if c.state == "loading"],
        components=[HealthComponent.model_validate(one) for one in readiness.components],
        engines=[] if services is None else [_engine(report) for report in services.engines()],
        llama_build=_build(startup.settings),
        version=__version__,
        timestamp=_now(),
    )


@router.get(
    "/health/circuits",
    responses={200: {"description": "Always, as long as the server lives: look at `healthy`."}},
)
async def circuits(request: Request) -> CircuitsResponse:
    """Tell the state of each circuit breaker, and when an open one is tried again."""
    services = startup_of(request).services
    views = {} if services is None else await services.breakers.views()
    return CircuitsResponse(
        healthy=all(view.healthy for view in views.values()),
        circuits={name: Circuit.model_validate(view) for name, view in views.items()},
        timestamp=_now(),
    )


@router.get("/health/turns")
async def turns(
    request: Request, limit: Annotated[int, Query(ge=1, le=_RECENT)] = 20
) -> TurnsResponse:
    """Tell how long the stages of recent turns took. Nothing of their text is kept."""
    services = startup_of(request).services
    recent = [] if services is None else services.tracer.turns()[-limit:]
    return TurnsResponse(turns=[_summary(record) for record in reversed(recent)])


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={503: {"description": "The engines are starting."}},
)
async def metrics(request: Request) -> Response:
    """Counters, histograms and gauges in Prometheus' text format."""
    services = startup_of(request).services
    if services is None:
        raise HTTPException(503, _STARTING, {"Retry-After": "5"})
    http: HttpMetrics = request.app.state.http_metrics
    text = services.metrics.render(await system_state_of(services)) + http.render()
    return Response(text, media_type=CONTENT_TYPE)


def startup_of(request: Request) -> Startup:
    """Return the services of the app that serves ``request``, there or on their way."""
    return cast(FastAPI, request.app).state.startup  # type: ignore[no-any-return]


def _for_everybody(readiness: Readiness) -> HealthResponse:
    """Return what a monitor needs that has not logged in, and nothing of how the system is made."""
    return HealthResponse(
        live=readiness.live,
        ready=readiness.ready,
        level=None,
        level_since=None,
        level_reason="",
        loading=[],
        components=[],
        engines=[],
        llama_build=None,
        version="",
        timestamp=_now(),
    )


def _engine(report: EngineReport) -> HealthEngine:
    return HealthEngine(
        name=report.name,  # type: ignore[arg-type] # pydantic checks it
        state=report.state,
        pid=report.pid,
        restarts=report.restarts,
        problem=report.problem,
        memory_mb=report.memory_bytes >> 20,
    )


def _build(settings: Settings) -> HealthBuild | None:
    if settings.llm_base_url:
        return None
    return HealthBuild.model_validate(llama_build.current())


def _now() -> str:
    return iso(datetime.now(UTC).timestamp())


def _summary(record: TurnRecord) -> TurnSummary:
    return TurnSummary(
        turn=record.turn,
        kind=record.kind,
        outcome=record.outcome,
        began=iso(record.began),
        ms=record.ms,
        spans=[
            TurnSpan(
                name=span.name,
                depth=depth,
                start_ms=span.start_ms,
                ms=span.ms,
                error=span.error,
            )
            for depth, span in in_tree(record)
        ],
    )
