"""Engines in processes of their own: what is lost with one, and that it comes back.

The processes are real; what they host is a service without a model (``tests/engine_service.py``).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import engine_service
import psutil
import pytest
import structlog
from engine_service import ClosedError, LostError, Words, heard, puppet

import engines.life
import engines.process
import engines.worker
from core.errors import EngineBusyError, EngineNotReadyError, ModelLoadError, QuestionError
from engines.process import _RunDelays
from engines.restarts import GIVE_UP_AFTER, PROVE_AFTER
from engines.wire import LENGTHS, MAX_PAYLOAD_BYTES
from engines.worker import Worker

pytestmark = pytest.mark.integration

PATIENCE_S = 60
"""A net for what would otherwise hang; nothing is measured against it."""


@pytest.fixture(scope="module")
def shared() -> Iterator[Worker[Words]]:
    """An engine for tests after which it is there again."""
    with running(puppet()) as worker:
        yield worker


@contextlib.contextmanager
def running(worker: Worker[Words]) -> Iterator[Worker[Words]]:
    worker.start().result(PATIENCE_S)
    try:
        yield worker
    finally:
        worker.stop()


async def until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not done():
            await asyncio.sleep(0.01)


async def works(worker: Worker[Words]) -> bool:
    return await heard(worker, "words", count=2) == [0, 1, {}]


async def begun(worker: Worker[Words], method: str, **arguments: Any) -> Words:
    """Submit a job, and wait for its first event, which is taken."""
    job = Words(method, arguments)
    worker.submit(job)
    await until(lambda: job._events)
    job._events.clear()
    return job


async def ends_with(job: Words, kind: type[Exception]) -> Any:
    with pytest.raises(kind) as caught:
        async with asyncio.timeout(PATIENCE_S):
            async for _ in job.events():
                pass
    return caught.value


def is_gone(pid: int) -> bool:
    """Whether there is no such process, not even one that nobody has waited for."""
    return not psutil.pid_exists(pid)


# ── calls ────────────────────────────────────────────────────────────────────────────────────────


async def test_what_goes_in_comes_back_to_the_letter(shared: Worker[Words]) -> None:
    texts = {"text": "Größe \ud800 \x00 \u2028", "empty": "", "deep": [[[1.5, None, True]]]}
    for payload in (b"", bytes(range(256)) * 40_000):
        frame = await asyncio.wrap_future(shared.call("echo", texts, payload))
        assert frame.head == texts
        assert frame.payload == payload


async def test_events_come_in_order_and_before_the_result(shared: Worker[Words]) -> None:
    assert await heard(shared, "words", count=500) == [*range(500), {}]


async def test_jobs_are_carried_out_one_after_the_other(shared: Worker[Words]) -> None:
    answers = await asyncio.gather(*(heard(shared, "words", count=n + 1) for n in range(8)))
    assert answers == [[*range(n + 1), {}] for n in range(8)]


async def test_a_lane_of_its_own_does_not_wait_for_the_work(shared: Worker[Words]) -> None:
    job = await begun(shared, "run_on")
    await asyncio.wrap_future(shared.call("aside", {}))
    shared.cancel(job)


async def test_an_error_of_ours_arrives_as_it_is_and_another_as_a_failure(
    shared: Worker[Words],
) -> None:
    pid = shared.pid
    with pytest.raises(QuestionError, match="no question"):
        await heard(shared, "err")
    with pytest.raises(LostError, match="RuntimeError: something unexpected") as caught:
        await heard(shared, "fail")
    assert caught.value.is_fault
    assert await works(shared)
    assert shared.pid == pid


async def test_a_queue_has_a_limit() -> None:
    with running(puppet(limit=2)) as worker:
        running_job = await begun(worker, "run_on")
        jobs = [Words("words", {"count": 1}) for _ in range(2)]
        for job in jobs:
            worker.submit(job)
        with pytest.raises(EngineBusyError):
            worker.submit(Words("words", {"count": 1}))
        worker.cancel(running_job)
        for job in jobs:
            assert [event async for event in job.events()] == [0, {}]


async def test_its_log_lines_are_in_our_log(shared: Worker[Words]) -> None:
    with structlog.testing.capture_logs() as lines:
        await heard(shared, "report")
    told = next(line for line in lines if line["event"] == "puppet.told")
    assert told == {
        "event": "puppet.told",
        "log_level": "warning",
        "engine": "puppet",
        "number": 7,
    }


async def test_what_is_too_large_for_a_frame_is_refused_and_costs_nothing_else(
    shared: Worker[Words],
) -> None:
    pid, too_many = shared.pid, MAX_PAYLOAD_BYTES + 1
    with pytest.raises(LostError, match="out of bounds"):
        await asyncio.wrap_future(shared.call("echo", {}, bytes(too_many), stall_s=1))
    with pytest.raises(LostError, match="out of bounds"):
        await heard(shared, "huge", bytes=too_many)
    job = Words("echo", {}, bytes(too_many))
    shared.submit(job)
    await ends_with(job, LostError)
    assert await works(shared)
    assert shared.pid == pid


async def test_a_result_that_is_none_costs_one_job(shared: Worker[Words]) -> None:
    with pytest.raises(LostError):
        await heard(shared, "wrong")
    assert await works(shared)


async def test_a_library_that_prints_without_end_does_not_block(shared: Worker[Words]) -> None:
    assert await heard(shared, "shout", lines=5_000) == [{}]


# ── cancelling, and what is stuck ────────────────────────────────────────────────────────────────


async def test_cancelling_stops_the_call_and_no_other(shared: Worker[Words]) -> None:
    pid = shared.pid
    for _ in range(20):
        job = await begun(shared, "run_on")
        after = Words("words", {"count": 1})
        shared.submit(after)
        shared.cancel(job)
        assert [event async for event in after.events()] == [0, {}]
    assert shared.pid == pid


async def test_who_leaves_the_queue_is_never_served(shared: Worker[Words]) -> None:
    job = await begun(shared, "run_on")
    waiting = Words("die", {"signal": int(signal.SIGKILL)})
    shared.submit(waiting)
    shared.cancel(waiting)
    shared.cancel(job)
    pid = shared.pid
    assert await works(shared)
    assert shared.pid == pid


async def test_a_loop_that_was_closed_does_not_keep_the_engine(shared: Worker[Words]) -> None:
    def ask_and_leave() -> None:
        async def ask() -> None:
            await begun(shared, "words", count=10**6, pause_s=0.002)

        asyncio.run(ask())

    await asyncio.to_thread(ask_and_leave)
    assert await works(shared)


async def test_a_call_that_does_not_hear_its_cancellation_is_killed(
    shared: Worker[Words], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it says all the time how well it gets on."""
    monkeypatch.setattr(engines.process, "CANCEL_S", 0.5)
    pid, job = shared.pid, await begun(shared, "deaf")
    shared.cancel(job)
    assert await works(shared)
    assert shared.pid != pid


