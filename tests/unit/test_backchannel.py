"""What a listener says meanwhile is told from what is said to the assistant."""

from __future__ import annotations

import pytest

from voice.backchannel import is_backchannel


@pytest.mark.parametrize(
    "text",
    [
        "Mm-hmm.",
        "Mhm",
        "Yeah.",
        "Okay, right.",
        "Oh, I see.",
        "Got it!",
        "uh-huh",
        "Yeah yeah okay.",
    ],
)
def test_a_listeners_word_does_not_want_the_floor(text: str) -> None:
    assert is_backchannel(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "...",
        "Stop.",
        "No.",
        "I",
        "Got the letter",
        "Okay, stop.",
        "Yes, but what about the garden?",
        "Right, right, right, right, right.",
        "Oh I see you there",
    ],
)
def test_a_word_of_ones_own_does(text: str) -> None:
    assert not is_backchannel(text)
