"""Promises of the traces."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import io
import json
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest
import structlog

from telemetry import scope, tracing
from telemetry.logging import configure_logging
from telemetry.recorder import KEPT_TURNS
from telemetry.tracing import Tracer
from telemetry.turn_file import NEWER, OLDER, TurnFile, read_turns
from telemetry.turn_record import TurnRecord, from_json, to_json


@pytest.fixture
def tracer() -> Iterator[Tracer]:
    tracer = Tracer()
    yield tracer
    tracer.close()


def only(tracer: Tracer) -> TurnRecord:
    (turn,) = tracer.turns()
    return turn


def turn() -> str | None:
    """The turn that is under way here."""
    current = scope.current()
    return None if current is None else current.turn


def names(turn: TurnRecord) -> list[str]:
    return [span.name for span in turn.spans]


def parent_name(turn: TurnRecord, name: str) -> str:
    (span,) = (span for span in turn.spans if span.name == name)
    return next(other.name for other in turn.spans if other.span_id == span.parent_id)


def test_a_turn_holds_its_stages_in_order_and_as_they_were_nested(tracer: Tracer) -> None:
    with tracer.turn("typed", session="s", turn_id="turn-1") as turn:
        with tracer.span("retrieval", passages=3), tracer.span("dense"):
            pass
        with tracer.span("generate") as span:
            span.set(tokens=12, profile="fast")
        turn.set(outcome="answered")
    record = only(tracer)
    assert names(record) == ["turn.typed", "retrieval", "dense", "generate"]
    assert parent_name(record, "dense") == "retrieval"
    assert parent_name(record, "generate") == "turn.typed"
    assert record.spans[3].attributes == {"tokens": 12, "profile": "fast"}
    assert (record.turn, record.kind, record.outcome) == ("turn-1", "typed", "answered")
    assert all(span.ms is not None and span.ms >= 0 for span in record.spans)
    assert len(record.trace_id) == 32
    assert all(len(span.span_id) == 16 for span in record.spans)


def test_no_text_gets_into_a_span(tracer: Tracer) -> None:
    question = "Who has the secret recipe?"
    with (
        contextlib.suppress(ValueError),
        tracer.turn("typed", session="my session"),
        tracer.span("retrieval", text=question) as span,
    ):
        span.set(other="a\nb", long="x" * 65, fine="all-MiniLM-L6-v2")
        raise ValueError(question)
    record = only(tracer)
    assert "recipe" not in json.dumps(to_json(record))
    assert "my session" not in json.dumps(to_json(record))
    stage = record.spans[1]
    assert stage.error == "ValueError"
    assert stage.attributes == {
        "text": "(text)",
        "other": "(text)",
        "long": "(text)",
        "fine": "all-MiniLM-L6-v2",
    }
    assert (record.root.error, record.outcome) == ("ValueError", "failed")


def test_a_cancelled_stage_is_no_error(tracer: Tracer) -> None:
    async def run() -> None:
        async def work() -> None:
            with tracer.turn("typed", session="s"), tracer.span("generate"):
                await asyncio.sleep(60)

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(run())
    record = only(tracer)
    assert [span.error for span in record.spans] == [None, None]
    assert record.outcome == "cancelled"


async def test_a_stream_closed_after_its_end_was_not_cancelled(tracer: Tracer) -> None:
    async def stream() -> AsyncGenerator[int, None]:
        with tracer.turn("api", session="s") as turn:
            turn.set(outcome="answered")
            yield 1

    async with contextlib.aclosing(stream()) as events:
        async for _ in events:
            break
    record = only(tracer)
    assert record.root.attributes == {"outcome": "answered"}


def test_outside_a_turn_nothing_is_traced(tracer: Tracer) -> None:
    with tracer.span("warm") as span:
        span.set(tokens=1)
    tracer.record("read", 0.0)
    assert tracer.turns() == []
    assert scope.current() is None


def test_a_turn_within_a_turn_is_a_stage_of_it(tracer: Tracer) -> None:
    outer = tracer.turn("spoken", session="s", turn_id="outer")
    with outer, tracer.turn("spoken", session="s") as inner:
        assert turn() == inner.turn == "outer"
        inner.set(outcome="answered")
    assert names(only(tracer)) == ["turn.spoken", "turn.spoken"]
    assert only(tracer).outcome == "answered"


async def test_stages_in_threads_and_tasks_belong_to_their_turn(tracer: Tracer) -> None:
    def in_thread(name: str) -> str | None:
        with tracer.span(name):
            return turn()

    async def one(number: int) -> list[str | None]:
        with tracer.turn("typed", session="s", turn_id=f"turn-{number}"):
            thread = asyncio.to_thread(in_thread, f"thread-{number}")
            task = asyncio.create_task(asyncio.to_thread(in_thread, f"task-{number}"))
            return [await thread, await task]

    results = await asyncio.gather(*(one(number) for number in range(20)))
    assert results == [[f"turn-{n}"] * 2 for n in range(20)]
    for record in tracer.turns():
        number = record.turn.removeprefix("turn-")
        assert sorted(names(record)[1:]) == [f"task-{number}", f"thread-{number}"]


async def test_langchain_runs_stages_inside_their_turn(tracer: Tracer) -> None:
    from langchain_core.runnables import RunnableGenerator, RunnableLambda

    async def find(question: str) -> str:
        with tracer.span("find"):
            await asyncio.sleep(0)
            return question

    async def write(parts: object) -> object:
        async for part in parts:  # type: ignore[attr-defined]
            with tracer.span("write"):
                yield part

    chain = RunnableLambda(find) | RunnableGenerator(write)  # type: ignore[arg-type]
    with tracer.turn("typed", session="s"):
        assert [piece async for piece in chain.astream("x")] == ["x"]
    record = only(tracer)
    assert names(record) == ["turn.typed", "find", "write"]
    assert parent_name(record, "find") == parent_name(record, "write") == "turn.typed"


async def test_a_generator_closed_by_another_task_ends_its_span(
    tracer: Tracer, caplog: pytest.LogCaptureFixture
) -> None:
    async def stream() -> AsyncGenerator[int, None]:
        with tracer.span("generate"):
            yield 1
            yield 2

    async def close(generator: AsyncGenerator[int, None]) -> None:
        await generator.aclose()

    with tracer.turn("typed", session="s"):
        generator = stream()
        await anext(generator)
        await asyncio.create_task(close(generator))
        with tracer.span("after"):  # its span is still the context's, but has ended
            pass
    assert scope.current() is None
    record = only(tracer)
    assert names(record) == ["turn.typed", "generate", "after"]
    assert parent_name(record, "after") == "turn.typed"
    assert record.spans[1].ms is not None
    assert caplog.records == []


async def test_a_task_that_outlives_its_turn_is_no_part_of_the_next(tracer: Tracer) -> None:
    go = asyncio.Event()

    async def late() -> str | None:
        await go.wait()
        with tracer.span("late"):
            return turn()

    with tracer.turn("typed", session="s"):
        task = asyncio.create_task(late())
        await asyncio.sleep(0)
    go.set()
    assert await task is None
    assert names(only(tracer)) == ["turn.typed"]


async def test_a_stage_that_has_not_ended_is_shown_and_completed_later(
    tracer: Tracer, tmp_path: Path
) -> None:
    kept = Tracer(file=TurnFile(tmp_path))
    go = asyncio.Event()

    async def slow() -> None:
        with kept.span("remember"):
            await go.wait()

    with kept.turn("typed", session="s"):
        task = asyncio.create_task(slow())
        await asyncio.sleep(0)
    assert [span.ms is None for span in only(kept).spans] == [False, True]
    go.set()
    await task
    assert [span.ms is None for span in only(kept).spans] == [False, False]
    await kept.aclose()
    (written,) = read_turns(tmp_path)
    assert written == only(kept)


def test_what_was_done_before_the_turn_was_known_is_in_it(tracer: Tracer) -> None:
    import time

    now = time.perf_counter()
    with tracer.turn("spoken", session="s", started=now - 2):
        tracer.record("stt", now - 1.5, now - 0.5, frames=80)
    record = only(tracer)
    stt = record.spans[1]
    assert stt.start_ms == pytest.approx(500, abs=1)
    assert stt.ms == pytest.approx(1000, abs=1)
    assert record.ms is not None
    assert record.ms >= 2000


def test_only_the_last_turns_and_so_many_spans_are_kept(tracer: Tracer) -> None:
    for number in range(KEPT_TURNS + 50):
        with tracer.turn("typed", session="s", turn_id=f"turn-{number}"):
            pass
    turns = [turn.turn for turn in tracer.turns()]
    assert turns == [f"turn-{n}" for n in range(50, KEPT_TURNS + 50)]
    with tracer.turn("typed", session="s"):
        for _ in range(1000):
            with tracer.span("token"):
                pass
    assert len(tracer.turns()[-1].spans) == 256


@pytest.mark.parametrize("given", ["", "x", "a b", "../../etc", "x" * 65, "a\nb"])
def test_an_unfit_id_gives_way_to_one_of_ours(tracer: Tracer, given: str) -> None:
    with tracer.turn("typed", session="s", turn_id=given) as turn:
        assert turn.turn != given
        assert turn.turn is not None
        assert turn.turn.isalnum()


# ── logs ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def log_lines() -> io.StringIO:
    out = io.StringIO()
    configure_logging("info", stream=out)
    return out


def test_every_line_of_a_turn_names_it(tracer: Tracer, log_lines: io.StringIO) -> None:
    log = structlog.get_logger("x")
    log.info("before")
    with scope.request("req-1"), tracer.turn("typed", session="secret", turn_id="turn-1"):
        log.info("in turn")
        with tracer.span("retrieval"):
            log.info("in stage")
            logging.getLogger("library").warning("in stage")
    log.info("after")
    before, turn, stage, library, ended, after = map(json.loads, log_lines.getvalue().splitlines())
    record = only(tracer)
    for line in (turn, stage, library, ended):
        assert (line["turn"], line["request"]) == ("turn-1", "req-1")
        assert line["trace_id"] == record.trace_id
        assert line["session"] == record.session != "secret"
    assert turn["span_id"] == ended["span_id"] == record.root.span_id
    assert stage["span_id"] == library["span_id"] == record.spans[1].span_id
    assert ended["event"] == "turn.ended"
    for line in (before, after):
        assert not {"turn", "request", "trace_id", "span_id", "session"} & set(line)


# ── the file ─────────────────────────────────────────────────────────────────────────────────


def write_turns(folder: Path, count: int, **options: int) -> list[TurnRecord]:
    tracer = Tracer(file=TurnFile(folder, **options))
    for number in range(count):
        turn = tracer.turn("typed", session="s", turn_id=f"turn-{number}")
        with turn, tracer.span("retrieval", passages=number):
            pass
    turns = tracer.turns()
    tracer.close()
    return turns


def test_turns_are_read_back_after_the_server_has_ended(tmp_path: Path) -> None:
    written = write_turns(tmp_path / "traces", 20)
    assert read_turns(tmp_path / "traces") == written
    assert all(from_json(to_json(turn)) == turn for turn in written)


def test_the_files_are_bounded_and_keep_the_latest(tmp_path: Path) -> None:
    written = write_turns(tmp_path, 150, max_bytes=20_000)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {NEWER, OLDER}
    assert max(sizes.values()) <= 20_000
    read = read_turns(tmp_path)
    assert 20 < len(read) < 150
    assert read == written[-len(read) :]


def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    write_turns(tmp_path / "traces", 1)
    assert (tmp_path / "traces").stat().st_mode & 0o077 == 0
    assert (tmp_path / "traces" / NEWER).stat().st_mode & 0o077 == 0


def test_a_line_that_a_crash_cut_short_costs_that_turn_only(tmp_path: Path) -> None:
    first = write_turns(tmp_path, 3)
    path = tmp_path / NEWER
    path.write_bytes(path.read_bytes()[:-40])
    second = write_turns(tmp_path, 2)
    assert read_turns(tmp_path) == [*first[:2], *second]


@pytest.mark.parametrize("junk", [b"null\n", b"[]\n", b"{}\n", b'{"turn": 1}\n', b"\xff\x00\n"])
def test_what_is_no_turn_is_passed_over(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / NEWER).write_bytes(junk)
    written = write_turns(tmp_path, 1)
    assert read_turns(tmp_path) == written


def test_a_folder_that_cannot_be_written_costs_no_turn(tmp_path: Path) -> None:
    (tmp_path / "traces").write_text("a file where the folder should be")
    file = TurnFile(tmp_path / "traces")
    tracer = Tracer(file=file)
    with tracer.turn("typed", session="s"):
        pass
    tracer.close()
    assert len(tracer.turns()) == 1
    assert file.dropped == 1


# ── sending them elsewhere ───────────────────────────────────────────────────────────────────


def test_without_an_endpoint_nothing_is_loaded_started_or_sent(tmp_path: Path) -> None:
    program = f"""
