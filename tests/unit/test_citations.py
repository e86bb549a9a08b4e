"""Citations: only what a passage really says is cited."""

from __future__ import annotations

import pytest

from chains.citations import CitationList, best_support, check_sentences, find_support
from chains.compose import LEFT_OUT, NEAREST, compose, nearest_passages, not_in_library
from chains.types import Outcome, Passage, Verdict

NORMANS = (
    "The Normans were a people in the 10th and 11th centuries. "
    "They gave their name to Normandy, a region in France. "
    "Their leader Rollo did not learn Latin. "
    "The duchy had 304,016 farms in 1086."
)


def passage(text: str = NORMANS, *, start: int = 100, best: str = "", number: int = 1) -> Passage:
    best = best or text.split(". ")[0] + "."
    offset = text.index(best)
    return Passage(
        chunk_id=number,
        document_id=number,
        source=f"normans-{number}.txt",
        title="Normans",
        heading="Normans",
        page=None,
        text=text,
        start=start,
        best_start=start + offset,
        best_end=start + offset + len(best),
        score=1.0,
    )


def supported_by(answer: str, question: str, *passages: Passage) -> str | None:
    support = find_support(answer, passages or (passage(),), question)
    if support is None:
        return None
    found = support.passage
    return found.text[support.start - found.start : support.end - found.start]


@pytest.mark.parametrize(
    ("answer", "question", "source"),
    [
        ("Normandy is a region in France.", "Where is Normandy?", "They gave their name"),
        ("In France.", "In which country is the region of Normandy?", "They gave their name"),
        ("There were 304,016 farms.", "How many farms had the duchy in 1086?", "The duchy had"),
        ("Rollo did not learn Latin.", "Did the leader Rollo learn Latin?", "Their leader"),
        ("They lived in the 10th and 11th centuries.", "When were the Normans?", "The Normans"),
    ],
)
def test_what_a_sentence_says_is_cited(answer: str, question: str, source: str) -> None:
    found = supported_by(answer, question)
    assert found is not None
    assert found.startswith(source)


@pytest.mark.parametrize(
    ("answer", "question"),
    [
        ("There were 304,061 farms.", "How many farms had the duchy in 1086?"),  # digits swapped
        ("Rollo learned Latin.", "Did the leader Rollo learn Latin?"),  # the opposite
        ("Normandy is a region in Germany.", "Where is Normandy?"),  # another name
        ("William was the leader of the Normans.", "Who was the leader of the Normans?"),
        ("Janet Gray was a leader in France.", "Who was Janet Gray?"),  # not in the source at all
        ("It is a lovely place with nice food.", "Where is Normandy?"),
        ("Normandy is in France.", "When did Paris host the Olympics for swimmers?"),  # off topic
    ],
)
def test_what_no_sentence_says_is_not_cited(answer: str, question: str) -> None:
    assert supported_by(answer, question) is None


def test_a_quote_is_the_documents_text_at_its_offsets() -> None:
    document = "x" * 100 + NORMANS
    answer = compose("Normandy is a region in France.", [passage()], "Where is Normandy?")
    for citation in answer.citations:
        assert document[citation.start : citation.end] == citation.quote
        assert citation.quote in citation.passage


def test_marks_that_the_model_made_up_are_dropped() -> None:
    answer = compose("Normandy is a region in France [7].", [passage()], "Where is Normandy?")
    assert "[7]" not in answer.text
    assert "[1]" in answer.text
    assert answer.grounded


def test_an_unsupported_sentence_is_left_out_and_that_is_said() -> None:
    written = "Normandy is a region in France. It was founded by Julius Caesar in 55."
    answer = compose(written, [passage()], "Where is Normandy?")
    assert "Caesar" not in answer.text
    assert LEFT_OUT in answer.text
    assert answer.grounded


def test_an_answer_without_support_gives_way_to_the_best_sentence() -> None:
    best = passage(best="They gave their name to Normandy, a region in France.")
    answer = compose("It is in Germany.", [best], "In which region is Normandy?")
    assert "Germany" not in answer.text
    assert "> They gave their name to Normandy, a region in France. [1]" in answer.text
    assert answer.outcome is Outcome.ANSWERED


