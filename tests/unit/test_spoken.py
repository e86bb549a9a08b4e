"""What of an answer is said: first what the library says, then what is new, and nothing twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chains.compose import LEFT_OUT, nearest_passages, not_in_library, quote_sources
from chains.degraded import extractive, labelled_direct, template
from chains.spoken import ONLY_NEAREST, SpokenAnswer
from chains.types import Answer, Done, Outcome, Passage, Queued, Sources, Token

QUESTION = "How much petrol does the mower's tank hold?"
TEXT = (
    "The lawn mower's petrol tank holds 1.4 litres. Its blade is sharpened every 25 hours. "
    "The starter cord is orange."
)
SAID = "The garden shed says: The lawn mower's petrol tank holds 1.4 litres.\n\n"


def passage(text: str = TEXT, *, title: str = "The garden shed", best: str = "") -> Passage:
    best = best or text.split(". ")[0] + "."
    start = text.index(best)
    return Passage(
        chunk_id=1,
        document_id=1,
        source="notes/garden-shed_2.md",
        title=title,
        heading="Lawn mower",
        page=None,
        text=text,
        start=0,
        best_start=start,
        best_end=start + len(best),
        score=1.0,
    )


def spoken(*passages: Passage, question: str = QUESTION, grounds: bool = True) -> SpokenAnswer:
    return SpokenAnswer(passages, question, grounds=grounds)


def sources(*passages: Passage) -> Sources:
    return Sources(quote_sources(passages))


def done(text: str) -> Done:
    return Done(Answer(text, (), Outcome.ANSWERED))


def test_the_library_speaks_first_and_the_model_is_waited_for() -> None:
    answer = spoken(passage())
    assert answer.feed(sources(passage())) == SAID
    assert answer.feed(Queued(1)) == ""
    assert answer.feed(Token("The tank")) == ""
    assert answer.text == SAID


def test_what_only_says_the_same_again_is_left_out() -> None:
    answer = spoken(passage())
    answer.feed(sources(passage()))
    rest = answer.feed(
        done(
            "The petrol tank of the lawn mower holds 1.4 litres [1]. "
            "The blade is sharpened every 25 hours [2]. The blade is sharpened each 25 hours [2]."
        )
    )
    assert rest == "The blade is sharpened every 25 hours.\n"


def test_an_answer_that_adds_nothing_adds_no_word() -> None:
    answer = spoken(passage())
    answer.feed(sources(passage()))
    assert answer.feed(done("The tank holds 1.4 litres of petrol [1].")) == ""


def test_the_remark_on_what_was_left_out_is_not_said() -> None:
    answer = spoken(passage())
    rest = answer.feed(done(f"The blade is sharpened every 25 hours [1].\n\n{LEFT_OUT}"))
    assert rest == "The blade is sharpened every 25 hours.\n"


def test_quotation_marks_of_the_page_and_numbers_of_citations_are_not_said() -> None:
    answer = spoken(passage())
    rest = answer.feed(done("> The starter cord is orange. [1]\n> It is long. [12]"))
    assert rest == "The starter cord is orange.\nIt is long.\n"


def test_without_the_library_the_model_speaks_as_it_writes() -> None:
    answer = spoken(passage(), grounds=False)
    assert answer.feed(sources(passage())) == ""
    assert [answer.feed(Token(piece)) for piece in ("Two and ", "two is four.")] == [
        "Two and ",
        "two is four.",
    ]
    assert answer.feed(done("Two and two is four.")) == "\n"


def test_a_settled_answer_without_the_library_is_said_although_nothing_was_streamed() -> None:
    assert spoken(grounds=False).feed(done("Hello [1].")).strip().startswith("Hello")


def test_what_the_library_does_not_answer_is_not_quoted_as_an_answer() -> None:
    king = "Which king signed the treaty of Kalmar?"
    answer = spoken(passage(), question=king)
    assert answer.feed(sources(passage())) == ""
    assert "Not in your library" in answer.feed(Done(not_in_library((passage(),))))
    settled = spoken(question=QUESTION)
    assert settled.feed(sources(passage())) == ""


@pytest.mark.parametrize(
    "best", ["Lawn mower", "The petrol tank of the mower holds " + "really " * 40 + "much."]
)
def test_a_heading_or_an_endless_sentence_is_not_quoted(best: str) -> None:
    found = passage(f"{best} The lawn mower's petrol tank holds 1.4 litres.", best=best)
    assert spoken(found).feed(sources(found)) == ""


def test_a_list_item_is_quoted_without_its_mark() -> None:
    found = passage(
        "- The mower's petrol tank\n  holds 1.4 litres.",
        best="- The mower's petrol tank\n  holds 1.4 litres.",
    )
    assert (
        spoken(found)
        .feed(sources(found))
        .endswith(": The mower's petrol tank holds 1.4 litres.\n\n")
    )


def test_a_row_is_said_with_its_columns_and_code_is_not_said() -> None:
    row = "| Mower's petrol tank | 1.4 litres |"
    table = replace(passage(row, best=row), heading="Shed › Part | Holds")
    said = spoken(table).feed(sources(table))
    assert said.endswith(": Part: Mower's petrol tank; Holds: 1.4 litres.\n\n")
    code = "```sh\nmower tank --petrol much --hold\n```"
    block = passage(code, best=code)
    assert spoken(block).feed(sources(block)) == ""


def test_a_document_without_a_title_is_called_by_its_file_name() -> None:
    found = passage(title="")
    assert spoken(found).feed(sources(found)).startswith("garden shed 2 says: ")


def test_what_the_model_says_without_the_documents_is_named_so() -> None:
    answer = SpokenAnswer((), QUESTION, grounds=False, library_lost=True)
    pieces = [answer.feed(Token("About ")), answer.feed(Token("two litres."))]
    pieces.append(answer.feed(Done(labelled_direct(Answer("About two litres.", (), None)))))
    assert "".join(pieces).strip() == "Without your documents: About two litres."


def test_when_nothing_can_answer_that_is_said_whatever_was_said_before() -> None:
    answer = SpokenAnswer((), QUESTION, grounds=False, library_lost=True)
    answer.feed(Token("About "))
    rest = answer.feed(Done(template(library_lost=True)))
    assert rest.strip().startswith("I cannot answer just now")
    assert answer.text.startswith("Without your documents: About \n")


def test_a_passage_that_is_no_answer_is_said_to_be_none() -> None:
    late, early = spoken(passage()), spoken()
    said = Done(nearest_passages((passage(),), QUESTION))
    late.feed(sources(passage()))
    assert late.feed(said) == f"{ONLY_NEAREST}\n"
    early.feed(sources(passage()))
    assert early.feed(said).startswith("**Nearest passages**, not an answer:")


def test_the_passages_are_said_once_when_the_model_fails() -> None:
    answer = spoken(passage())
    first = answer.feed(sources(passage()))
    rest = answer.feed(Done(extractive((passage(),), "The model does not answer.")))
    assert first == SAID
    assert "1.4 litres" not in rest
