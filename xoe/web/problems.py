"""What a request that fails is told: one sentence, in JSON that every parser reads.

FastAPI would echo what was sent, and that may be something JSON cannot hold: NaN, half of a
surrogate pair, bytes, or brackets in brackets without end. Then the error's own body fails. So
nothing of it is echoed but the names of fields, cut short.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from math import ceil
from typing import Any, Final

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.errors import (
    AccountError,
    BackupError,
    BusyError,
    CallBusyError,
    CertificateError,
    CircuitOpenError,
    DiskFullError,
    DocumentBusyError,
    DocumentEmptyError,
    DocumentError,
    DocumentLockedError,
    DocumentTooLargeError,
    DocumentTypeError,
    DrawingBusyError,
    EngineBusyError,
    EngineError,
    EngineNotReadyError,
    EngineOffError,
    EngineStalledError,
    EvaluationError,
    GenerationError,
    GenerationLostError,
    HostKeyError,
    HostKeyUnknownError,
    InvitationError,
    LinkError,
    LlamaBuildError,
    LoginError,
    LoginThrottledError,
    MeasuringError,
    ModelDamagedError,
    ModelError,
    ModelLoadError,
    ModelMissingError,
    OriginalMissingError,
    ProcessLostError,
    QuestionError,
    RedisError,
    RetrievalError,
    SettingsError,
    ShareError,
    SourceError,
    SpeechBusyError,
    SpeechError,
    StoppingError,
    StoreDamagedError,
    StoreError,
    StoreLockedError,
    SynthesisError,
    SynthesisLostError,
    ThreadLimitError,
    TranscriptionBusyError,
    TranscriptionError,
    TranscriptionLostError,
    TunnelError,
    TunnelOptionsError,
    UploadBusyError,
    WeakPasswordError,
    WebPageError,
    XoeError,
)

log = structlog.get_logger(__name__)

_TOLD: Final = 3
"""Fields that are named at most."""
_NAME_CHARS: Final = 80
_RETRY_S: Final = 5
"""What is loading, or was lost, is often there by then."""
_UNSAFE: Final = re.compile("[^ -~\u00a0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff")
_NO_OBJECT: Final = "the request's body has to be a JSON object, with Content-Type application/json"
_UNREADABLE: Final = "The request's body cannot be read: it is not JSON, or nested without end."
UNEXPECTED: Final = "Something unexpected went wrong; the server's log says what."
_OF_A_BODY: Final = ("content-type", "content-length", "content-encoding", "transfer-encoding")
_BY_STATUS: Final = {
    401: "Please log in.",
    404: "There is nothing at this address.",
    405: "This address does not take that kind of request.",
    416: "There is no such part of it.",
}
"""For errors that say no more than the name of their status."""


class InSentences:
    """ASGI middleware that tells in JSON what a library refuses in plain text, or in no words.

    What serves files answers a range of bytes that cannot be by itself.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Wrap ``app``."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_told = False

        async def send_told(message: Message) -> None:
            nonlocal is_told
            if message["type"] == "http.response.start" and message["status"] >= 400:
                headers = Headers(raw=message["headers"])
                if headers.get("content-type", "text/plain").startswith("text/plain"):
                    is_told = True
                    status = message["status"]
                    sentence = _BY_STATUS.get(status, "The request cannot be answered.")
                    kept = {k: v for k, v in headers.items() if k not in _OF_A_BODY}
                    await told(status, sentence, kept)(scope, receive, send)
            if not is_told:
                await send(message)

        await self._app(scope, receive, send_told)


class Problem(BaseModel):
    """What went wrong, as a sentence."""

    detail: str


DESCRIBED: Final[dict[int | str, dict[str, Any]]] = {
    "4XX": {"model": Problem, "description": "The request cannot be answered: `detail` says why."},
    "5XX": {"model": Problem, "description": "The server cannot answer now: `detail` says why."},
}
"""How the interface's description tells of errors."""


def tell_in_sentences(app: Starlette) -> None:
    """Have all errors of ``app``, those of its libraries included, answered by one sentence."""
    app.add_exception_handler(RequestValidationError, _not_understood)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(XoeError, _failed)
    app.add_exception_handler(Exception, _unexpected)


