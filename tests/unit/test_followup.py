"""A question that leans on the turns before is searched, checked and gated as it reads in full."""

from __future__ import annotations

import pytest

from chains.followup import (
    Said,
    beside_previous,
    is_small_talk,
    question_in,
    stand_alone,
)
from chains.lexical import content_stems

ROOF = Said("Who laid the roof of the barn?", "The roof of the barn was laid by Edda Kron.")
FERRY = Said("What does the ferry cost in summer?", "The ferry costs 4 euros in summer.")
RED = Said("What does the red ticket cost?", "The red ticket costs 3 euros.")
TREATY = Said("Which treaty ended the war?", "The Treaty of Stade ended the war in 1931.")
KINDS = Said("What are the three kinds of boat?", "The three kinds are: ketches, sloops and yawls.")
LISTED = Said("Which towns are on the route?", "The towns:\n\n- Stade\n- Bremen\n- Emden")


@pytest.mark.parametrize(
    ("before", "question", "in_full"),
    [
        (ROOF, "When was she born?", "When was Edda Kron born?"),
        (ROOF, "How old is it?", "How old is the roof of the barn?"),
        (ROOF, "When was her house built?", "When was Edda Kron's house built?"),
        (TREATY, "Who signed it?", "Who signed Treaty of Stade?"),
        (TREATY, "What happened in that year?", "What happened in 1931?"),
        (FERRY, "And in winter?", "What does the ferry cost in winter?"),
        (FERRY, "and the bus?", "What does the bus cost in summer?"),
        (RED, "No, I meant the blue one", "What does the blue ticket cost?"),
        (RED, "And the blue one, where is it sold?", "Where is the blue ticket sold?"),
        (KINDS, "How long is the second one?", "How long is sloops?"),
        (KINDS, "How long is the last one?", "How long is yawls?"),
        (LISTED, "Who lives in the first one?", "Who lives in Stade?"),
        (Said("When was the dam built?", "In 1950."), "Why?", "Why was the dam built?"),
        (Said("When was the dam built?", "In 1950."), "By whom?", "By whom was the dam built?"),
        (Said("When did the siege of Riga begin?", ""), "And end?", None),
    ],
)
def test_what_leans_on_the_turn_before_is_completed_from_it(
    before: Said, question: str, in_full: str | None
) -> None:
    found = stand_alone(question, [before])
    if in_full is None:
        assert content_stems(found) > content_stems(question)
    else:
        assert found == in_full


def test_the_third_turn_leans_on_what_the_second_meant() -> None:
    second = stand_alone("When was she born?", [ROOF])
    third = stand_alone("And where?", [ROOF, Said(second, "Edda Kron was born in 1931.")])
    assert third == "Where was Edda Kron born?"


@pytest.mark.parametrize(
    "question",
    [
        "Which colour has the starter cord?",
        "How do I add documents to the library?",
        "Who leads the IT?",
        "Is it possible to pay by card in Emden?",
        "How long does it take to cross the Elbe?",
        "Are there any trains to Bremen?",
        "When Clara Ott came to Stade, what did she build?",
        "Which cat sleeps in its basket in Emden?",
        "What did the guests say about their rooms in Stade?",
        "Who was the first to swim to Emden?",
        "boiler pressure Stade",
    ],
)
def test_what_stands_alone_is_left_alone(question: str) -> None:
    assert stand_alone(question, [ROOF]) == question
    assert stand_alone("And the second one?", []) == "And the second one?"


def test_a_long_question_before_does_not_drown_the_one_that_is_asked() -> None:
    """The gate takes the support of the words that are searched; these were mostly the old ones."""
    long = "Who, of all the people that you know of, " * 12 + "laid the roof?"
    found = stand_alone("Where?", [Said(long, "Edda Kron laid the roof.")])
    assert len(found.split()) < 40


def test_a_pasted_letter_is_searched_by_the_question_at_its_end() -> None:
    letter = "Dear tenants, the boiler in the cellar is inspected each year in May. " * 5
    question = "How much notice must a landlord in Stade give?"
    assert question_in(f"{letter}\n\n{question}") == (question, letter.strip())
    assert stand_alone(f"{letter}\n\n{question}", []) == question
    leaning = f"{letter}\n\nMust they let him in?"
    assert stand_alone(leaning, []) == leaning
    assert question_in("It is cold. Is the boiler on?") == ("It is cold. Is the boiler on?", "")


def test_a_question_without_a_name_is_tried_with_the_one_before() -> None:
    found = beside_previous("Which offer is cheaper?", [ROOF])
    assert found == "Which offer is cheaper (Who laid the roof of the barn)?"
    assert beside_previous("What is the fee in Emden?", [ROOF]) is None
    assert beside_previous("Which offer is cheaper?", []) is None


@pytest.mark.parametrize("word", ["it ", "and ", "the ", "Who is The King of ", ", "])
def test_a_question_of_many_words_says_itself_what_it_is_about(word: str) -> None:
    """Looking at each pronoun of a long one took 14 s, on the event loop."""
    question = word * (20_000 // len(word)) + "it?"
    assert stand_alone(question, [ROOF] * 3) == question


def test_letters_written_large_are_no_stop_words() -> None:
    assert "it" in content_stems("Who leads the IT?")
    assert "it" not in content_stems("Who leads it?")
    assert "it" not in content_stems("WHO LEADS IT?")


@pytest.mark.parametrize("text", ["Hello", "hi!", "Thanks", "thank you very much."])
def test_greetings_and_thanks_are_small_talk(text: str) -> None:
    assert is_small_talk(text)


@pytest.mark.parametrize(
    "text", ["Hello world programs in C?", "What is hi-fi?", "thanks to whom?"]
)
def test_questions_are_not_small_talk(text: str) -> None:
    assert not is_small_talk(text)
