"""Questions to begin with: what a person would ask of the documents that are there."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from chains.turn import Turn
from chains.types import LIBRARY_OWNER, Passage, Question
from core.errors import RetrievalError
from ingest.store import Excerpt
from xoe.page.offered import OFFERED, TRIED, offered
from xoe.page.starters import Starter, asked_by, starters


@pytest.mark.parametrize(
    ("statement", "question"),
    [
        ("A day ticket costs 4.20 euros.", "How much does a day ticket cost?"),
        ("Each member pays £30 a year.", "How much does each member pay?"),
        ("The deposit is 200 EUR and is paid back.", "How much is the deposit?"),
        ("The crossing takes 25 minutes in calm weather.", "How long does the crossing take?"),
        ("The tents weigh 3 kg.", "How much do the tents weigh?"),
        ("The ferry has 12 life boats.", "How many life boats does the ferry have?"),
        ("The museum opens at 10:00.", "When does the museum open?"),
        ("The lease expires on 30 June.", "When does the lease expire?"),
        ("Ida Moser was born in 1931 in Stade.", "When was Ida Moser born?"),
        ("The bell of the church was cast on 3 May 1711.", ""),
        ("The chapel was painted by Ott in 1905.", "When was the chapel painted?"),
        ("The filters must be cleaned every two weeks.", "How often must the filters be cleaned?"),
        ("Grease the hinge every spring.", "How often must I grease the hinge?"),
        # of these nothing is made
        ("It costs 4 euros.", ""),
        ("This machine takes 25 minutes.", ""),
        ("The first takes 25 minutes.", ""),
        ("The ferry is old.", ""),
        ("During the winter every boat is ashore.", ""),
        ("| Ticket | 4 euros |", ""),
        ("", ""),
        ("The " + "very long " * 12 + "ticket costs 4 euros.", ""),
    ],
)
def test_a_statement_of_a_usual_form_is_the_answer_to_a_question(
    statement: str, question: str
) -> None:
    assert asked_by(statement) == question


FERRY = (
    "The ferry is painted white. The crossing takes 25 minutes. The deck was renewed in May 2011."
)


def excerpt(heading: str = "Ferry", text: str = "It is.", number: int = 1, **more: Any) -> Excerpt:
    title = f"The ferry {number}"
    return replace(Excerpt(number, title, "en", heading, text), **more)


def questions(*excerpts: Excerpt) -> list[str]:
    return [starter.question for starter in starters(excerpts)]


def test_headings_that_ask_and_facts_take_turns_and_the_whole_comes_last() -> None:
    found = questions(
        excerpt("Ferry › 2.1 How to book a cabin"),
        excerpt("Ferry › Timetable", FERRY),
        excerpt("Ferry › What may I carry?"),
    )
    assert found == [
        "How do I book a cabin?",
        "How long does the crossing take?",
        "What may I carry?",
        "When was the deck renewed?",
        "Summarise the ferry 1",
    ]


def test_every_document_has_its_turn_before_one_has_a_second() -> None:
    pier = excerpt(text="The pier opens at 7:00. The pier was built in 1902.", number=2)
    found = [starter.document_id for starter in starters([excerpt(text=FERRY), pier])]
    assert found == [1, 2, 1, 2, 1, 2]
    same = excerpt(text=FERRY, number=2)
    assert len(questions(excerpt(text=FERRY), same)) == 4, "and nothing is asked twice"


def test_nothing_is_asked_of_what_says_nothing() -> None:
    assert not questions(excerpt("", title="", language="de"))
    german = excerpt("Wie bucht man?", FERRY, language="de")
    assert questions(german) == ["Wie bucht man?"], "its statements are in another grammar"
    assert questions(excerpt("Fares › Route | Price")) == ["Summarise the ferry 1"]
    assert not questions(excerpt("Talk › 0:45–1:30", title="0:45–1:30"))
    assert not questions()


def passage(text: str, number: int = 1, heading: str = "Ferry") -> Passage:
    return Passage(1, number, "f.md", "Ferry", heading, None, text, 0, 0, len(text), 1.0)


class Answers:
    """Finds for each question what it is told, and counts."""

    def __init__(self, *turns: Any) -> None:
        self.turns = list(turns)
        self.asked: list[str] = []

    async def prepare(self, question: Question) -> Turn:
        self.asked.append(question.text)
        turn = self.turns.pop(0) if self.turns else {}
        if isinstance(turn, Exception):
            raise turn
        return Turn(question, **({"answerable": True, "passages": (passage(FERRY),)} | turn))


def services(answers: Answers, *excerpts: Excerpt) -> Any:
    async def look(owners: Any, ids: Any, each: int) -> list[Excerpt]:
        assert owners == (LIBRARY_OWNER, "session:me")
        return [one for one in excerpts if one.document_id in ids]

    return SimpleNamespace(answers=answers, store=SimpleNamespace(excerpts=look), starters={})


def offer(made: Any, ids: tuple[int, ...] = (1,)) -> list[str]:
    return asyncio.run(offered(made, "session:me", ids, OFFERED))


def test_only_what_is_found_where_it_stands_is_offered() -> None:
    crossing, deck = "How long does the crossing take?", "When was the deck renewed?"
    ferry = excerpt("Ferry", FERRY)
    assert offer(services(Answers(), ferry)) == [crossing, deck]
    refused = Answers({"answerable": False}, {"passages": (passage("The deck is white."),)})
    assert offer(services(refused, ferry)) == []
    elsewhere = Answers({"passages": (passage(FERRY, number=2),)})
    assert offer(services(elsewhere, ferry)) == [deck]
    whole = SimpleNamespace(document_id=1)
    assert offer(services(Answers({}, {}, {"plan": whole}), ferry))[-1] == "Summarise the ferry 1"


def test_what_was_tried_is_remembered_but_for_what_failed() -> None:
    ferry = excerpt("Ferry", FERRY)
    answers = Answers({}, RetrievalError("The documents cannot be searched."))
    made = services(answers, ferry)
    assert offer(made) == ["How long does the crossing take?"]
    assert len(offer(made)) == 2, "the search works again"
    tried = len(answers.asked)
    assert len(offer(made)) == 2
    assert len(answers.asked) == tried


def test_the_search_is_asked_a_few_times_only() -> None:
    answers = Answers(*[{"answerable": False}] * 100)
    many = [excerpt(f"Ferry › What is part {n}?") for n in range(50)]
    assert offer(services(answers, *many)) == []
    assert len(answers.asked) == TRIED


def test_a_starter_says_where_its_answer_stands() -> None:
    [fact, _] = [starter for starter in starters([excerpt(text=FERRY)]) if starter.found_in]
    assert fact == Starter("How long does the crossing take?", 1, "The crossing takes 25 minutes.")
