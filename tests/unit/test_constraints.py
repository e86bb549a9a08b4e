"""What a question demands of the evidence, apart from what it talks about."""

from __future__ import annotations

import pytest

from chains.compose import compose
from chains.constraints import leaves_open, unmet
from chains.gate import lacking
from chains.types import Outcome, Passage

CLUB = (
    "The rowing club of Stade was founded in 1921 by Edda Kron. The first boat house burned down "
    "in May 1956, and members pay 240 euros. It had four boats until the 1970s."
)


def kinds(question: str, *passages: str) -> list[str]:
    return [one.kind for one in unmet(question, passages or (CLUB,))]


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Who pays 300 euros a year to the rowing club?", "number"),
        ("What burned down in 1965?", "number"),
        ("Which boats did the club have in the 1990s?", "number"),
        ("What did the club do in the 18th century?", "number"),
        ("What burned down in August 1956?", "date"),
        ("What did Clara Ott found?", "name"),
        ("Which members do not pay?", "negation"),
        ("When did the last boat house burn down?", "opposite"),
        ("What is the oldest oar of the club?", "superlative"),
    ],
)
def test_what_the_evidence_does_not_say_is_not_met(question: str, kind: str) -> None:
    text = CLUB.replace("first", "second") if kind == "superlative" else CLUB
    assert kind in kinds(question, text)


@pytest.mark.parametrize(
    "question",
    [
        "Who pays 240 euros?",
        "What burned down in the 1950s?",
        "What burned down in the 20th century?",
        "How many boats did the 4 members have?",
        "What burned down in May 1956?",
        "What did Eda Kron found in Hamburg?",  # one letter, and a name that is taken for granted
        "Who founded the club in Stade?",
        "When did the first boat house burn down?",
        "Which house came first?",
        "What does the IT of the club do?",
    ],
)
def test_what_it_says_in_another_form_is_met(question: str) -> None:
    assert kinds(question) == []


@pytest.mark.parametrize(
    "question",
    [
        "Is the fee of the rowing club 500 euros?",
        "Was the club founded by Clara Ott in 1850?",
        "List the members who joined in 1999",
        "Wann wurde der Ruderverein 1850 in Hamburg umbenannt?",
    ],
)
def test_a_proposal_a_command_and_another_language_demand_nothing(question: str) -> None:
    found = kinds(question)
    assert found == []


def test_a_name_may_stand_in_any_passage_and_a_number_must_in_the_best() -> None:
    other = "Clara Ott sold 300 tickets."
    assert kinds("Who is Clara Ott?", CLUB, other) == []
    assert kinds("Who sold 300 tickets?", CLUB, other) == ["number"]
    assert unmet("Who sold 300 tickets?", []) == ()


def test_title_heading_and_the_rest_of_the_chunk_are_evidence() -> None:
    passage = Passage(
        1, 1, "club.md", "Fees of 2024", "Edda Kron", None, "Members pay 240 euros.", 0, 0, 22, 1.0
    )
    chunks = {1: "Members pay 240 euros. Guests paid 9 in 2022."}
    assert lacking("What did Edda Kron ask for in 2024?", [passage], {}) == ()
    assert lacking("What did guests pay in 2022?", [passage], chunks) == ()
    missing = lacking("What did they pay in 2023?", [passage], chunks)
    assert [one.what for one in missing] == ["2023"]


@pytest.mark.parametrize(
    ("question", "outcome"),
    [
        (
            "What did guests pay in 2021?",
            Outcome.NEAREST,
        ),  # the passage has 2021, of something else
        ("What did guests pay in 2022?", Outcome.ANSWERED),
        ("What did guests pay before 2021?", Outcome.ANSWERED),
        ("What did guests pay?", Outcome.ANSWERED),
    ],
)
def test_what_is_told_of_another_year_is_no_answer(question: str, outcome: Outcome) -> None:
    text = "Guests paid 9 euros in 2022. The jetty was built in 2021."
    passage = Passage(1, 1, "club.md", "Fees", "", None, text, 0, 0, 28, 1.0)
    for written in ("Guests paid 9 euros.", "I found nothing on this in the passages."):
        assert compose(written, [passage], question).outcome is outcome