async def test_a_call_that_does_not_get_on_is_killed() -> None:
    with running(puppet(stall_s=0.5)) as worker:
        pid, job = worker.pid, await begun(worker, "stuck")
        waiting = Words("words", {"count": 1})
        worker.submit(waiting)
        lost = await ends_with(job, LostError)
        assert lost.is_stuck
        assert [event async for event in waiting.events()] == [0, {}]
        assert worker.pid != pid
        long = heard(worker, "words", count=20, pause_s=0.1)
        assert len(await long) == 21  # it gets on, however long it takes


async def test_a_process_that_is_stopped_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.life, "SILENCE_S", 1.5)
    with running(puppet()) as worker:
        pid, job = worker.pid, await begun(worker, "run_on")
        assert pid
        os.kill(pid, signal.SIGSTOP)
        assert (await ends_with(job, LostError)).is_stuck
        assert await works(worker)
        assert is_gone(pid)
        idle = worker.pid
        assert idle
        os.kill(idle, signal.SIGSTOP)
        await until(lambda: worker.pid not in (None, idle) and worker.state == "ready")
        assert worker.report().restarts == 2


# ── dying, and coming back ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["SIGILL", "SIGSEGV", "SIGBUS", "SIGABRT", "SIGKILL", "SIGTERM"])
async def test_a_death_costs_what_was_under_way_and_nothing_else(
    shared: Worker[Words], kind: str
) -> None:
    pid, restarts = shared.pid, shared.report().restarts
    with structlog.testing.capture_logs() as lines:
        dying = Words("die", {"signal": int(getattr(signal, kind))})
        waiting = Words("words", {"count": 1})
        shared.submit(dying)
        shared.submit(waiting)
        aside = shared.call("aside", {})
        lost = await ends_with(dying, LostError)
        assert [event async for event in waiting.events()] == [0, {}]
    assert kind in str(lost)
    assert not lost.is_stuck
    with contextlib.suppress(LostError):  # it was answered before, or lost too
        await asyncio.wrap_future(aside)
    ended = next(line for line in lines if line["event"] == "engine.ended")
    assert ended["said"] == "these are the last words"
    report = shared.report()
    assert (report.state, report.restarts) == ("ready", restarts + 1)
    assert kind in report.problem
    assert shared.pid != pid
    assert is_gone(ended["pid"])


