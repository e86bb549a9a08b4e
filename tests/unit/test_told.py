"""What the model is told of its earlier answers: what the user was told, in no words of ours."""

from __future__ import annotations

import pytest

from chains.compose import compose, not_in_library
from chains.degraded import extractive
from chains.told import told
from chains.types import INTERRUPTED, Answer, Passage, Verdict

TEXT = "The blade is sharpened every 25 hours. The mower was built in Stade in 1974."


def passage(text: str = TEXT) -> Passage:
    return Passage(1, 1, "mower.md", "Mower", "Care", None, text, 0, 0, 38, 1.0)


@pytest.mark.parametrize(
    "written",
    [
        "The blade is sharpened every 25 hours.",
        "The blade is sharpened every 25 hours. The mower was built in Stade in 1974.",
        "Yes. The blade is sharpened every 25 hours.",
    ],
)
def test_what_was_said_as_it_was_written_stays_to_the_letter(written: str) -> None:
    """The model has read it already: another letter, and it reads the chat anew."""
    answer = compose(written, [passage()], "How often is the blade of the mower sharpened?")
    assert answer.grounded
    assert told(answer, written, grounds=True) == written


def test_what_the_check_left_out_is_not_told() -> None:
    written = "The blade is sharpened every 25 hours. It was painted green by Clara Ott."
    answer = compose(written, [passage()], "How often is the blade of the mower sharpened?")
    assert "left out" in answer.text
    assert told(answer, written, grounds=True) == "The blade is sharpened every 25 hours."


def test_a_quotation_is_told_without_our_words_round_it() -> None:
    sure = Verdict(answers=True, passage=passage(), score=3.0, checker="quality")
    answer = compose("", [passage()], "How often is the blade sharpened?", verdict=sure)
    assert answer.grounded
    assert told(answer, "", grounds=True) == "The blade is sharpened every 25 hours."
    busy = extractive([passage()], "busy")
    assert told(busy, "The bl", grounds=True) == "The blade is sharpened every 25 hours."


@pytest.mark.parametrize("written", ["", "It is not mentioned in the passages."])
def test_where_nothing_was_answered_nothing_is_told(written: str) -> None:
    """A small model that reads "I found no direct answer" writes it from then on."""
    question = "Which colour have the wheels of the tractor of Clara Ott?"
    nearest = compose(written, [passage()], question)
    assert not nearest.grounded
    assert told(nearest, written, grounds=True) == ""
    assert told(not_in_library([passage()]), "", grounds=True) == ""


def test_what_was_heard_of_a_spoken_answer_is_told() -> None:
    heard = Answer("The blade is", (), None, note=INTERRUPTED)
    assert told(heard, "", grounds=True) == "The blade is"
    assert told(Answer("Hello!", (), None), " Hello!", grounds=False) == " Hello!"
