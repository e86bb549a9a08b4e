"""Which questions stand alone."""

from __future__ import annotations

import pytest

from chains.followup import is_small_talk, search_text


@pytest.mark.parametrize(
    "question",
    [
        "And the second one?",
        "When did she do it?",
        "How large are they?",
        "Why?",
        "What about cats?",
    ],
)
def test_a_question_that_points_back_takes_the_one_before_along(question: str) -> None:
    assert search_text(question, ["Who laid the roof?"]) == f"Who laid the roof?\n{question}"


@pytest.mark.parametrize(
    "question",
    ["Which colour has the starter cord?", "How do I add documents to the library?"],
)
def test_a_question_that_stands_alone_is_left_alone(question: str) -> None:
    assert search_text(question, ["Who laid the roof?"]) == question
    assert search_text("And the second one?", []) == "And the second one?"


@pytest.mark.parametrize("text", ["Hello", "hi!", "Thanks", "thank you very much.", "Who are you?"])
def test_greetings_and_thanks_are_small_talk(text: str) -> None:
    assert is_small_talk(text)


@pytest.mark.parametrize(
    "text", ["Hello world programs in C?", "What is hi-fi?", "thanks to whom?"]
)
def test_questions_are_not_small_talk(text: str) -> None:
    assert not is_small_talk(text)
