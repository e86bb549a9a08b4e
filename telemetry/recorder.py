"""Keeps the spans of the last turns, whatever else is done with them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Final, cast

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanContext, StatusCode, format_span_id, format_trace_id

from telemetry.turn_record import Scalar, SpanRecord, TurnRecord

KEPT_TURNS: Final = 200
_OPEN_TURNS: Final = 1000
_SPANS: Final = 256
"""Of one turn; more are dropped and counted, the turn's own span never."""


class TurnRecorder(SpanProcessor):
    """Gathers each turn's spans; called from any thread."""

    def __init__(
        self, on_turn: Callable[[TurnRecord, bool], None], *, kept: int = KEPT_TURNS
    ) -> None:
        """``on_turn`` is given each turn that ends.

        When a span of it ends later it is called again, with true.
        """
        self._on_turn = on_turn
        self._kept = kept
        self._lock = threading.Lock()
        self._open: OrderedDict[int, dict[int, ReadableSpan]] = OrderedDict()
        self._ended: OrderedDict[int, TurnRecord] = OrderedDict()
        self.dropped_spans = 0

    def turns(self) -> list[TurnRecord]:
        """Return the turns that have ended, oldest first."""
        with self._lock:
            return list(self._ended.values())

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Note that a span has begun."""
        trace, own = _ids(span)
        with self._lock:
            if span.parent is None:
                self._open[trace] = {own: span}
                if len(self._open) > _OPEN_TURNS:  # turns that never end
                    self._open.popitem(last=False)
            elif (spans := self._open.get(trace)) is not None:
                if len(spans) < _SPANS:
                    spans[own] = span
                else:
                    self.dropped_spans += 1

    def on_end(self, span: ReadableSpan) -> None:
        """Note a span's end; with the turn's own span the turn is complete."""
        trace, _ = _ids(span)
        is_late = span.parent is not None
        with self._lock:
            if not is_late:
                spans = self._open.pop(trace, None)
                if spans is None:
                    return
                record = _turn(list(spans.values()))
            else:
                before = self._ended.get(trace)
                if trace in self._open or before is None:
                    return
                record = _with_late(before, span)
                if record is before:
                    return
            self._ended[trace] = record
            if len(self._ended) > self._kept:
                self._ended.popitem(last=False)
        self._on_turn(record, is_late)

    def shutdown(self) -> None:
        """Nothing to do: what has ended stays readable."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return True


def _ids(span: ReadableSpan) -> tuple[int, int]:
    context = cast(SpanContext, span.get_span_context())  # None only for one that is made by hand
    return context.trace_id, context.span_id


def _turn(spans: list[ReadableSpan]) -> TurnRecord:
    root = spans[0]
    began_ns = root.start_time or 0
    attributes = root.attributes or {}
    others = sorted(
        (_span(span, began_ns) for span in spans[1:]), key=lambda record: record.start_ms
    )
    return TurnRecord(
        turn=str(attributes.get("turn", "")),
        trace_id=format_trace_id(_ids(root)[0]),
        kind=str(attributes.get("kind", "")),
        session=str(attributes.get("session", "")),
        began=began_ns / 1e9,
        spans=(_span(root, began_ns), *others),
    )


def _with_late(record: TurnRecord, span: ReadableSpan) -> TurnRecord:
    late = _span(span, round(record.began * 1e9))
    others = [known for known in record.spans if known.span_id != late.span_id]
    if len(others) >= _SPANS:
        return record
    return replace(
        record, spans=(others[0], *sorted([*others[1:], late], key=lambda known: known.start_ms))
    )


def _span(span: ReadableSpan, began_ns: int) -> SpanRecord:
    start_ns, end_ns = span.start_time or began_ns, span.end_time
    failed = span.status.status_code is StatusCode.ERROR
    known = {"turn", "kind", "session"} if span.parent is None else set()
    return SpanRecord(
        name=span.name,
        span_id=format_span_id(_ids(span)[1]),
        parent_id=None if span.parent is None else format_span_id(span.parent.span_id),
        start_ms=round((start_ns - began_ns) / 1e6, 2),
        ms=None if end_ns is None else round((end_ns - start_ns) / 1e6, 2),
        error=span.status.description if failed else None,
        attributes={
            key: cast(Scalar, value)
            for key, value in (span.attributes or {}).items()
            if key not in known
        },
    )
