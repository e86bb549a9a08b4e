"""Of each error a program is told by one status and one sentence, whatever the route."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from core import errors
from core.errors import BusyError, HostKeyUnknownError, XoeError
from xoe.web.problems import STATUS, tell_in_sentences

ALL = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, XoeError) and found.__module__ == errors.__name__
]
GIVEN: dict[str, Any] = {
    "waiting": 3,
    "limit": 3,
    "own": 1,
    "retry_after_s": 7.2,
    "name": "stt",
    "message": "A sentence.",
    "sentence": "A sentence.",
    "fingerprint": "SHA256:abc",
}


def made(kind: type[XoeError], **more: Any) -> XoeError:
    """Return an error as the program raises it."""
    if kind.__init__ in (Exception.__init__, BaseException.__init__):
        return kind("A sentence.")
    wanted = inspect.signature(kind).parameters
    if any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in wanted.values()):
        return kind("A sentence.")
    return kind(
        **{
            name: (GIVEN | more)[name]
            for name, one in wanted.items()
            if name in more or one.default is inspect.Parameter.empty
        }
    )


def answer_to(error: XoeError) -> Any:
    app = FastAPI()
    tell_in_sentences(app)

    @app.get("/")
    async def fail() -> None:
        raise error

    return TestClient(app, raise_server_exceptions=False).get("/")


def test_every_error_has_its_status_and_nothing_else_has() -> None:
    assert {kind.__name__ for kind in ALL} == {kind.__name__ for kind in STATUS}
    assert all(400 <= status < 600 for status in STATUS.values())


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_it_is_answered_by_its_own_sentence(kind: type[XoeError]) -> None:
    error = made(kind)
    answer = answer_to(error)
    owns = isinstance(error, BusyError) and error.own
    assert answer.status_code == (429 if owns else STATUS[kind])
    assert answer.json()["detail"] == str(error)
    if answer.status_code in (429, 503):
        assert int(answer.headers["retry-after"]) >= 1


def test_what_is_ones_own_to_wait_for_is_told_apart_and_when_to_come_back() -> None:
    busy = [kind for kind in ALL if issubclass(kind, BusyError)]
    assert len(busy) > 3
    for kind in busy:
        answer = answer_to(made(kind, waiting=2, retry_after_s=7.2, own=True))
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "8")


def test_the_key_that_nobody_has_accepted_is_shown() -> None:
    answer = answer_to(made(HostKeyUnknownError))
    assert answer.json()["fingerprint"] == "SHA256:abc"