HARBOUR = (
    "The Norwegian ferry line runs from the North Quay to Hamnoy, past the Old Light. The harbour "
    "master of Stade, Mr Rou, sits in the House of Pilots. The Stade port office opened in 1957, "
    "under King Olaf V."
)


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("Where does the ferry from the South Quay go?", "South"),
        ("Who sits in the House of Fishers?", "Fishers"),
        ("Where does the Danish ferry line go?", "Danish"),
        ("When did the Bremen port office open?", "Bremen"),
        ("What does the ferry pass at the New Light?", "New"),
        ("What opened under King Olaf IV?", "IV"),
    ],
)
def test_a_name_of_which_the_text_has_another_word_is_another_name(
    question: str, word: str
) -> None:
    assert [one.what for one in unmet(question, (HARBOUR,)) if one.kind == "name"] == [word]


@pytest.mark.parametrize(
    "question",
    [
        "Where does the ferry from the North Quay go?",
        "Where does the Norwegian ferry line go in Lofoten?",  # a name that nothing stands for
        "Where does Mr Rhou sit?",  # misspelt
        "Who is the harbour master at Stade?",
        "When did the Stade port office open?",
        "When did the Stades port office open?",
        "What does the OLD light stand by?",
        "What opened under King Olaf V?",
        "Which office can I visit in Stade?",
        "Is the Bremen port office open?",
    ],
)
def test_a_name_that_is_there_or_misspelt_or_of_nothing_told_is_no_other_name(
    question: str,
) -> None:
    assert [one.what for one in unmet(question, (HARBOUR,)) if one.kind == "name"] == []


@pytest.mark.parametrize(
    ("question", "statement", "is_open"),
    [
        (
            "What church in Stade is looked after by rowers?",
            "The church in Stade is looked after by rowers, with services now and then.",
            True,
        ),
        ("Which key opens the boat house?", "The key opens the boat house.", True),
        ("Which key opens the boat house?", "The key opens the boat house: number 14.", False),
        ("Which key opens the boat house?", "The brass key opens the boat house.", False),
        ("Which saint is the club named after?", "The club is named after Saint Wilhadi.", False),
        ("What is the fee?", "The fee is 240 euros.", False),
        ("Who opens the boat house?", "The key opens the boat house.", False),
    ],
)
def test_what_says_the_question_again_does_not_say_which(
    question: str, statement: str, is_open: bool
) -> None:
    assert leaves_open(question, statement) is is_open


def test_where_the_model_says_the_question_again_the_document_speaks() -> None:
    text = "The boat house has two doors. The key with the red tag opens the boat house in winter."
    start = text.index("The key")
    passage = Passage(1, 1, "club.md", "Keys", "", None, text, 0, start, len(text), 1.0)
    answer = compose(
        "The key opens the boat house in winter.", [passage], "Which key opens the boat house?"
    )
    assert answer.outcome is Outcome.ANSWERED
    assert answer.text == "> The key with the red tag opens the boat house in winter. [1]"


def test_a_sentence_that_speaks_of_little_that_is_asked_is_the_nearest_not_the_answer() -> None:
    text = "Clara Ott rowed for Stade. She wrote songs and sold a book of them to the club in May."
    passage = Passage(1, 1, "club.md", "People", "", None, text, 0, 0, text.index(".") + 1, 1.0)
    question = "Which book of songs did Clara Ott sell to the club?"
    assert compose("", [passage], question).outcome is Outcome.NEAREST
    told = Passage(1, 1, "club.md", "People", "", None, text, 0, text.index("She"), len(text), 1.0)
    assert compose("", [told], question).outcome is Outcome.ANSWERED