async def test_one_that_dies_again_and_again_is_started_with_growing_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[int] = []

    def pause_s(losses: int) -> float:
        pauses.append(losses)
        return 0.0

    monkeypatch.setattr(engines.restarts, "pause_s", pause_s)
    with running(puppet()) as worker:
        for _ in range(3):
            with pytest.raises(LostError):
                await heard(worker, "die", signal=int(signal.SIGSEGV))
        assert await works(worker)  # it has done something now
        with pytest.raises(LostError):
            await heard(worker, "die", signal=int(signal.SIGSEGV))
        monkeypatch.setattr(engines.restarts, "LONG_LIFE_S", 0.0)  # it has lived long now
        with pytest.raises(LostError):
            await heard(worker, "die", signal=int(signal.SIGSEGV))
        assert await works(worker)
    assert pauses == [0, 1, 2, 0, 0]


async def test_one_that_dies_while_it_loads_is_started_again(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    with running(puppet(marks=str(marks), deaths=2)) as worker:
        assert await works(worker)
        assert worker.report().restarts == 2
        assert "SIGILL" in worker.report().problem


async def test_one_that_never_comes_up_is_proven_once_and_then_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = tmp_path / "marks"
    worker = puppet(
        marks=str(marks),
        deaths=GIVE_UP_AFTER,
        environment=lambda prove: {"PROVE": "proven"} if prove else {},
    )
    try:
        loading = worker.start()
        waiting = Words("words", {"count": 1})
        worker.submit(waiting)
        with pytest.raises(ModelLoadError, match=r"4 times in a row .*SIGILL.* left alone"):
            await asyncio.wrap_future(loading)
        await ends_with(waiting, EngineNotReadyError)
        report = worker.report()
        assert (report.state, report.pid) == ("failed", None)
        assert "SIGILL" in report.problem
        starts = marks.read_text().splitlines()
        assert starts == ["proven." if n == PROVE_AFTER else "." for n in range(GIVE_UP_AFTER)]
        for _ in range(3):  # who asks now is told so, and starts nothing
            with pytest.raises(ModelLoadError):
                await asyncio.wrap_future(worker.start())
            with pytest.raises(EngineNotReadyError):
                worker.submit(Words("words", {"count": 1}))
            with pytest.raises(ModelLoadError):
                await asyncio.wrap_future(worker.call("echo", {}))
        assert len(marks.read_text().splitlines()) == GIVE_UP_AFTER
        monkeypatch.setattr(worker._life, "_rests_until", time.monotonic())
        await asyncio.wrap_future(worker.start())
        assert await works(worker)
    finally:
        worker.stop()


async def test_one_that_ends_at_each_job_is_proven_and_left_alone_unless_a_job_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engines.restarts.BARREN_GIVE_UP_AFTER", 2)
    marks = tmp_path / "marks"
    worker = puppet(
        marks=str(marks), environment=lambda prove: {"PROVE": "proven"} if prove else {}
    )
    try:
        await asyncio.wrap_future(worker.start())
        for _ in range(3):  # a good job now and then: it goes on
            with pytest.raises(LostError):
                await heard(worker, "die", signal=signal.SIGSEGV)
            assert await works(worker)
        for _ in range(3):  # the first of them in a life that did something
            with pytest.raises(LostError):
                await heard(worker, "die", signal=signal.SIGSEGV)
        await until(lambda: worker.state == "failed")
        assert "2 times in a row" in (worker.problem or "")
        assert marks.read_text().splitlines()[-1] == "proven."
        with pytest.raises(EngineNotReadyError):
            worker.submit(Words("words", {"count": 1}))
    finally:
        worker.stop()


async def test_one_that_cannot_load_says_why_at_once_and_may_be_started_again() -> None:
    worker = puppet(flaw="odd")
    try:
        for _ in range(2):
            with pytest.raises(ModelLoadError, match=r"cannot be loaded.*an odd engine"):
                await asyncio.wrap_future(worker.start())
            assert worker.pid is None  # each start is one from the beginning
    finally:
        worker.stop()


async def test_one_that_is_no_service_is_left_alone() -> None:
    worker = puppet(service="engine_service:NoSuchThing")
    try:
        with pytest.raises(ModelLoadError, match="ended by itself with code 1"):
            await asyncio.wrap_future(worker.start())
    finally:
        worker.stop()


async def test_one_that_does_not_get_loaded_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines.life, "LOAD_S", 0.5)
    worker = puppet(flaw="hangs")
    try:
        with pytest.raises(ModelLoadError, match="not ready within"):
            await asyncio.wrap_future(worker.start())
        assert worker.pid is None
    finally:
        worker.stop()


