"""The ladder: what works decides the level, down and up again."""

from __future__ import annotations

import itertools

import pytest

from state.ladder import Ladder, Level, Parts, level_of, reason_of


@pytest.mark.parametrize(
    ("parts", "level"),
    [
        (Parts(), Level.FULL),
        (Parts(stt="usual", tts="usual"), Level.FULL),
        (Parts(stt="spare", tts="usual"), Level.LIGHTER_VOICE),
        (Parts(stt="usual", tts="spare"), Level.LIGHTER_VOICE),
        (Parts(memory=1), Level.LIGHTER_VOICE),
        (Parts(stt="none", tts="usual"), Level.HALF_VOICE),
        (Parts(stt="usual", tts="none"), Level.HALF_VOICE),
        (Parts(retrieval=False), Level.DIRECT),
        (Parts(model=False), Level.EXTRACTIVE),
        (Parts(memory=3), Level.EXTRACTIVE),
        (Parts(model=False, retrieval=False, tts="spare"), Level.TEMPLATE),
        (Parts(model=False, retrieval=False, tts="none"), Level.EMERGENCY),
    ],
)
def test_what_works_decides_the_level(parts: Parts, level: Level) -> None:
    assert level_of(parts) is level


def test_losing_a_part_never_leads_up() -> None:
    """Whatever works already or not: one part less is no better level."""
    engines = ("usual", "spare", "none")
    for model, retrieval, stt, tts in itertools.product(
        (True, False), (True, False), engines, engines
    ):
        here = level_of(Parts(model, retrieval, stt, tts)).rank
        worse = [Parts(False, retrieval, stt, tts), Parts(model, retrieval, stt, "none")]
        if model:
            worse.append(Parts(model, False, stt, tts))
        for parts in worse:
            assert level_of(parts).rank >= here, parts


def test_every_level_but_the_full_one_gives_its_reason() -> None:
    assert reason_of(Parts(stt="usual", tts="usual")) == ""
    assert "documents cannot be searched" in reason_of(Parts(retrieval=False))
    two = reason_of(Parts(stt="spare", tts="none"))
    assert "smaller model listens" in two
    assert "no voice" in two


def test_the_ladder_goes_down_at_once_and_up_again_by_itself() -> None:
    now, parts, told = [100.0], [Parts()], []
    ladder = Ladder(lambda: parts[0], on_change=told.append, clock=lambda: now[0])
    assert ladder.status().level is Level.FULL
    now[0], parts[0] = 160.0, Parts(model=False)
    status = ladder.status()
    assert (status.level, status.since) == (Level.EXTRACTIVE, 160.0)
    assert "language model" in status.reason
    now[0] = 170.0
    assert ladder.status().since == 160.0
    now[0], parts[0] = 200.0, Parts()
    assert ladder.status().reason == ""
    assert ladder.status().since == 200.0
    assert told == [Level.EXTRACTIVE, Level.FULL]
