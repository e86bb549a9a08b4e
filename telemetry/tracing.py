"""One trace a turn, one span a stage; nothing leaves the machine unless an endpoint is set.

Spans carry names, numbers and short identifiers, never a question's or a document's text: whatever
is no identifier is replaced, and of an error only its class is kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import structlog
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import Status, StatusCode, format_span_id, format_trace_id
from opentelemetry.trace import set_span_in_context as in_context

from telemetry import scope
from telemetry.recorder import TurnRecorder
from telemetry.scope import Scope
from telemetry.turn_file import FOLDER, TurnFile
from telemetry.turn_record import Scalar, TurnRecord

log = structlog.get_logger(__name__)

TurnKind = Literal["typed", "spoken", "api", "ingest"]

_NO_TEXT: Final = "(text)"
_IDENTIFIER: Final = re.compile(r"[\w.:/+@-]{1,64}")
_TURN_ID: Final = re.compile(r"[0-9A-Za-z-]{4,64}")
_LIMITS: Final = SpanLimits(max_attributes=32, max_events=4, max_links=4, max_attribute_length=64)
_OTLP_PATH: Final = "/v1/traces"
_EXPORT_TIMEOUT_S: Final = 5.0
_CLOSE_S: Final = 3.0


class _Frame(Scope):
    """A scope with the span that it stands for."""

    __slots__ = ("otel", "settled")

    def __init__(self, otel: OtelSpan, *, turn: str, session: str, parent: Scope | None) -> None:
        context = otel.get_span_context()
        super().__init__(
            trace_id=format_trace_id(context.trace_id),
            span_id=format_span_id(context.span_id),
            turn=turn,
            session=session,
            parent=parent,
        )
        self.otel = otel
        self.settled = False
        """Whether it is known how it ended: a stream is closed after its end too."""


class Span:
    """What the code inside a span sees of it; outside a turn it takes everything and keeps none."""

    __slots__ = ("_frame",)

    def __init__(self, frame: _Frame | None) -> None:
        """``frame`` is ``None`` outside a turn."""
        self._frame = frame

    @property
    def turn(self) -> str | None:
        """The turn's id, as ``xoe trace`` takes it."""
        return None if self._frame is None else self._frame.turn

    def set(self, **attributes: Scalar) -> None:
        """Add what is known now, of a turn its ``outcome`` above all.

        A string that is no identifier is replaced.
        """
        if self._frame is None:
            return
        clean = _clean(attributes)
        self._frame.otel.set_attributes(clean)
        if "outcome" in clean:  # the whole turn's, wherever in it that is known
            frame: Scope | None = self._frame
            while isinstance(frame, _Frame):
                frame.settled = True
                if frame.parent is None:
                    frame.otel.set_attribute("outcome", clean["outcome"])
                frame = frame.parent