async def test_a_machine_that_starts_no_process_fails_it_with_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    worker = puppet()
    try:
        with pytest.raises(ModelLoadError, match="cannot be started: No such file"):
            await asyncio.wrap_future(worker.start())
    finally:
        worker.stop()


async def test_one_that_has_grown_is_renewed_when_nobody_needs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines.worker, "GROWTH_BYTES", 64 * 2**20)
    with running(puppet()) as worker:
        assert await works(worker)
        pid = worker.pid
        swelling = Words("swell", {"bytes": 128 * 2**20})
        waiting = await begun(worker, "run_on")
        worker.submit(swelling)
        last = Words("words", {"count": 3})
        worker.submit(last)
        worker.cancel(waiting)
        assert [event async for event in last.events()] == [0, 1, 2, {}]
        await until(lambda: worker.pid not in (None, pid) and worker.state == "ready")
        assert worker.report().restarts == 0
        assert await works(worker)


def frame(head: bytes, payload: bytes = b"") -> bytes:
    return LENGTHS.pack(len(head), len(payload)) + head + payload


@pytest.mark.parametrize(
    "data",
    [
        b"\xff" * 64,
        LENGTHS.pack(1, MAX_PAYLOAD_BYTES + 1),
        frame(b"not JSON"),
        frame(b"\xff\xfe"),
        frame(b"[1, 2]"),
        frame(b"[" * 100_000),
        frame(b'{"call": [1]}'),
        frame(b'{"log": "bind", "name": "x", "fields": 7}'),
    ],
    ids=["noise", "size", "text", "bytes", "list", "depth", "number", "log"],
)
async def test_one_that_sends_nonsense_is_replaced(shared: Worker[Words], data: bytes) -> None:
    pid = shared.pid
    job = Words("raw", {"then_s": 600}, data)
    shared.submit(job)
    assert "nonsense" in str(await ends_with(job, LostError))
    assert await works(shared)
    assert shared.pid != pid


async def test_a_frame_for_nobody_is_dropped(shared: Worker[Words]) -> None:
    pid = shared.pid
    for data in (frame(b'{"call": 999999, "result": {}}'), frame(b"{}", b"x" * 1000)):
        job = Words("raw", {"then_s": 0}, data)
        shared.submit(job)
        assert [event async for event in job.events()] == [{}]
    assert shared.pid == pid


# ── starting and stopping ────────────────────────────────────────────────────────────────────────


async def test_starts_at_the_same_time_share_a_load(tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    worker = puppet(marks=str(marks))
    try:
        with ThreadPoolExecutor(8) as pool:
            for loading in list(pool.map(lambda _: worker.start(), range(32))):
                loading.result(PATIENCE_S)
        assert marks.read_text().count(".") == 1
    finally:
        worker.stop()


async def test_stopping_ends_what_runs_what_waits_and_the_process(shared: Worker[Words]) -> None:
    worker = puppet()
    worker.start().result(PATIENCE_S)
    pid, job = worker.pid, await begun(worker, "run_on")
    waiting = Words("words", {"count": 1})
    worker.submit(waiting)
    behind = worker.call("echo", {})  # in the same lane as what runs
    assert pid
    await asyncio.to_thread(worker.stop)
    assert is_gone(pid)
    await ends_with(job, ClosedError)
    await ends_with(waiting, ClosedError)
    with pytest.raises(ClosedError):
        behind.result(PATIENCE_S)
    with pytest.raises(ClosedError):
        worker.submit(Words("words", {"count": 1}))
    assert worker.state == "stopped"
    worker.stop()
    with running(worker):
        assert await works(worker)
        assert worker.pid != pid


async def test_one_that_was_stopped_by_a_signal_can_be_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines.process, "_STOP_S", 0.2)
    worker = puppet()
    worker.start().result(PATIENCE_S)
    pid = worker.pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    await asyncio.to_thread(worker.stop)
    assert is_gone(pid)


async def test_stopping_while_it_loads_leaves_nothing(shared: Worker[Words]) -> None:
    for delay_s in (0.0, 0.02, 0.6):
        worker = puppet(flaw="slow")
        before = set(psutil.Process().children())
        loading = worker.start()
        await asyncio.sleep(delay_s)
        await asyncio.to_thread(worker.stop)
        with pytest.raises(ClosedError):
            loading.result(0)
        assert not set(psutil.Process().children()) - before


