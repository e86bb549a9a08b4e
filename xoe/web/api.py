"""Questions asked by programs, over HTTP."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import asdict
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field
from sse_starlette import EventSourceResponse, ServerSentEvent

from chains.types import (
    MAX_CATEGORIES,
    WHOLES,
    Answer,
    AnswerEvent,
    Citation,
    Done,
    Outcome,
    Progress,
    Question,
    Queued,
    Sources,
    Token,
)
from core.errors import BusyError, StoppingError, XoeError
from core.share import Share
from xoe import library
from xoe.auth.identity import Identity, identity_of
from xoe.auth.limits import LimitKind, RateLimits, too_fast
from xoe.web.health import startup_of
from xoe.web.problems import UNEXPECTED, Problem, retry_after

log = structlog.get_logger(__name__)

_FAREWELL_S = 1.0
"""What a stream has to say that the server is stopping, before it is cut off."""

router = APIRouter()


class QueryRequest(BaseModel):
    """A question, and how it is to be answered."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"question": "Which file types can I add?", "session_id": "my-notebook"}]
        },
    )

    question: str = Field(max_length=20_000, description="The question, in plain language.")
    session_id: Annotated[str, Field(min_length=1, max_length=128)] | None = Field(
        None, description="Questions of one session share a history. Without it there is none."
    )
    use_library: bool = Field(True, description="False: the model answers by itself.")
    categories: list[Annotated[str, Field(min_length=1, max_length=120)]] = Field(
        [],
        max_length=MAX_CATEGORIES + len(WHOLES),
        description="What of the library is asked: folders at the top of the shared documents, "
        "`:own` (the asker's own documents), `:shared` (all shared ones), `:loose` (the shared "
        "ones in no folder). Empty: all.",
    )
    max_tokens: Annotated[int, Field(ge=16, le=2048)] | None = Field(
        None, description="Length of the answer, at most."
    )


class QueryCitation(BaseModel, from_attributes=True):
    """A sentence of a document that supports the answer."""

    source: str = Field(description="The document's name.")
    page: int | None = Field(
        description="From 1: the page, slide, row or message; null where the format has none."
    )
    quote: str = Field(description="The sentence: the document's text from start to end.")
    start: int = Field(description="Offset in the document's text, in characters.")
    end: int


class QueryResponse(BaseModel):
    """An answer whose marks ``[1]``, ``[2]`` … count the citations."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "answer": "You can add PDF, DOCX, Markdown, text and HTML files. [1]",
                    "citations": [
                        {
                            "source": "guide/xoe-novai-guide.md",
                            "page": None,
                            "quote": "You can add PDF, DOCX, Markdown, plain text and HTML files.",
                            "start": 2045,
                            "end": 2104,
                        }
                    ],
                    "outcome": "answered",
                    "grounded": True,
                    "checked_by": "quality",
                    "timings_ms": {"retrieval": 9.1, "first_token": 812.0, "total": 2304.5},
                }
            ]
        }
    )

    answer: str
    citations: list[QueryCitation]
    outcome: Outcome | None = Field(
        description="answered; nearest_passages (quoted, which is no answer); not_in_library; "
        "null where the library was not asked, or could not be."
    )
    grounded: bool = Field(
        description="Whether every statement of the answer is cited: with answered alone."
    )
    checked_by: str = Field(
        "",
        description="The model that was asked whether the passages answer the question; empty "
        "where none was, or none in time.",
    )
    level: str = Field(
        "full",
        description="What answered: full, direct (the model without the documents), extractive "
        "(passages without the model) or template (neither).",
    )
    note: str = Field(
        "", description="What was missing, and what alone was searched where categories are named."
    )
    timings_ms: dict[str, float] = Field(description="The stages that ran, in milliseconds.")


_PROBLEMS: dict[int | str, dict[str, Any]] = {
    422: {
        "model": Problem,
        "description": "The question is empty or too long, or a category of it is not there.",
    },
    429: {
        "model": Problem,
        "description": "Asked too fast, or too much at a time; `Retry-After` tells when to go on.",
    },
    503: {
        "model": Problem,
        "description": "The model is loading or busy; `Retry-After` tells when to try again.",
    },
}


async def _admitted(request: Request, body: QueryRequest) -> AsyncGenerator[None, None]:
    """Refuse a question with 429 where its owner asks too fast, or too much at a time.

    That is before anything is done for it; its place is given back when the answer has been sent,
    or can be sent to nobody.
    """
    services = await startup_of(request).wait()
    who, whose = identity_of(request.scope), _share(request, body)
    with services.admission.question(who, whose):
        _count(services.limits, who, whose, body)
        await library.check_categories(services, body.categories)
        yield


def _count(limits: RateLimits, who: Identity, whose: Share, body: QueryRequest) -> None:
    kind: LimitKind = "program"
    wait_s = limits.take_for(who, kind, owner=whose.owner)
    if not wait_s and body.session_id is not None and not who.is_guest:
        kind = "session"
        wait_s = limits.take(kind, f"{whose.owner}/{body.session_id}")
    if wait_s:
        raise HTTPException(429, too_fast(kind, wait_s), retry_after(wait_s))


def _share(request: Request, body: QueryRequest) -> Share:
    address = request.client.host if request.client is not None else ""
    return identity_of(request.scope).share_of_program(body.session_id or "", address)


@router.post("/query", tags=["questions"], responses=_PROBLEMS, dependencies=[Depends(_admitted)])
async def query(request: Request, body: QueryRequest) -> QueryResponse:
    """Ask a question and wait for the whole answer."""
    answering = asyncio.create_task(_whole(request, body))
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            return answering.result()
    finally:
        for task in (answering, leaving):
            task.cancel()
        await asyncio.wait({answering, leaving})
    raise HTTPException(499, "The client went away.")


@router.post(
    "/query/stream",
    tags=["questions"],
    response_class=EventSourceResponse,
    dependencies=[Depends(_admitted)],
    responses={
        200: {
            "description": "Events `queued`, `sources`, `progress` (a whole document is read: "
            "`part` of `parts`), `token` (with the library only what was checked: the answer "
            "begins with it), and at the end `done` or `error`, "
            "also when the server is stopped amid the answer.",
            "content": {
                "text/event-stream": {
                    "example": 'event: sources\ndata: {"citations": []}\n\n'
                    'event: token\ndata: {"text": "You"}\n\n'
                    'event: done\ndata: {"answer": "You can …", "citations": [], '
                    '"outcome": "answered", "grounded": true, "timings_ms": {}}\n\n'
                }
            },
        }
    },
)
async def query_stream(request: Request, body: QueryRequest) -> EventSourceResponse:
    """Ask a question and read the answer as server-sent events while it is written."""
    events = _events(request, body)
    begun: list[AnswerEvent | XoeError] = []
    try:
        begun.append(await anext(events))
    except BusyError:  # nothing was sent yet, so it can be a refusal like any other
        await events.aclose()
        raise
    except XoeError as exc:
        begun.append(exc)
    frames = _frames(begun, events)
    return EventSourceResponse(frames, ping=15, shutdown_grace_period=_FAREWELL_S)


async def _whole(request: Request, body: QueryRequest) -> QueryResponse:
    async with aclosing(_events(request, body)) as events:
        async for event in events:
            if isinstance(event, Done):
                return _response(event.answer)
    raise AssertionError("an answer without an end")


async def _left(request: Request) -> None:
    """Return when the client has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _frames(
    begun: Sequence[AnswerEvent | XoeError], events: AsyncGenerator[AnswerEvent, None]
) -> AsyncIterator[ServerSentEvent]:
    """Yield what has begun already, then the rest."""
    async with aclosing(events):
        try:
            for event in begun:
                if isinstance(event, XoeError):
                    raise event
                yield _frame(event)
            async for event in events:
                yield _frame(event)
        except XoeError as exc:
            yield _sse("error", Problem(detail=str(exc)))
        except Exception:
            yield _sse("error", Problem(detail=UNEXPECTED))
            raise


