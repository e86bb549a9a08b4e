"""Which model is recommended, from figures alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.manifest import load_manifest
from models.recommend import (
    BEARABLE_S,
    BY_QUALITY,
    COMFORTABLE_S,
    Candidate,
    Speed,
    advise,
    answer_s,
    estimate,
    needed_bytes,
)

GIB = 2**30
ALL = tuple(
    Candidate(name, name.capitalize(), load_manifest().entry(name).bytes, True)
    for name in BY_QUALITY
)
QUALITY, FAST, TINY = ALL
QUICK = {"quality": Speed(60, 20), "fast": Speed(120, 45), "tiny": Speed(300, 120)}


def test_a_quick_machine_gets_the_best_model_with_its_figures() -> None:
    advice = advise(ALL, QUICK, room_bytes=8 * GIB)
    assert advice.profile == "quality"
    assert "Quality suits this machine" in advice.sentence
    assert "reads 60 and writes 20 tokens a second" in advice.sentence
    assert "about 11 seconds" in advice.sentence
    assert [prospect.profile for prospect in advice.prospects] == ["quality", "fast", "tiny"]


def test_a_machine_on_which_quality_takes_long_gets_fast_and_is_told_how_long() -> None:
    advice = advise(ALL, {"quality": Speed(15, 5), "fast": Speed(40, 12)}, room_bytes=8 * GIB)
    assert advice.profile == "fast"
    assert "with Quality a usual answer would take about 45 seconds" in advice.sentence


def test_where_memory_is_short_the_smaller_model_is_recommended_however_quick_the_larger() -> None:
    advice = advise(ALL, QUICK, room_bytes=needed_bytes(QUALITY) - 1)
    assert advice.profile == "fast"
    assert "not enough memory for Quality" in advice.sentence
    assert advise(ALL, QUICK, room_bytes=needed_bytes(QUALITY)).profile == "quality"
    assert advise(ALL, QUICK, room_bytes=needed_bytes(FAST) - 1).profile == "tiny"


def test_a_slow_machine_gets_the_quickest_and_is_told_that_it_is_slow() -> None:
    slow = {"quality": Speed(2, 0.5), "fast": Speed(5, 1), "tiny": Speed(6, 2)}
    advice = advise(ALL, slow, room_bytes=8 * GIB)
    assert advice.profile == "tiny"
    assert "slow for a language model" in advice.sentence


def test_no_room_even_for_the_smallest_is_said() -> None:
    advice = advise(ALL, QUICK, room_bytes=0)
    assert advice.profile == "tiny"
    assert "close other programs" in advice.sentence
    assert not any(prospect.fits for prospect in advice.prospects)


def test_a_model_that_is_not_installed_can_be_recommended_from_anothers_speed() -> None:
    there = (replace(QUALITY, installed=False), FAST, replace(TINY, installed=False))
    advice = advise(there, {"fast": Speed(200, 60)}, room_bytes=8 * GIB)
    assert advice.profile == "quality"
    quality = advice.prospects[0]
    assert not quality.installed and not quality.measured
    assert quality.reading == pytest.approx(200 * FAST.bytes / QUALITY.bytes)
    assert "would read" in advice.sentence


@pytest.mark.parametrize(
    "speeds",
    [{}, {"fast": Speed(0, 10)}, {"fast": Speed(10, float("nan"))}, {"fast": Speed(-1, 3)}],
    ids=["none", "zero", "not a number", "negative"],
)
def test_without_a_speed_nothing_is_recommended(speeds: dict[str, Speed]) -> None:
    with pytest.raises(ValueError, match="No model's speed"):
        advise(ALL, speeds, room_bytes=8 * GIB)


SPEEDS = st.builds(Speed, st.floats(0.01, 1e5), st.floats(0.01, 1e5))


@given(st.dictionaries(st.sampled_from(BY_QUALITY), SPEEDS, min_size=1), st.integers(0, 16 * GIB))
def test_whatever_is_measured_the_choice_keeps_its_own_rules(
    speeds: dict[str, Speed], room_bytes: int
) -> None:
    advice = advise(ALL, speeds, room_bytes=room_bytes)
    chosen = next(one for one in advice.prospects if one.profile == advice.profile)
    if chosen.fits and chosen.profile == "quality":
        assert chosen.answer_s <= COMFORTABLE_S
    if chosen.fits and chosen.profile == "fast":
        assert chosen.answer_s <= BEARABLE_S
    if not chosen.fits:
        assert chosen.profile == "tiny"
    better = advice.prospects[: advice.prospects.index(chosen)]
    limits = (COMFORTABLE_S, BEARABLE_S)
    assert all(
        not one.fits or one.answer_s > limit for one, limit in zip(better, limits, strict=False)
    )


def test_an_estimate_grows_and_shrinks_with_the_weights() -> None:
    speed = Speed(90, 30)
    assert estimate(FAST, FAST, speed) == speed
    assert answer_s(estimate(QUALITY, FAST, speed)) > answer_s(speed)
    back = estimate(FAST, QUALITY, estimate(QUALITY, FAST, speed))
    assert (back.reading, back.writing) == (pytest.approx(90), pytest.approx(30))