async def test_whatever_is_asked_while_it_stops_and_starts_has_an_end() -> None:
    """Nothing waits for a loop that is closed, and no process is left."""
    worker = puppet()
    before = set(psutil.Process().children())
    asked: list[Future[Any]] = []
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            asked.extend((worker.start(), worker.call("echo", {}), worker.call("aside", {})))
            time.sleep(0.001)

    def stop() -> None:
        for _ in range(6):
            time.sleep(0.15)
            worker.stop()

    with ThreadPoolExecutor(4) as pool:
        askers = [pool.submit(ask) for _ in range(2)]
        stoppers = [pool.submit(stop) for _ in range(2)]
        for stopper in stoppers:
            await asyncio.wrap_future(stopper)
        is_over.set()
        for asker in askers:
            await asyncio.wrap_future(asker)
    await asyncio.to_thread(worker.stop)
    for future in asked:
        assert isinstance(future.exception(PATIENCE_S), EngineNotReadyError | LostError | None)
    assert len(asked) > 100
    assert not set(psutil.Process().children()) - before


async def test_lives_leave_no_files_and_no_threads_behind() -> None:
    def open_now() -> tuple[int, int]:
        return psutil.Process().num_fds(), psutil.Process().num_threads()

    async def live() -> None:
        worker = puppet()
        worker.start().result(PATIENCE_S)
        with pytest.raises(LostError):
            await heard(worker, "die", signal=int(signal.SIGKILL))
        assert await works(worker)
        await asyncio.to_thread(worker.stop)

    await live()
    await until(lambda: threading.active_count() < 20)
    files, threads = open_now()
    for _ in range(3):
        await live()
    async with asyncio.timeout(PATIENCE_S):
        while open_now() > (files, threads):
            await asyncio.sleep(0.05)


# ── the server's own life ────────────────────────────────────────────────────────────────────────


@pytest.fixture
def server() -> Iterator[subprocess.Popen[str]]:
    """A process that has an engine; it prints the engine's id for each line that it is sent."""
    process = subprocess.Popen(
        [sys.executable, engine_service.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def engine_of(server: subprocess.Popen[str]) -> psutil.Process:
    assert server.stdin
    assert server.stdout
    server.stdin.write("\n")
    server.stdin.flush()
    return psutil.Process(int(server.stdout.readline()))


@pytest.mark.parametrize("is_stopped", [False, True], ids=["running", "stopped"])
async def test_a_server_that_is_killed_takes_its_engine_along(
    server: subprocess.Popen[str], is_stopped: bool
) -> None:
    engine = engine_of(server)
    if is_stopped:
        engine.send_signal(signal.SIGSTOP)
    server.kill()
    await until(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE)


async def test_a_server_that_was_stopped_for_a_while_keeps_its_engine(
    server: subprocess.Popen[str],
) -> None:
    engine = engine_of(server)
    server.send_signal(signal.SIGSTOP)
    await asyncio.sleep(engines.process.SILENCE_S + 2)
    server.send_signal(signal.SIGCONT)
    await asyncio.sleep(1)
    assert engine_of(server) == engine


async def test_waiting_for_a_processor_is_told_from_standing_still() -> None:
    spin = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nwhile True: pass"
    sleep = "import time; print(flush=True); time.sleep(600)"
    programs = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        for program in (spin, spin, spin, sleep)
    ]
    try:
        starved, asleep = _RunDelays(programs[0].pid), _RunDelays(programs[-1].pid)
        starved.waited_s()
        await until(lambda: starved.waited_s() > 0.005)
        await asyncio.to_thread(programs[-1].stdout.readline)  # it has started
        await asyncio.sleep(0.2)
        asleep.waited_s()
        await asyncio.sleep(0.5)
        assert asleep.waited_s() == 0
        assert starved.waited_s() > 0.1
    finally:
        for program in programs:
            program.kill()
            program.communicate()
    assert _RunDelays(programs[0].pid).waited_s() == 0  # it has ended: there is nothing to tell


async def test_nobody_waits_long_for_one_that_is_being_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engines.life, "RESTART_WAIT_S", 0.2)
    monkeypatch.setattr(engines.restarts, "pause_s", lambda _: 1.5)
    with running(puppet()) as worker:
        with pytest.raises(LostError):
            await heard(worker, "die", signal=int(signal.SIGSEGV))
        await until(lambda: worker.state == "loading")
        waiting = Words("words", {"count": 1})
        worker.submit(waiting)
        await ends_with(waiting, LostError)
        with pytest.raises(LostError, match="being started again"):
            worker.submit(Words("words", {"count": 1}))
        await until(lambda: worker.state == "ready")
        assert await works(worker)