class Tracer:
    """Makes the spans of one server. Wired once; any task or thread may use it."""

    def __init__(
        self,
        *,
        file: TurnFile | None = None,
        exporter: SpanProcessor | None = None,
    ) -> None:
        """``file`` keeps the turns that have ended, ``exporter`` sends their spans elsewhere."""
        self._file = file
        self._recorder = TurnRecorder(self._turn_ended)
        self._provider = TracerProvider(
            # Named here in full: the defaults look into the environment and at the machine.
            sampler=ALWAYS_ON,
            resource=Resource({"service.name": "xoe-novai"}),
            shutdown_on_exit=False,
            span_limits=_LIMITS,
        )
        self._provider.add_span_processor(self._recorder)
        if exporter is not None:
            self._provider.add_span_processor(exporter)
        self._otel = self._provider.get_tracer("xoe")

    @classmethod
    def create(cls, data_dir: Path, otlp_endpoint: str | None = None) -> Tracer:
        """Return a tracer that keeps recent turns in ``data_dir``.

        With an endpoint, with or without the path ``/v1/traces``, it sends spans there too;
        importing what that takes is slow, so call it in a thread.
        """
        exporter = None if otlp_endpoint is None else _exporter(otlp_endpoint)
        return cls(file=TurnFile(data_dir / FOLDER), exporter=exporter)

    def turns(self) -> list[TurnRecord]:
        """Return the last turns that have ended, oldest first."""
        return self._recorder.turns()

    @contextmanager
    def turn(
        self,
        kind: TurnKind,
        *,
        session: str,
        turn_id: str | None = None,
        started: float | None = None,
    ) -> Iterator[Span]:
        """Trace a turn; every log line in here is named after it.

        ``started``, on ``time.perf_counter``'s clock, is when it began, if that was earlier.
        Inside another turn this is a span of that turn.
        """
        if scope.current() is not None:
            with self.span(f"turn.{kind}") as inner:
                yield inner
            return
        own = turn_id if turn_id and _TURN_ID.fullmatch(turn_id) else secrets.token_hex(6)
        short = shortened_session(session)
        otel = self._otel.start_span(
            f"turn.{kind}",
            context=Context(),
            attributes={"turn": own, "kind": kind, "session": short},
            start_time=_wall_ns(started),
        )
        frame = _Frame(otel, turn=own, session=short, parent=None)
        with self._within(frame) as span:
            yield span

    @contextmanager
    def span(self, name: str, **attributes: Scalar) -> Iterator[Span]:
        """Trace a stage of the current turn; outside a turn this does nothing.

        An error is noted by its class. In an async generator the span lasts until the generator is
        closed, and what its reader does meanwhile counts as inside.
        """
        parent = scope.current()
        if not isinstance(parent, _Frame):
            yield Span(None)
            return
        otel = self._otel.start_span(
            name, context=in_context(parent.otel, Context()), attributes=_clean(attributes)
        )
        frame = _Frame(otel, turn=parent.turn, session=parent.session, parent=parent)
        with self._within(frame) as span:
            yield span

    def record(
        self, name: str, started: float, ended: float | None = None, **attributes: Scalar
    ) -> None:
        """Add a stage of the current turn that is over, by its times on ``time.perf_counter``.

        Without ``ended`` it ends now. For stages that are known only afterwards: a wait in another
        thread's queue, or what was done before there was a turn.
        """
        parent = scope.current()
        if isinstance(parent, _Frame):
            otel = self._otel.start_span(
                name,
                context=in_context(parent.otel, Context()),
                attributes=_clean(attributes),
                start_time=_wall_ns(started),
            )
            otel.end(end_time=_wall_ns(ended))

    async def aclose(self) -> None:
        """Write and send what waits, for some seconds at most."""
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Write and send what waits, for some seconds at most; blocks."""
        ending = threading.Thread(target=self._provider.shutdown, name="xoe-otlp-end", daemon=True)
        ending.start()  # a collector that hangs would hold it for half a minute
        ending.join(_CLOSE_S)
        if self._file is not None:
            self._file.close()

    @contextmanager
    def _within(self, frame: _Frame) -> Iterator[Span]:
        scope.enter(frame)
        try:
            yield Span(frame)
        except (asyncio.CancelledError, GeneratorExit):
            if not frame.settled:
                frame.otel.set_attribute("cancelled", True)
            raise
        except BaseException as exc:
            frame.otel.set_status(Status(StatusCode.ERROR, type(exc).__name__))
            raise
        finally:
            frame.otel.end()
            scope.leave(frame)

    def _turn_ended(self, record: TurnRecord, again: bool) -> None:
        if not again:  # still inside the turn's scope, so the line is named after it
            log.info("turn.ended", kind=record.kind, outcome=record.outcome, ms=record.ms)
        if self._file is not None:
            self._file.put(record)


def shortened_session(session: str) -> str:
    """Return what stands for a session in logs and traces: the id itself opens its history."""
    return hashlib.sha256(session.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _wall_ns(moment: float | None) -> int | None:
    """Return a moment of ``time.perf_counter`` as nanoseconds since 1970."""
    if moment is None:
        return None
    return time.time_ns() - round((time.perf_counter() - moment) * 1e9)


def _clean(attributes: dict[str, Scalar]) -> dict[str, Scalar]:
    return {
        key: _NO_TEXT if isinstance(value, str) and not _IDENTIFIER.fullmatch(value) else value
        for key, value in attributes.items()
    }


def _exporter(endpoint: str) -> SpanProcessor:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    url = endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + _OTLP_PATH
    exporter = OTLPSpanExporter(endpoint=url, timeout=_EXPORT_TIMEOUT_S)
    log.info("trace.exported", host=urlsplit(url).hostname)
    return BatchSpanProcessor(exporter)
