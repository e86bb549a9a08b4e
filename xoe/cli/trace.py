"""``xoe trace``: where the time of a recent turn went."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from telemetry.turn_file import FOLDER, read_turns
from telemetry.turn_record import TurnRecord, in_tree, to_json
from xoe.cli.common import AsJson, DataDir, fail, print_json, reported, settings_for

_LISTED = 20
_BAR = 40
_NAME = 28

Turn = Annotated[
    str | None, typer.Argument(help="The turn's id or its trace's, or the beginning of it.")
]
Last = Annotated[bool, typer.Option("--last", help="The latest turn.")]


def trace_command(
    turn: Turn = None, last: Last = False, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Show the stages of a recent turn; without a turn, list the recent ones.

    Turns are kept for a while in the data folder, so this works with and without a server.
    """
    with reported(as_json):
        settings = settings_for(data_dir, quiet=True)
        kept = read_turns(settings.data_dir / FOLDER)
        if not kept:
            fail(f"No turn is kept in {settings.data_dir} yet. Ask a question first.", as_json)
        if turn is None and not last:
            _list(kept[-_LISTED:], as_json)
            return
        found = kept[-1] if turn is None else _find(kept, turn, as_json)
        if as_json:
            print_json(to_json(found))
        else:
            _print(found)


def _find(kept: list[TurnRecord], wanted: str, as_json: bool) -> TurnRecord:
    found = [
        record
        for record in kept
        if record.turn.startswith(wanted) or record.trace_id.startswith(wanted)
    ]
    exact = [record for record in found if wanted in (record.turn, record.trace_id)]
    matching = exact or found
    if not matching:
        fail(f"No turn {wanted} is kept; 'xoe trace' lists those that are.", as_json)
    if len(matching) > 1:
        fail(f"{len(matching)} turns begin with {wanted}; give more of the id.", as_json)
    return matching[0]


def _list(kept: list[TurnRecord], as_json: bool) -> None:
    if as_json:
        print_json({"turns": [_line(record) for record in reversed(kept)]})
        return
    table = Table(box=None, pad_edge=False)
    for title in ("turn", "when", "kind", "outcome"):
        table.add_column(title)
    table.add_column("ms", justify="right")
    for record in reversed(kept):
        table.add_row(record.turn, _when(record), record.kind, record.outcome, _ms(record.ms))
    Console(highlight=False).print(table)


def _line(record: TurnRecord) -> dict[str, Any]:
    return {key: value for key, value in to_json(record).items() if key != "spans"}


def _print(record: TurnRecord) -> None:
    console = Console(highlight=False)
    ended = record.outcome or "not known how it ended"
    console.print(f"{record.kind} turn {record.turn}: {ended}, {_ms(record.ms)} ms")
    where = f"{_when(record)}, session {record.session}, trace {record.trace_id}"
    console.print(where, soft_wrap=True)
    console.print(f"\n{'stage':<{_NAME}} {'start ms':>9} {'ms':>9}", style="bold")
    spans = in_tree(record)
    first = min(span.start_ms for _, span in spans)
    whole = max(max(span.start_ms + (span.ms or 0.0) for _, span in spans) - first, 0.01)
    for depth, span in spans:
        name = f"{'  ' * depth}{span.name}"
        line = Text(f"{name:<{_NAME}.{_NAME}} {span.start_ms:>9.1f} {_ms(span.ms):>9}  ")
        colour = "red" if span.error else "cyan"
        line.append(f"{_bar(span.start_ms - first, span.ms, whole):<{_BAR}}", style=colour)
        notes = [f"{key}={value}" for key, value in span.attributes.items()]
        if span.error:
            notes.insert(0, span.error)
        if span.ms is None:
            notes.insert(0, "had not ended")
        line.append("  " + " ".join(notes))
        line.rstrip()
        console.print(line, soft_wrap=True)


def _bar(start: float, ms: float | None, whole: float) -> str:
    left = min(round(start / whole * _BAR), _BAR - 1)
    if ms is None:
        return " " * left + "╌" * (_BAR - left)
    return " " * left + "█" * max(1, min(round(ms / whole * _BAR), _BAR - left))


def _when(record: TurnRecord) -> str:
    return datetime.fromtimestamp(record.began).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _ms(ms: float | None) -> str:
    return "…" if ms is None else f"{ms:,.1f}"