import os, socket, sys, threading
os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://192.0.2.1:4318"  # of another program
def refuse(*_): raise AssertionError("a connection")
socket.socket.connect = refuse
from pathlib import Path
from telemetry.tracing import Tracer
tracer = Tracer.create(Path({str(tmp_path)!r}))
assert threading.active_count() == 1, threading.enumerate()
with tracer.turn("typed", session="s"), tracer.span("retrieval"):
    pass
print([t.name for t in threading.enumerate() if t is not threading.main_thread()])
print([name for name in sys.modules if "otlp" in name or name == "requests"])
tracer.close()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-2:] == ["['xoe-traces']", "[]"], done.stderr


class Collector(http.server.BaseHTTPRequestHandler):
    """Takes what an OpenTelemetry collector would."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.path, body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("path", ["", "/", "/v1/traces"])
def test_with_an_endpoint_the_spans_are_sent_there(tmp_path: Path, path: str) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    server = http.server.HTTPServer(("127.0.0.1", 0), Collector)
    server.taken = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    tracer = Tracer.create(tmp_path, f"http://127.0.0.1:{server.server_port}{path}")
    with tracer.turn("typed", session="s", turn_id="turn-1"), tracer.span("retrieval"):
        pass
    record = only(tracer)
    tracer.close()
    server.shutdown()
    ((asked, body),) = server.taken  # type: ignore[attr-defined]
    request = ExportTraceServiceRequest.FromString(body)
    spans = request.resource_spans[0].scope_spans[0].spans
    assert asked == "/v1/traces"
    assert {span.name for span in spans} == {"turn.typed", "retrieval"}
    assert {span.trace_id.hex() for span in spans} == {record.trace_id}


def test_a_collector_that_hangs_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "_EXPORT_TIMEOUT_S", 1.0)
    monkeypatch.setattr(tracing, "_CLOSE_S", 0.3)
    with socket.socket() as silent:  # takes connections and never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        tracer = Tracer.create(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces")
        with tracer.turn("typed", session="s"):
            pass
        ending = threading.Thread(target=tracer.close, daemon=True)
        ending.start()
        ending.join(20)
        assert not ending.is_alive()
        assert any(thread.name.startswith("Otel") for thread in threading.enumerate())
    for thread in threading.enumerate():
        if thread.name.startswith("Otel"):
            thread.join(20)  # it still tells the log that it gave up
    assert len(read_turns(tmp_path / "traces")) == 1
