"""Nobody asks faster or sends more than is good for the others, and each is told so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse

from accounts.identity import Identity
from xoe.limits import BodyLimit, BodyLimits, BodyPace, Rate, RateLimits, body_limits, too_fast
from xoe.settings import Settings


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def limits(clock: Clock, *, a_minute: int = 60, at_once: int = 5, tracked: int = 100) -> RateLimits:
    return RateLimits({"question": Rate(a_minute, at_once)}, clock=clock, tracked=tracked)


# Rates


def test_a_few_at_once_then_one_at_a_time() -> None:
    clock = Clock()
    rates = limits(clock)
    assert [rates.take("question", "a") for _ in range(5)] == [0] * 5
    assert rates.take("question", "a") == pytest.approx(1.0)
    clock.now += 0.4
    assert rates.take("question", "a") == pytest.approx(0.6)
    clock.now += 0.6
    assert rates.take("question", "a") == 0
    assert rates.take("question", "a") == pytest.approx(1.0)


def test_who_waits_as_long_as_told_may_go_on() -> None:
    clock = Clock()
    rates = limits(clock, a_minute=7, at_once=3)
    for _ in range(50):
        wait_s = rates.take("question", "a")
        if wait_s:
            clock.now += wait_s
            assert rates.take("question", "a") == 0


def test_one_session_does_not_slow_another() -> None:
    rates = limits(Clock())
    while not rates.take("question", "a"):
        pass
    assert rates.take("question", "b") == 0


def test_the_number_of_sessions_that_are_remembered_is_bounded() -> None:
    rates = limits(Clock(), at_once=1, tracked=3)
    for name in "abcd":
        assert rates.take("question", name) == 0
    assert len(rates._full_at) == 3
    assert rates.take("question", "d") > 0, "the latest is still known"
    assert rates.take("question", "a") == 0, "the oldest was forgotten"


@given(
    st.integers(1, 600),
    st.integers(1, 50),
    st.lists(st.floats(0, 5, allow_nan=False), min_size=1, max_size=200),
)
def test_no_pattern_of_asking_gets_more_than_the_rate(
    a_minute: int, at_once: int, pauses: list[float]
) -> None:
    clock = Clock()
    rates = limits(clock, a_minute=a_minute, at_once=at_once)
    granted = 0
    for pause in pauses:
        clock.now += pause
        wait_s = rates.take("question", "a")
        granted += not wait_s
        assert wait_s <= 60 / a_minute + 1e-6
    passed_s = clock.now - 1000.0
    assert granted <= at_once + passed_s * a_minute / 60 + 1e-6


def test_the_sentence_is_polite_and_says_when() -> None:
    assert too_fast("question", 0.2) == (
        "You are asking faster than your questions can be answered; please try again in 1 second."
    )
    assert "in 13 seconds" in too_fast("upload", 12.1)


def test_all_the_files_of_one_message_may_come_at_once() -> None:
    rates = RateLimits.of(Settings(upload_max_files=500, limit_uploads=10))
    assert [rates.take("upload", "a") for _ in range(500)] == [0] * 500
    assert rates.take("upload", "a") > 0


# Bodies


class Wanted(BaseModel):
    text: str


def client(pace: BodyPace | None = None) -> httpx.AsyncClient:
    app = FastAPI()

    @app.post("/json")
    async def read_json(wanted: Wanted) -> int:
        return len(wanted.text)

    @app.post("/raw")
    async def read_raw(request: Request) -> JSONResponse:
        return JSONResponse(len(await request.body()))

    @app.post("/careless")
    async def careless(request: Request) -> JSONResponse:
        try:
            await request.body()
        except Exception as exc:  # noqa: BLE001 - what some routes do
            return JSONResponse({"made of it": type(exc).__name__}, status_code=500)
        return JSONResponse("read")

    @app.post("/grouped")
    async def grouped(request: Request) -> JSONResponse:
        async with asyncio.TaskGroup() as tasks:  # as some middlewares read
            tasks.create_task(request.body())
        return JSONResponse("read")

    @app.post("/stream")
    async def stream(request: Request) -> StreamingResponse:
        await request.body()

        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b"piece"

        return StreamingResponse(pieces())

    table = {"/raw": BodyLimit(1000, "1,000 bytes")}
    guarded = BodyLimits(app, limits=table, pace=pace)
    transport = httpx.ASGITransport(app=guarded)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def test_a_body_within_its_routes_limit_is_read() -> None:
    async with client() as http:
        assert (await http.post("/raw", content=b"x" * 1000)).json() == 1000
        assert (await http.post("/json", json={"text": "x" * 100_000})).json() == 100_000
        assert (await http.post("/stream", content=b"")).text == "piece" * 3


@pytest.mark.parametrize("path", ["/raw", "/json", "/careless"])
async def test_a_declared_body_over_the_limit_is_refused_unread(path: str) -> None:
    async def body() -> AsyncIterator[bytes]:
        pytest.fail("the body was read")
        yield b""

    async with client() as http:
        headers = {"content-length": "999999999999999999999999"}
        answer = await http.post(path, content=body(), headers=headers)
    assert answer.status_code == 413
    assert answer.json()["detail"].startswith("It is larger than ")


@pytest.mark.parametrize("path", ["/raw", "/json", "/careless", "/grouped"])
async def test_an_undeclared_body_is_refused_while_it_is_read(path: str) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 100_000
            yield b"x" * 100_000

    async with client() as http:
        answer = await http.post(path, content=body(), headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert sent <= 400_000


async def test_a_body_that_stops_arriving_is_given_up() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(60)

    async with client(BodyPace(idle_s=0.05)) as http:
        answer = await http.post("/raw", content=body())
    assert answer.status_code == 408
    assert answer.json()["detail"].endswith(".")


async def test_a_body_that_drips_for_ever_is_given_up() -> None:
    """Each pause is short enough; together they are not."""
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x"
            await asyncio.sleep(0.01)

    async with client(BodyPace(idle_s=60, grace_s=0.3)) as http:
        answer = await http.post("/raw", content=body())
    assert answer.status_code == 408
    assert sent < 1000, "the route would have refused it for its size"


def test_what_arrives_slowly_but_steadily_is_waited_for() -> None:
    pace = BodyPace()
    second = 20 * 1024  # of a slow link, for an hour
    for passed_s in range(3600):
        assert pace.patience_s(passed_s, passed_s * second) == pace.idle_s
    assert pace.patience_s(29, 0) == pytest.approx(1)
    assert pace.patience_s(31, 0) < 0


async def test_long_addresses_and_many_headers_are_refused() -> None:
    async with client() as http:
        assert (await http.post("/raw?" + "x" * 9000)).status_code == 414
        many = {f"x-{number}": "y" for number in range(200)}
        assert (await http.post("/raw", headers=many)).status_code == 431
        assert (await http.post("/raw", headers={"x": "y" * 40_000})).status_code == 431


def test_an_upload_may_be_as_large_as_the_settings_say_and_a_question_as_long() -> None:
    table = body_limits(Settings(upload_max_mb=7))
    assert table["/project/file"].max_bytes > 7 * 1024 * 1024
    assert "7 MB" in table["/project/file"].named
    assert "/query" not in table


def test_a_guests_pages_share_one_rate_of_their_own() -> None:
    settings = Settings(limit_questions=60, limit_guest_questions=4)
    limits = RateLimits.of(settings)
    guest, user = Identity("guest:ab", "guest", "Guest 1"), Identity("user:ann", "user", "ann")
    taken = [limits.take_for(guest, "question", f"page-{n}") == 0 for n in range(4)]
    assert taken == [True, True, False, False]
    assert limits.take_for(guest, "program", "address") > 0, "by HTTP it is the same rate"
    assert limits.take_for(Identity("guest:cd", "guest", "Guest 2"), "question", "page") == 0
    assert [limits.take_for(user, "question", "page") for _ in range(30)] == [0.0] * 30