STATUS: Final[dict[type[XoeError], int]] = {
    XoeError: 500,
    BusyError: 503,  # 429 where it is the owner's own
    SettingsError: 422,
    CertificateError: 422,
    ModelError: 503,
    ModelMissingError: 503,
    ModelDamagedError: 503,
    ModelLoadError: 503,
    DocumentError: 400,
    SourceError: 502,
    WebPageError: 422,
    DocumentTooLargeError: 413,
    DocumentTypeError: 400,
    DocumentLockedError: 400,
    DocumentEmptyError: 400,
    DocumentBusyError: 503,
    UploadBusyError: 429,
    OriginalMissingError: 404,
    DrawingBusyError: 503,
    StoreError: 503,
    StoreLockedError: 503,
    StoreDamagedError: 503,
    DiskFullError: 507,
    ThreadLimitError: 503,
    BackupError: 503,
    EngineError: 500,
    EngineBusyError: 503,
    EngineNotReadyError: 503,
    EngineOffError: 404,
    EngineStalledError: 500,
    LlamaBuildError: 503,
    GenerationError: 500,
    GenerationLostError: 500,
    ProcessLostError: 500,
    MeasuringError: 409,
    EvaluationError: 422,
    SpeechError: 503,
    SynthesisError: 503,
    SynthesisLostError: 503,
    SpeechBusyError: 503,
    CallBusyError: 503,
    TranscriptionError: 422,
    TranscriptionLostError: 503,
    TranscriptionBusyError: 503,
    RetrievalError: 500,
    QuestionError: 422,
    InvitationError: 403,
    ShareError: 409,
    LinkError: 409,
    TunnelError: 502,
    TunnelOptionsError: 422,
    HostKeyError: 502,
    HostKeyUnknownError: 409,
    AccountError: 409,
    WeakPasswordError: 422,
    LoginError: 401,
    LoginThrottledError: 429,
    CircuitOpenError: 503,
    StoppingError: 503,
    RedisError: 503,
}
"""By which status a program is told of each error, whatever the route."""


def status_of(error: XoeError) -> int:
    """Return the status by which a program is told of ``error``."""
    if isinstance(error, BusyError) and error.own:
        return 429
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def answer_to(error: XoeError) -> Response:
    """Return the answer to a request that has failed with ``error``."""
    more = {"fingerprint": error.fingerprint} if isinstance(error, HostKeyUnknownError) else {}
    body = {"detail": _safe(str(error)), **more}
    return JSONResponse(body, status_code=status_of(error), headers=headers_of(error))


def retry_after(wait_s: float) -> dict[str, str]:
    """Return the header that tells a program when to come back."""
    return {"Retry-After": str(max(1, ceil(wait_s)))}


def headers_of(error: XoeError) -> dict[str, str]:
    """Return the header that tells a program when to come back, where that helps."""
    if isinstance(error, BusyError | UploadBusyError | LoginThrottledError | CircuitOpenError):
        return retry_after(error.retry_after_s)
    return {"Retry-After": str(_RETRY_S)} if status_of(error) == 503 else {}


def sentence_of(problems: Sequence[Any]) -> str:
    """Return what pydantic found wrong as a sentence; fields are named, values are not."""
    named = []
    for problem in problems[:_TOLD]:
        where, what = problem["loc"][1:], str(problem["msg"])
        if problem["type"] == "json_invalid":
            return _UNREADABLE
        if not where and problem["loc"][0] == "body":
            named.append(_NO_OBJECT)
        else:
            name = ".".join(str(part)[:_NAME_CHARS] for part in where)[:_NAME_CHARS]
            named.append(f"{name}: {what[:1].lower()}{what[1:]}")
    more = len(problems) - len(named)
    return _safe(f"{'; '.join(named)}{f'; and {more} more' if more else ''}.")


def told(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer to a request that failed."""
    return JSONResponse({"detail": sentence}, status_code=status, headers=headers)


async def _not_understood(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - what it is registered for
    return told(422, sentence_of(error.errors()))


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for
    # Chainlit makes a 500 of whatever its data layer raises, a refusal included.
    cause = error.__cause__
    refusal = cause if isinstance(cause, HTTPException) and error.status_code == 500 else error
    status, sentence = refusal.status_code, str(refusal.detail)
    if status < 200 or status in (204, 205, 304):
        return Response(status_code=status, headers=refusal.headers)
    if sentence == HTTPStatus(status).phrase:
        sentence = _BY_STATUS.get(status, sentence)
    elif sentence == "There was an error parsing the body":
        sentence = _UNREADABLE
    return told(status, f"{_safe(sentence).rstrip('.')}.", refusal.headers)


async def _failed(_request: Request, error: Exception) -> Response:
    assert isinstance(error, XoeError)  # noqa: S101 - what it is registered for
    return answer_to(error)


async def _unexpected(_request: Request, _error: Exception) -> Response:
    return told(500, UNEXPECTED)  # Starlette raises it on, so that it is logged


def _safe(sentence: str) -> str:
    """Return a sentence without characters that cannot be shown, or cannot be sent."""
    return _UNSAFE.sub("\ufffd", sentence)
