"""A turn and its spans as plain values: what is kept in memory, in the file, and printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Scalar = str | int | float | bool


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """One stage of a turn."""

    name: str
    span_id: str
    """16 hex digits."""
    parent_id: str | None
    """``None`` for the turn itself."""
    start_ms: float
    """From the turn's beginning; below zero for what led to the turn."""
    ms: float | None
    """``None``: it had not ended when the turn did."""
    error: str | None = None
    """The error's class."""
    attributes: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TurnRecord:
    """One turn; the first span is the turn itself."""

    turn: str
    trace_id: str
    """32 hex digits."""
    kind: str
    session: str
    began: float
    """Seconds since 1970."""
    spans: tuple[SpanRecord, ...]

    @property
    def root(self) -> SpanRecord:
        """The span of the whole turn."""
        return self.spans[0]

    @property
    def ms(self) -> float | None:
        """How long the turn took."""
        return self.root.ms

    @property
    def outcome(self) -> str:
        """How it ended: what the turn said itself, else failed, cancelled or nothing."""
        said = self.root.attributes.get("outcome")
        if said is not None:
            return str(said)
        if self.root.error is not None:
            return "failed"
        return "cancelled" if self.root.attributes.get("cancelled") else ""


def in_tree(record: TurnRecord) -> list[tuple[int, SpanRecord]]:
    """Return the spans with their depth, each before what is in it, in order of their beginnings.

    A span whose own parent was not kept counts as one of the turn's stages.
    """
    inside: dict[str, list[SpanRecord]] = {}
    known = {span.span_id for span in record.spans}
    for span in record.spans[1:]:
        parent = span.parent_id if span.parent_id in known else record.root.span_id
        inside.setdefault(str(parent), []).append(span)
    ordered: list[tuple[int, SpanRecord]] = []
    waiting = [(0, record.root)]
    while waiting:
        depth, span = waiting.pop()
        ordered.append((depth, span))
        # Taken out, so that a damaged file in which spans contain each other ends too.
        waiting += [(depth + 1, child) for child in reversed(inside.pop(span.span_id, []))]
    return ordered


def to_json(record: TurnRecord) -> dict[str, Any]:
    """Return the turn as JSON-able values."""
    return {
        "turn": record.turn,
        "trace_id": record.trace_id,
        "kind": record.kind,
        "session": record.session,
        "began": record.began,
        "ms": record.ms,
        "outcome": record.outcome,
        "spans": [
            {
                "name": span.name,
                "span_id": span.span_id,
                "parent_id": span.parent_id,
                "start_ms": span.start_ms,
                "ms": span.ms,
                "error": span.error,
                "attributes": dict(span.attributes),
            }
            for span in record.spans
        ],
    }


def from_json(raw: Mapping[str, Any]) -> TurnRecord:
    """Return the turn that ``to_json`` wrote.

    Raises ``ValueError``, ``TypeError``, ``KeyError`` or ``AttributeError`` for anything else.
    """
    spans = tuple(
        SpanRecord(
            name=str(span["name"]),
            span_id=str(span["span_id"]),
            parent_id=None if span["parent_id"] is None else str(span["parent_id"]),
            start_ms=float(span["start_ms"]),
            ms=None if span["ms"] is None else float(span["ms"]),
            error=None if span["error"] is None else str(span["error"]),
            attributes={str(key): value for key, value in span["attributes"].items()},
        )
        for span in raw["spans"]
    )
    if not spans:
        raise ValueError("a turn has at least its own span")
    return TurnRecord(
        turn=str(raw["turn"]),
        trace_id=str(raw["trace_id"]),
        kind=str(raw["kind"]),
        session=str(raw["session"]),
        began=float(raw["began"]),
        spans=spans,
    )
