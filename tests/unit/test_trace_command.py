"""``xoe trace``: what it shows of turns that are kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from telemetry.tracing import Tracer
from telemetry.turn_file import FOLDER, TurnFile
from telemetry.turn_record import SpanRecord, TurnRecord, from_json, in_tree
from xoe.cli import app


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    tracer = Tracer(file=TurnFile(tmp_path / FOLDER))
    for turn_id in ("abc1-first", "abc2-second", "def-third"):
        with tracer.turn("typed", session="s", turn_id=turn_id) as turn:
            with tracer.span("retrieval", passages=3), tracer.span("dense"):
                pass
            tracer.record("queue", 0.0, 0.0)
            turn.set(outcome="answered")
    tracer.close()
    return tmp_path


def run(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["trace", "--data-dir", str(folder), *arguments])


def test_without_a_turn_the_recent_ones_are_listed_latest_first(kept: Path) -> None:
    listed = run(kept).stdout.splitlines()
    assert [line.split()[0] for line in listed[1:]] == ["def-third", "abc2-second", "abc1-first"]
    told = json.loads(run(kept, "--json").stdout)
    assert [turn["turn"] for turn in told["turns"]] == ["def-third", "abc2-second", "abc1-first"]


@pytest.mark.parametrize("wanted", ["abc2-second", "abc2", "abc2-"])
def test_a_turn_is_found_by_the_beginning_of_its_id(kept: Path, wanted: str) -> None:
    shown = run(kept, wanted).stdout
    assert "typed turn abc2-second: answered" in shown
    lines = shown.splitlines()
    (retrieval,) = (line for line in lines if line.startswith("  retrieval"))
    (dense,) = (line for line in lines if line.startswith("    dense"))
    assert "█" in retrieval
    assert "passages=3" in retrieval
    assert lines.index(dense) == lines.index(retrieval) + 1


def test_the_last_turn_as_json_is_whole(kept: Path) -> None:
    record = from_json(json.loads(run(kept, "--last", "--json").stdout))
    assert record.turn == "def-third"
    assert from_json(json.loads(run(kept, record.trace_id[:12], "--json").stdout)) == record


@pytest.mark.parametrize(
    ("wanted", "told"), [("zzz", "No turn zzz is kept"), ("abc", "2 turns begin with abc")]
)
def test_what_is_not_one_turn_is_said(kept: Path, wanted: str, told: str) -> None:
    result = run(kept, wanted, "--json")
    assert result.exit_code == 1
    assert told in json.loads(result.stdout)["error"]


def test_without_any_turn_it_says_what_to_do(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.exit_code == 1
    assert "Ask a question first" in result.stderr


def test_spans_that_contain_each_other_do_not_hang_it() -> None:
    def span(own: str, parent: str | None) -> SpanRecord:
        return SpanRecord(own, own, parent, 0.0, 1.0)

    spans = (span("root", None), span("a", "b"), span("b", "a"), span("c", "gone"))
    record = TurnRecord("t", "0" * 32, "typed", "s", 0.0, spans)
    assert [(depth, found.name) for depth, found in in_tree(record)] == [(0, "root"), (1, "c")]