async def _events(request: Request, body: QueryRequest) -> AsyncGenerator[AnswerEvent, None]:
    """Yield what the answer is made of. Raises ``StoppingError`` when the server is stopped."""
    found: asyncio.Queue[AnswerEvent | BaseException | None] = asyncio.Queue(1)

    async def answer() -> None:
        # In one task from its beginning to its end, as what traces a turn needs it to be.
        try:
            async with aclosing(_answered(request, body)) as events:
                async for event in events:
                    await found.put(event)
        except Exception as exc:  # noqa: BLE001 - raised where it is taken
            await found.put(exc)
        else:
            await found.put(None)

    async def stop() -> None:
        await startup_of(request).stopping.wait()
        answering.cancel()
        await found.put(StoppingError())

    answering = asyncio.create_task(answer())
    stopping = asyncio.create_task(stop())
    try:
        while (event := await found.get()) is not None:
            if isinstance(event, BaseException):
                raise event
            yield event
    finally:
        stopping.cancel()
        answering.cancel()
        await asyncio.wait([answering])


async def _answered(request: Request, body: QueryRequest) -> AsyncGenerator[AnswerEvent, None]:
    session = body.session_id or f"once-{secrets.token_hex(8)}"
    question = Question(
        text=body.question,
        session_id=session,
        owner=_owner(request, session),
        use_library=body.use_library,
        categories=tuple(sorted(set(body.categories))),
        max_tokens=body.max_tokens,
        kind="api",
    )
    services = await startup_of(request).wait()
    async with aclosing(services.answers.stream(question)) as events:
        async for event in events:
            yield event


def _owner(request: Request, session: str) -> str:
    """Return whose chat it is: of who has logged in, else of the session alone."""
    who = identity_of(request.scope)
    return who.id if who.login is not None else f"session:{session}"


def _frame(event: AnswerEvent) -> ServerSentEvent:
    match event:
        case Queued(place):
            return _sse("queued", _Place(place=place))
        case Sources(citations):
            return _sse("sources", _SourceList(citations=_cited(citations)))
        case Progress(part, parts, document):
            return _sse("progress", _Part(part=part, parts=parts, document=document))
        case Token(text):
            return _sse("token", _Piece(text=text))
        case Done(answer):
            return _sse("done", _response(answer))


class _Place(BaseModel):
    place: int


class _SourceList(BaseModel):
    citations: list[QueryCitation]


class _Part(BaseModel):
    part: int
    parts: int
    document: str


class _Piece(BaseModel):
    text: str


def _sse(name: str, payload: BaseModel) -> ServerSentEvent:
    return ServerSentEvent(event=name, data=payload.model_dump_json())


def _response(answer: Answer) -> QueryResponse:
    return QueryResponse(
        answer=answer.text,
        citations=_cited(answer.citations),
        outcome=answer.outcome,
        grounded=answer.grounded,
        checked_by=answer.checked_by,
        level=answer.level,
        note=answer.note,
        timings_ms={
            stage: round(ms, 2) for stage, ms in asdict(answer.timings).items() if ms is not None
        },
    )


def answer_json(answer: Answer) -> dict[str, Any]:
    """Return an answer in the form that ``POST /query`` gives it."""
    return _response(answer).model_dump()


def _cited(citations: Sequence[Citation]) -> list[QueryCitation]:
    return [QueryCitation.model_validate(citation) for citation in citations]
