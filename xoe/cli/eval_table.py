"""How ``xoe eval`` shows a run: its figures and differences, with their intervals drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from chains.evaluation.intervals import DIFFERENCE_LEVEL, LEVEL, Interval
from chains.evaluation.measures import MEASURES, Figure, Measure, Quantile, figures
from chains.evaluation.replies import CaseResult
from chains.evaluation.results import Comparison
from telemetry.machine import Machine

_CELLS = 25
"""Of a drawn interval."""
_WIDE = 120
"""Columns of a terminal on which there is room to say what each measure is, and …"""
_ROOMY = 108
"""… to draw differences too."""


def print_run(
    told: Mapping[str, Any],
    replies: Sequence[CaseResult],
    comparisons: Sequence[Comparison],
    regressions: Sequence[str],
) -> None:
    """Print a run as it is told in JSON, with what it was compared with."""
    console = Console(highlight=False)
    stopped = " (ended early)" if told["stopped"] or told["error"] else ""
    asked = f"{told['questions']} questions{stopped}, {told['answerable']} answerable"
    console.print(f"{told['file']}, model {told['model']}: {asked}\n", markup=False)
    console.print(_figures(figures(replies), titles=console.width >= _WIDE))
    for comparison in comparisons:
        console.print(f"\n{comparison.label}: {comparison.questions} questions\n", markup=False)
        console.print(_differences(comparison, drawn=console.width >= _ROOMY))
    if regressions:
        console.print(f"\nWorse than the kept run: {', '.join(regressions)}.", style="red")
    console.print(f"\n{Machine(**told['machine'])}", soft_wrap=True, markup=False)


def _figures(found: Mapping[str, Figure], *, titles: bool) -> Table:
    table = _table("measure", "value", f"{LEVEL:.0%} interval", "of", "0" + " " * 23 + "1", "")
    for measure in MEASURES:
        figure = found.get(measure.name)
        if figure is not None:
            table.add_row(
                measure.name,
                _value(measure, figure.value),
                _ends(measure, figure.interval),
                str(figure.count),
                _drawn(figure.value, figure.interval, 0, 1) if _is_share(measure) else "",
                measure.title if titles else "",
            )
    return table


def _differences(comparison: Comparison, *, drawn: bool) -> Table:
    widest = max(
        (
            abs(end)
            for measure in MEASURES
            if _is_share(measure) and (found := comparison.differences.get(measure.name))
            for end in (found.interval.low, found.interval.high)
        ),
        default=0,
    )
    reach = max(0.05, math.ceil(widest * 20) / 20)  # so that the axis ends on a round figure
    axis = f"{-reach:+.2f}".ljust(10) + "0".center(5) + f"{reach:+.2f}".rjust(10)
    table = _table(
        *("measure", "before", "after", "change", f"{DIFFERENCE_LEVEL:.0%} interval"),
        *(axis if drawn else "", ""),
    )
    for measure in MEASURES:
        found = comparison.differences.get(measure.name)
        if found is None:
            continue
        table.add_row(
            measure.name,
            _value(measure, comparison.before[measure.name].value),
            _value(measure, comparison.after[measure.name].value),
            _value(measure, found.value, sign=True),
            _ends(measure, found.interval, sign=True),
            _drawn(found.value, found.interval, -reach, reach)
            if drawn and _is_share(measure)
            else "",
            _verdict(measure, found.interval),
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(columns[0], no_wrap=True)
    for column in columns[1:-2]:
        table.add_column(column, justify="right", no_wrap=True)
    for column in columns[-2:]:
        table.add_column(column, no_wrap=True)
    return table


def _drawn(value: float, interval: Interval, low: float, high: float) -> str:
    """Return an interval as a line with its figure, on an axis from ``low`` to ``high``."""

    def cell(at: float) -> int:
        place = (at - low) / (high - low) * (_CELLS - 1)
        return min(_CELLS - 1, max(0, round(place)))

    cells = ["·"] * _CELLS
    if low < 0:
        cells[cell(0)] = "│"
    for place in range(cell(interval.low), cell(interval.high) + 1):
        cells[place] = "─"
    cells[cell(value)] = "●"
    return "".join(cells)


def _verdict(measure: Measure, interval: Interval) -> str:
    if interval.low <= 0 <= interval.high:
        return ""
    return "better" if (interval.low > 0) == (measure.better == "higher") else "worse"


def _is_share(measure: Measure) -> bool:
    return not isinstance(measure, Quantile)


def _value(measure: Measure, value: float, *, sign: bool = False) -> str:
    plus = "+" if sign else ""
    return f"{value:{plus}.3f}" if _is_share(measure) else f"{value:{plus},.0f}"


def _ends(measure: Measure, interval: Interval, *, sign: bool = False) -> str:
    low, high = (_value(measure, end, sign=sign) for end in (interval.low, interval.high))
    return f"{low} … {high}"
