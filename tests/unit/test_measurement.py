"""The kept measurement, and how a speed is told from moments."""

from __future__ import annotations

from pathlib import Path

import pytest

from chains.llm.probe import speed_of
from core.errors import GenerationError
from models.measurement import Measurement, load, save
from models.recommend import Speed

KEPT = Measurement(1_700_000_000.0, {"fast": Speed(100.0, 30.0), "tiny": Speed(300.0, 90.0)})


def test_what_was_kept_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "measurement.json"
    assert load(path) is None
    save(path, KEPT)
    assert load(path) == KEPT
    assert [file.name for file in tmp_path.iterdir()] == ["measurement.json"]


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[]", "null", '"fast"', "[" * 3000, "\x00\xff"),
        '{"at": 1, "speeds": {}}',
        '{"at": 1, "speeds": {"fast": [1]}}',
        '{"at": 1, "speeds": {"fast": [1, 2, 3]}}',
        '{"at": 1, "speeds": {"fast": [0, 5]}}',
        '{"at": 1, "speeds": {"fast": [1, 1e99]}}',
        '{"at": 1, "speeds": {"fast": [true, 5]}}',
        '{"at": NaN, "speeds": {"fast": [1, 5]}}',
        '{"at": 1e300, "speeds": {"fast": [1, 5]}}',
        '{"at": 1, "speeds": {"huge": [1, 5]}}',
        '{"speeds": {"fast": [1, 5]}}',
        '{"at": 1, "speeds": [["fast", 1]]}',
    ],
)
def test_a_file_that_makes_no_sense_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "measurement.json"
    path.write_text(text, encoding="latin-1")
    assert load(path) is None


def test_a_pause_of_another_program_does_not_change_the_speed() -> None:
    steady = [1.0 + 0.1 * place for place in range(12)]
    assert speed_of(64, 0.0, steady).writing == pytest.approx(10)
    held_up = [moment + (3.0 if place > 5 else 0.0) for place, moment in enumerate(steady)]
    assert speed_of(64, 0.0, held_up).writing == pytest.approx(10)
    assert speed_of(64, 0.0, steady).reading == pytest.approx(64)


def test_a_model_that_writes_nothing_has_no_speed() -> None:
    with pytest.raises(GenerationError):
        speed_of(64, 0.0, [])
    assert speed_of(64, 0.0, [2.0]).writing > 0  # one piece only
