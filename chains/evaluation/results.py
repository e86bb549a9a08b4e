"""A run as it is kept in a file, so that a later one can be compared with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chains.evaluation.cases import Case
from chains.evaluation.measures import Difference, Figure, differences, figures
from chains.evaluation.replies import CaseResult
from core.durable import write_over
from core.errors import EvaluationError

FORMAT: Final = "xoe-novai-evaluation"
VERSION: Final = 1


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side, over the questions of which both have replies."""

    label: str
    """What is different about the second."""
    before: Mapping[str, Figure]
    after: Mapping[str, Figure]
    differences: Mapping[str, Difference]
    questions: int


def compare(label: str, before: Sequence[CaseResult], after: Sequence[CaseResult]) -> Comparison:
    """Compare two runs, which have questions in common."""
    then = {reply.case.id: reply for reply in before}
    now = [reply for reply in after if reply.case.id in then]
    paired = [then[reply.case.id] for reply in now]
    return Comparison(label, figures(paired), figures(now), differences(paired, now), len(now))


def summary(replies: Sequence[CaseResult]) -> dict[str, Any]:
    """Return the figures of a run ready for JSON: each measure's by its name."""
    found = figures(replies)
    return {
        **{name: _short(figure.value) for name, figure in found.items()},
        "intervals": {name: _ends(figure) for name, figure in found.items()},
        "counts": {name: figure.count for name, figure in found.items()},
        "questions": len(replies),
        "answerable": sum(reply.case.answerable for reply in replies),
        "unanswerable": sum(reply.case.unanswerable for reply in replies),
    }


def compared(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison ready for JSON."""
    return {
        "label": comparison.label,
        "questions": comparison.questions,
        "before": {name: _short(f.value) for name, f in comparison.before.items()},
        "after": {name: _short(f.value) for name, f in comparison.after.items()},
        "differences": {name: _short(d.value) for name, d in comparison.differences.items()},
        "intervals": {name: _ends(d) for name, d in comparison.differences.items()},
    }


def keep(path: Path, told: Mapping[str, Any], replies: Sequence[CaseResult]) -> None:
    """Write a run with all its replies, for its owner's eyes only: whole or not at all.

    Raises ``EvaluationError`` where the file cannot be written.
    """
    kept = {
        "format": FORMAT,
        "version": VERSION,
        **told,
        "replies": [_row(reply) for reply in replies],
    }
    try:
        write_over(path, json.dumps(kept, ensure_ascii=False, indent=1).encode())
    except OSError as exc:
        raise EvaluationError(f"{path} cannot be written ({exc.strerror}).") from exc


def kept(path: Path, cases: Sequence[Case]) -> list[CaseResult]:
    """Return the replies to ``cases`` in a kept file; what it knows of others is left out.

    Raises ``EvaluationError`` where it is no such file, or has none of them.
    """
    known = {case.id: case for case in cases}
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if told["format"] != FORMAT or told["version"] != VERSION:
            raise ValueError("another format")
        rows = [row for row in told["replies"] if row["id"] in known]
        replies = [_reply(known[row["id"]], row) for row in rows]
    except OSError as exc:
        raise EvaluationError(f"{path} cannot be read ({exc.strerror}).") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise EvaluationError(f"{path} is no file that 'xoe eval --keep' has written.") from exc
    if not replies:
        raise EvaluationError(f"{path} has no reply to any of these questions.")
    return replies


def _row(reply: CaseResult) -> dict[str, Any]:
    return {
        "id": reply.case.id,
        "question": reply.case.question,
        "answers": reply.case.answers,
        "text": reply.text,
        "grounded": reply.grounded,
        "quotes": reply.quotes,
        "ranking": reply.ranking,
        "total_ms": reply.total_ms,
        "sources_ms": reply.sources_ms,
        "first_token_ms": reply.first_token_ms,
    }


def _reply(case: Case, row: Mapping[str, Any]) -> CaseResult:
    return CaseResult(
        case=case,
        text=str(row["text"]),
        grounded=bool(row["grounded"]),
        quotes=tuple(row["quotes"]),
        ranking=tuple(row["ranking"]),
        total_ms=float(row["total_ms"]),
        sources_ms=_time(row["sources_ms"]),
        first_token_ms=_time(row["first_token_ms"]),
    )


def _time(value: float | None) -> float | None:
    return None if value is None else float(value)


def _ends(of: Figure | Difference) -> list[float]:
    return [_short(of.interval.low), _short(of.interval.high)]


def _short(value: float) -> float:
    """Four decimals: more than any interval here is worth."""
    return round(value, 4)
