"""How a streamed answer begins: a refusal is a refusal, all else is told in the stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from chains.types import Answer, AnswerEvent, Done, Progress, Question, Queued, Token
from core.errors import EngineBusyError, QuestionError, XoeError
from core.settings import Settings
from xoe.auth import identity
from xoe.auth.limits import Admission, RateLimits
from xoe.web import api
from xoe.web.problems import tell_in_sentences


class Answers:
    """Yields what it was given, and raises what is an error."""

    def __init__(self, *events: AnswerEvent | XoeError) -> None:
        self.events = events

    async def stream(self, _question: Question) -> AsyncIterator[AnswerEvent]:
        for event in self.events:
            if isinstance(event, XoeError):
                raise event
            yield event


def ask(*events: AnswerEvent | XoeError):
    settings = Settings()
    services = SimpleNamespace(
        answers=Answers(*events), limits=RateLimits.of(settings), admission=Admission(settings)
    )

    async def wait() -> SimpleNamespace:
        return services

    app = FastAPI()
    app.include_router(api.router)
    app.state.startup = SimpleNamespace(wait=wait, stopping=asyncio.Event())
    tell_in_sentences(app)

    async def known(scope, receive, send) -> None:
        scope[identity.SCOPE_KEY] = identity.visitor("0" * 32)
        await app(scope, receive, send)

    client = TestClient(known, raise_server_exceptions=False)
    return client.post("/query/stream", json={"question": "Why?"}), services


@pytest.mark.parametrize(("own", "status"), [(False, 503), (True, 429)])
def test_where_there_is_no_room_a_stream_is_refused_like_any_other_request(
    own: bool, status: int
) -> None:
    refusal, services = ask(EngineBusyError(128, 12.3, own=own))
    assert refusal.status_code == status
    assert refusal.headers["Retry-After"] == "13"
    assert "128" in refusal.json()["detail"]
    assert len(services.admission) == 0, "its place is given back"


def test_another_error_is_the_streams_last_event() -> None:
    response, _ = ask(QuestionError("The question is empty."))
    assert response.status_code == 200
    assert 'event: error\r\ndata: {"detail":"The question is empty."}' in response.text


def test_what_came_first_is_told_first() -> None:
    done = Done(Answer("It is so.", (), None))
    response, services = ask(Queued(1), Queued(0), Token("It is so."), done)
    names = [line[7:] for line in response.text.splitlines() if line.startswith("event: ")]
    assert names == ["queued", "queued", "token", "done"]
    assert len(services.admission) == 0


def test_one_that_is_lost_amid_the_answer_says_so_in_the_stream() -> None:
    response, _ = ask(Token("It"), EngineBusyError(128, 12.3))
    names = [line[7:] for line in response.text.splitlines() if line.startswith("event: ")]
    assert (response.status_code, names) == (200, ["token", "error"])


def test_programs_are_told_how_far_the_reading_of_a_document_is() -> None:
    response, _ = ask(Progress(3, 8, "**Manual**"), Done(Answer("It is about pumps.", (), True)))
    assert response.status_code == 200
    assert 'event: progress\r\ndata: {"part":3,"parts":8,"document":"**Manual**"}' in response.text
