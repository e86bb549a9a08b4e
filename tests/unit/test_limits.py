"""Nobody asks faster or sends more than is good for the others, and each is told so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from core.errors import EngineBusyError
from core.settings import Settings
from core.share import Share, as_share, share
from xoe.auth.buckets import Rate
from xoe.auth.identity import Identity, visitor
from xoe.auth.limits import Admission, LimitKind, RateLimits, too_fast
from xoe.web.limits import BodyLimit, BodyLimits, BodyPace, FairRequests
from xoe.web.problems import headers_of, status_of
from xoe.web.protection import body_limits


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
    assert len(rates._buckets) == 3
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


def somebody(name: str, invitation: str | None = None) -> Identity:
    if invitation is None:
        return Identity(f"user:{name}", "user", name, login="1")
    return Identity(f"guest:{name}", "guest", name, login="1", invitation=invitation)


def granted(limits: RateLimits, who: Identity, kind: LimitKind, times: int = 100) -> int:
    return sum(limits.take_for(who, kind) == 0 for _ in range(times))


def test_a_guests_pages_share_one_rate_of_their_own() -> None:
    settings = Settings(limit_questions=60, limit_guest_questions=4)
    limits = RateLimits.of(settings, clock=Clock())
    guest = somebody("ab", "party")
    assert granted(limits, guest, "question") == 2
    assert limits.take_for(guest, "program") > 0, "by HTTP it is the same rate"
    assert granted(limits, somebody("cd", "party"), "question") == 2
    assert granted(limits, somebody("ann"), "question") == 16


def test_all_guests_of_an_invitation_together_have_the_rate_of_one_owner() -> None:
    settings = Settings(limit_questions=60, limit_guest_questions=12)
    limits = RateLimits.of(settings, clock=Clock())
    asked = [granted(limits, somebody(f"{n}", "party"), "question") for n in range(10)]
    assert sum(asked) == granted(limits, somebody("ann"), "question") == 16
    assert asked[:2] == [6, 6], "one guest does not use up what is there for all"
    assert granted(limits, somebody("x", "other party"), "question") == 6


def test_at_no_rate_comes_more_at_once_than_one_owner_may_have_waiting() -> None:
    settings = Settings()
    limits = RateLimits.of(settings, clock=Clock())
    for kind in ("question", "program"):
        at_once = granted(limits, somebody(kind), kind, times=10_000)
        assert at_once == settings.llm_queue_limit // 8


def test_a_session_name_that_another_uses_up_is_still_mine() -> None:
    limits = RateLimits.of(Settings(), clock=Clock())
    while not limits.take("session", "user:ann/my-notebook"):
        pass
    assert limits.take("session", "user:bob/my-notebook") == 0


def test_questions_under_way_are_counted_for_each_owner_and_given_back() -> None:
    admission = Admission(Settings(llm_queue_limit=32))
    ann, bob = somebody("ann"), somebody("bob")
    with contextlib.ExitStack() as under_way:
        for n in range(4):
            whose = ann.share_of_program(f"s{n}", "")
            under_way.enter_context(admission.question(ann, whose))
        with pytest.raises(EngineBusyError) as error, admission.question(ann, whose):
            pass
        assert error.value.own
        assert status_of(error.value) == 429
        assert int(headers_of(error.value)["Retry-After"]) >= 1
        assert "You have 4 questions under way" in str(error.value)
        with admission.question(bob, bob.share_of_program("s0", "")):
            assert share() == Share("user:bob", "s0")
        with admission.question(ann, ann.share_at_page("page")):
            assert share().interactive
    assert len(admission) == 0


def test_one_guest_leaves_room_for_the_others_of_the_invitation() -> None:
    admission = Admission(Settings(llm_queue_limit=64))
    guests = [somebody(f"{n}", "party") for n in range(5)]
    with contextlib.ExitStack() as under_way:

        def ask(guest: Identity) -> int:
            for n in range(100):
                try:
                    whose = guest.share_of_program(f"s{n}", "")
                    under_way.enter_context(admission.question(guest, whose))
                except EngineBusyError:
                    return n
            return 100

        assert [ask(guest) for guest in guests] == [2, 2, 2, 2, 0]
        ann = somebody("ann")
        assert ask(ann) == 8


def test_who_counts_as_whom() -> None:
    guest, user = somebody("ab", "party"), somebody("ann")
    assert guest.share_at_page("chat") == Share("invitation:party", "guest:ab", interactive=True)
    assert guest.share_of_program("s", "::1").owner == "invitation:party"
    assert user.share_at_page("chat") == Share("user:ann", "chat", interactive=True)
    assert user.share_of_program("s", "10.0.0.1") == Share("user:ann", "s")
    here = visitor("0" * 32)
    assert here.share_at_page("chat").owner == here.id
    # A program can make up cookies; not its address.
    assert here.share_of_program("s", "127.0.0.1").owner == "address:127.0.0.1"


def test_a_full_server_is_told_otherwise_than_an_owners_own_limit() -> None:
    full = EngineBusyError(128, 12.3)
    assert (status_of(full), headers_of(full)) == (503, {"Retry-After": "13"})
    assert str(full) == (
        "The model is busy: 128 questions are waiting already. Please try again in 13 seconds."
    )


async def test_reads_of_the_database_are_served_to_owners_in_turns() -> None:
    """A slow reader of answers, and a slow sender of requests, hold no place."""
    served: list[str] = []
    goes_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive())["body"]
        assert body == b"whole"
        served.append(share().owner)
        await goes_on.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    fair = FairRequests(app)
    statuses: dict[str, list[int]] = {"a": [], "b": []}

    async def ask(owner: str, *, first: asyncio.Event | None = None) -> None:
        bodies = iter([b"who", b"le"] if first is not None else [b"whole"])

        async def receive() -> Message:
            body = next(bodies)
            if first is not None and body == b"le":
                await first.wait()
            return {"type": "http.request", "body": body, "more_body": body == b"who"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses[owner].append(message["status"])
            else:
                await asyncio.sleep(0)

        with as_share(Share(owner, interactive=True)):
            scope = {"type": "http", "method": "POST", "path": "/project/threads"}
            await fair(scope, receive, send)

    never = asyncio.Event()
    slow = [asyncio.create_task(ask("a", first=never)) for _ in range(8)]
    flood = [asyncio.create_task(ask("a")) for _ in range(200)]
    await asyncio.sleep(0)
    other = asyncio.create_task(ask("b"))
    await asyncio.sleep(0)
    assert served == ["a"] * 4
    assert statuses["a"].count(429) == 200 - 4 - 64
    goes_on.set()
    await asyncio.gather(*flood, other)
    assert "b" in served[4:8]
    assert statuses["b"] == [200]
    for task in slow:
        task.cancel()
