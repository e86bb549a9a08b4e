"""Requests have a name, a count and a line."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator

import pytest
import structlog
from fastapi import APIRouter, FastAPI, HTTPException
from fastapi.testclient import TestClient
from starlette.responses import StreamingResponse

from telemetry import scope
from telemetry.logging import configure_logging
from xoe.web.access_log import AccessLog, http_metrics, routes_of

router = APIRouter()


@router.get("/query/{name}")
async def query(name: str) -> dict[str, str]:
    if name == "broken":
        raise RuntimeError(name)
    if name == "refused":
        raise HTTPException(422, "no")
    structlog.get_logger("x").info("inside")
    return scope.ids()


@router.get("/health")
async def health() -> dict[str, str]:
    return scope.ids()


@router.get("/stream")
async def stream() -> StreamingResponse:
    async def frames() -> Iterator[str]:
        structlog.get_logger("x").info("frame")
        yield "x"

    return StreamingResponse(frames())


@pytest.fixture
def out() -> io.StringIO:
    stream = io.StringIO()
    configure_logging("info", stream=stream)
    return stream


@pytest.fixture
def client(out: io.StringIO) -> TestClient:
    app = FastAPI()
    app.include_router(router)
    app.state.http_metrics = http_metrics(routes_of(router))
    wrapped = AccessLog(app, routes=routes_of(router), metrics=app.state.http_metrics)
    client = TestClient(wrapped, raise_server_exceptions=False)
    client.app_state = app.state  # type: ignore[attr-defined]
    return client


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_request_keeps_its_name_through_handler_log_and_answer(
    client: TestClient, out: io.StringIO
) -> None:
    answer = client.get("/query/x", headers={"X-Request-ID": "a.b_c-1"})
    assert answer.headers["x-request-id"] == answer.json()["request"] == "a.b_c-1"
    inside, access = lines(out)
    assert inside["request"] == access["request"] == "a.b_c-1"
    assert (access["event"], access["route"], access["status"]) == (
        *("http.request", "/query/{name}", 200),
    )
    assert scope.ids() == {}


@pytest.mark.parametrize("given", ["", "-x", "a b", "a;b", "x" * 65])
def test_a_name_that_is_not_well_formed_is_replaced(client: TestClient, given: str) -> None:
    answer = client.get("/query/x", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] == answer.json()["request"]
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])


def test_a_stream_is_one_request_until_its_end(client: TestClient, out: io.StringIO) -> None:
    client.get("/stream")
    assert [line["event"] for line in lines(out)] == ["frame", "http.request"]
    assert len({line["request"] for line in lines(out)}) == 1


@pytest.mark.parametrize(("name", "status"), [("refused", 422), ("broken", 500)])
def test_what_goes_wrong_has_a_line_too(
    client: TestClient, out: io.StringIO, name: str, status: int
) -> None:
    assert client.get(f"/query/{name}").status_code == status
    (line,) = (line for line in lines(out) if line["event"] == "http.request")
    assert (line["route"], line["status"]) == ("/query/{name}", status)


def test_what_is_polled_is_quiet_unless_it_is_named(client: TestClient, out: io.StringIO) -> None:
    client.get("/health")
    client.get("/some/file.js")
    assert lines(out) == []
    client.get("/health", headers={"X-Request-ID": "mine"})
    assert [line["request"] for line in lines(out)] == ["mine"]


def test_names_of_routes_are_templates_and_few(client: TestClient) -> None:
    for number in range(50):
        client.get(f"/query/{number}")
        client.get(f"/nowhere/{number}")
        client.request(f"X{number}", "/query/1")
    text = client.app_state.http_metrics.render().decode()  # type: ignore[attr-defined]
    assert 'route="/query/{name}",status="2xx"} 50.0' in text
    assert 'route="page"' in text
    assert text.count("xoe_http_requests_total{") == 3
