"""Logging: one line an event, on stderr, never on stdout.

JSON where another program reads it, a readable form on a terminal. Our own events follow the
level of the settings; what other libraries log through the standard library takes the same form
and is quieted to warnings. Each line names the request, session, turn, trace and span in which it
was written. No event at info level or above carries a document's text or a question's.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Sequence
from typing import Any, Final, Literal, TextIO, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from telemetry import scope

Level = Literal["debug", "info", "warning", "error"]

_CHATTY: Final = ("chainlit", "engineio", "httpcore", "httpx", "openai", "socketio", "uvicorn")
"""Libraries that set a level of their own when they are imported."""

# structlog's defaults print the local variables of each frame, which hold documents' text.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure_logging(
    level: Level, *, as_json: bool | None = None, stream: TextIO | None = None
) -> None:
    """Send all events to ``stream`` (stderr); call it before Chainlit is imported.

    ``as_json`` defaults to true when the stream is not a terminal. Calling it again replaces what
    was set up before.
    """
    out = sys.stderr if stream is None else stream
    unfailing = cast(TextIO, _Unfailing(out))
    json_lines = not out.isatty() if as_json is None else as_json
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _name_scope,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=json_lines),
    ]
    last: Sequence[Processor] = (
        (_TRACEBACKS, structlog.processors.JSONRenderer(default=str, ensure_ascii=False))
        if json_lines
        else (
            structlog.dev.ConsoleRenderer(
                colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        )
    )
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_NamedLoggers(unfailing),
        cache_logger_on_first_use=False,  # else a second call would not reach modules' loggers
    )
    _route_standard_library(level, unfailing, shared, last)


_LOST = (OSError, ValueError)
"""What a full disk raises, and a stream that was closed or cannot spell a character."""


class _Unfailing:
    """A stream that loses a line rather than fail: a log must not break a turn."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(*_LOST):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(*_LOST):
            self._stream.flush()


class _NamedLogger(structlog.WriteLogger):
    """Writes whole lines under a lock, and knows the name of its module."""

    def __init__(self, file: TextIO, name: str) -> None:
        super().__init__(file)
        self.name = name


class _NamedLoggers:
    """Makes a logger for each module."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def __call__(self, name: str = "xoe", *_: Any) -> WrappedLogger:
        return _NamedLogger(self._file, name)


def _route_standard_library(
    level: Level, out: TextIO, shared: list[Processor], last: Sequence[Processor]
) -> None:
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _one_line],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    threshold = max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()])
    root.setLevel(threshold)
    for name in _CHATTY:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(threshold)
    logging.captureWarnings(True)


def _name_scope(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for key, value in scope.ids().items():
        event.setdefault(key, value)
    return event


def _one_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Keep what a library says to one line of bounded length: it may quote anything."""
    text = " ".join(str(event["event"]).split())
    event["event"] = text if len(text) <= 500 else text[:499] + "…"
    return event