@pytest.mark.parametrize(
    ("question", "written"),
    [
        ("When did they give their name to Normandy?", "They gave their name to Normandy."),
        ("How many people live in Normandy?", "Normandy is a region in France."),
    ],
    ids=["no time", "no number"],
)
def test_a_sentence_without_what_is_demanded_is_no_answer(question: str, written: str) -> None:
    best = passage(best="They gave their name to Normandy, a region in France.")
    answer = compose(written, [best], question)
    assert answer.outcome is Outcome.NEAREST


def test_the_question_in_other_words_is_no_answer() -> None:
    best = passage(best="They gave their name to Normandy, a region in France.")
    echo = compose("They gave their name to Normandy.", [best], "Who gave their name to Normandy?")
    assert "They gave their name to Normandy, a region in France." in echo.text
    yes_or_no = compose(
        "They gave their name to Normandy.", [best], "Did they give their name to Normandy?"
    )
    assert yes_or_no.text.startswith("They gave their name to Normandy. [1]")


def verdict(found: Passage, *, answers: bool = True) -> Verdict:
    return Verdict(answers, found, 1.0, "quality")


def test_a_sentence_that_holds_the_demands_and_is_not_refused_is_the_answer() -> None:
    best = passage(best="They gave their name to Normandy, a region in France.")
    question = "In which region is Normandy?"
    answer = compose("It is in Germany.", [best], question, verdict=verdict(best))
    assert answer.outcome is Outcome.ANSWERED
    assert answer.text == "> They gave their name to Normandy, a region in France. [1]"
    refused = compose("It is in Germany.", [best], question, verdict=verdict(best, answers=False))
    assert refused == nearest_passages([best], question)
    demanding = "When did Normandy become a region?"
    assert compose("", [best], demanding, verdict=verdict(best)) == nearest_passages(
        [best], demanding
    )


def test_the_three_outcomes_are_told_apart_by_their_first_words() -> None:
    found = [passage()]
    answered = compose("Normandy is a region in France.", found, "Where is Normandy?")
    nearest = nearest_passages(found, "Where is Normandy?")
    absent = not_in_library(found)
    assert [a.outcome for a in (answered, nearest, absent)] == list(Outcome)
    assert [a.grounded for a in (answered, nearest, absent)] == [True, False, False]
    assert nearest.text.startswith("**Nearest passages**")
    assert absent.text.startswith("**Not in your library.**")


def test_a_refusal_far_from_the_question_stays_one() -> None:
    answer = compose("Not in the documents.", [passage()], "Which tax did Emperor Nero raise?")
    assert answer.outcome is Outcome.NEAREST
    assert answer.text.startswith(NEAREST)


def test_what_fits_best_is_not_quoted_below_an_answer_from_another_sentence() -> None:
    other = passage(NORMANS, best="They gave their name to Normandy, a region in France.")
    answer = compose("Rollo did not learn Latin.", [other], "Did the leader Rollo learn Latin?")
    assert answer.text == "No: Rollo did not learn Latin. [1]"
    assert [citation.quote for citation in answer.citations] == [
        "Their leader Rollo did not learn Latin."
    ]


def test_what_fits_best_is_quoted_below_an_answer_where_it_speaks_of_more_that_is_asked() -> None:
    other = passage(NORMANS, best="They gave their name to Normandy, a region in France.")
    answer = compose("There were 304,016 farms.", [other], "How many farms had Normandy?")
    assert answer.text == (
        "There were 304,016 farms. [1]\n\n"
        "> They gave their name to Normandy, a region in France. [2]"
    )


def test_numbers_count_from_one_and_a_source_keeps_its_number() -> None:
    numbers = CitationList()
    one, two = best_support(passage(number=1)), best_support(passage(number=2))
    assert [numbers.number(s) for s in (one, two, one)] == [1, 2, 1]
    assert [citation.number for citation in numbers.all()] == [1, 2]


def test_leading_words_and_headings_claim_nothing() -> None:
    checked = check_sentences(
        "Here is the answer:\n- In France.", [passage()], "Where is Normandy?"
    )
    assert [sentence.claims for sentence in checked] == [False, True]


def test_the_nearest_documents_are_named() -> None:
    answer = not_in_library([passage(number=1), passage(number=2), passage(number=1)])
    assert answer.text == (
        "**Not in your library.** The nearest I found is in "
        "**normans-1.txt** and **normans-2.txt**."
    )
    assert answer.outcome is Outcome.ABSENT
    assert answer.citations == ()
