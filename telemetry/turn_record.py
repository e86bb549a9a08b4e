"""A turn and its spans as plain values: what is kept in memory, in the file, and printed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from pydantic import TypeAdapter

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


_RECORD: Final = TypeAdapter(TurnRecord)


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
    return asdict(record) | {"ms": record.ms, "outcome": record.outcome}


def from_json(raw: Any) -> TurnRecord:
    """Return the turn that ``to_json`` wrote. Raises ``ValueError`` for anything else."""
    record = _RECORD.validate_python(raw)
    if not record.spans:
        raise ValueError("a turn has at least its own span")
    return record
