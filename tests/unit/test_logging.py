"""Promises of the logging."""

from __future__ import annotations

import errno
import io
import json
import logging
import subprocess
import sys
import warnings
from collections.abc import Iterator

import pytest
import structlog

from telemetry.logging import configure_logging


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    with warnings.catch_warnings():
        yield
    structlog.contextvars.clear_contextvars()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_object_a_line_when_nobody_watches() -> None:
    out = io.StringIO()
    configure_logging("info", stream=out)
    structlog.get_logger("ingest.store").info("document.added", name="a\nb “é” 😀", chunks=3)
    (event,) = lines(out)
    assert event.pop("timestamp")
    assert event == {
        "event": "document.added",
        "name": "a\nb “é” 😀",
        "chunks": 3,
        "level": "info",
        "logger": "ingest.store",
    }


def test_a_terminal_gets_a_readable_line() -> None:
    out = Terminal()
    configure_logging("info", stream=out)
    structlog.get_logger("ingest.store").info("document.added", chunks=3)
    assert "document.added" in out.getvalue()
    assert "{" not in out.getvalue()


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_the_level_is_the_settings_own(level: str, shown: list[str]) -> None:
    out = io.StringIO()
    configure_logging(level, stream=out)  # type: ignore[arg-type]
    log = structlog.get_logger("x")
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("event")
    assert [event["level"] for event in lines(out)] == shown


def test_a_logger_made_before_the_set_up_follows_it() -> None:
    log = structlog.get_logger("early")
    for level in ("error", "info"):
        out = io.StringIO()
        configure_logging(level, stream=out)  # type: ignore[arg-type]
        log.info("event")
    assert [event["event"] for event in lines(out)] == ["event"]


@pytest.mark.parametrize("name", ["uvicorn.error", "httpx", "chainlit", "some.library"])
def test_other_libraries_are_heard_from_warnings_on_in_the_same_form(name: str) -> None:
    out = io.StringIO()
    configure_logging("debug", stream=out)
    logging.getLogger(name).info("chatter")
    logging.getLogger(name).warning("trouble with %s\nand more", "x")
    (event,) = lines(out)
    assert (event["event"], event["level"]) == ("trouble with x and more", "warning")
    assert event["logger"] == name


def test_a_long_message_of_a_library_is_cut() -> None:
    out = io.StringIO()
    configure_logging("info", stream=out)
    logging.getLogger("some.library").error("x" * 10_000)
    (event,) = lines(out)
    assert len(str(event["event"])) == 500


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_traceback_shows_no_local_variables(stream: type[io.StringIO]) -> None:
    out = stream()
    configure_logging("info", stream=out)

    def fails() -> None:
        passage = "the secret " + "recipe"
        raise ValueError(len(passage))

    for log in (structlog.get_logger("x").exception, logging.getLogger("y").exception):
        try:
            fails()
        except ValueError:
            log("failed")
    assert out.getvalue().count("ValueError") >= 2
    assert "secret recipe" not in out.getvalue()


def test_what_is_bound_to_the_context_is_in_every_event() -> None:
    out = io.StringIO()
    configure_logging("info", stream=out)
    with structlog.contextvars.bound_contextvars(session="ab12"):
        structlog.get_logger("x").info("event")
        logging.getLogger("y").warning("event")
    assert [event["session"] for event in lines(out)] == ["ab12", "ab12"]


def test_nothing_is_ever_written_to_stdout() -> None:
    code = """
import logging, warnings, structlog
from telemetry.logging import configure_logging
configure_logging("debug")
structlog.get_logger("x").info("ours")
logging.getLogger("chainlit").error("theirs")
warnings.warn("a warning")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert [json.loads(line)["logger"] for line in done.stderr.splitlines()] == [
        "x",
        "chainlit",
        "py.warnings",
    ]


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    configure_logging("info", stream=Full())
    structlog.get_logger("xoe.test").info("turn.done", ms=1)
    logging.getLogger("library").error("something")


def test_a_stream_that_was_closed_costs_lines_and_nothing_else() -> None:
    out = io.StringIO()
    configure_logging("info", stream=out)
    out.close()
    structlog.get_logger("xoe.test").info("turn.done", ms=1)
    logging.getLogger("library").error("something")
