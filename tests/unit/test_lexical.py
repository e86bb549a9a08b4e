"""Words of meaning: abbreviations are none of the small words, and irregular verbs are one."""

from __future__ import annotations

import pytest
from passages import passage

from chains.clauses import names
from chains.compose import compose
from chains.constraints import asks_for_more
from chains.lexical import asked_stems, content_stems, held_stems
from chains.types import Outcome
from ingest.language import candidates


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ("Who leads the IT?", "it"),
        ("When did the US join the club?", "us"),
        ("Which country left the WHO?", "who"),
        ("Who runs the OR on Mondays?", "or"),
        ("What does the IS department do?", "is"),
        ("Wer leitet die IT?", "it"),
        ("Wer bezahlt den IM-Kurs?", "im"),
        ("Qui dirige la SA ?", "sa"),
        ("¿Quién dirige el SI?", "si"),
    ],
)
def test_an_abbreviation_is_no_stop_word(question: str, code: str) -> None:
    assert code in asked_stems(question)


def test_a_question_in_capitals_has_its_stop_words() -> None:
    assert asked_stems("WHO LEADS THE CHOIR?") == asked_stems("Who leads the choir?")


def test_an_abbreviation_is_a_name_and_asks_nothing() -> None:
    assert [name.text for name in names("Which country left the WHO?")] == ["WHO"]
    assert asks_for_more("Who runs the OR?")
    assert not asks_for_more("Does the town pay the WHO?")


def test_an_abbreviation_tells_no_language() -> None:
    assert candidates("Wer leitet die IT?") == candidates("Wer leitet die Buchhaltung?")


def test_an_irregular_verb_is_held_in_all_its_forms() -> None:
    held = held_stems("The choir is led by Ida Falk.")
    assert content_stems("lead") <= held
    assert content_stems("leads") <= held
    assert content_stems("wrote") <= held_stems("The song is written down.")
    assert not content_stems("wrote") & held_stems("Das Lied ist written.", "de")


@pytest.mark.parametrize(
    ("question", "sentence", "written"),
    [
        ("Who leads the IT?", "The IT is led by Ida Falk.", "The IT is led by Ida Falk."),
        ("Who leads the IT?", "The IT is led by Ida Falk.", "Ida Falk leads the IT."),
        ("Who leads the IT?", "The IT is led by Ida Falk.", "The passages do not mention it."),
        ("Who pays the WHO?", "The WHO is paid by Otto Lund.", "Otto Lund pays the WHO."),
        ("Who chose the OR?", "The OR is chosen by Otto Lund.", ""),
    ],
)
def test_what_an_abbreviation_does_is_answered(question: str, sentence: str, written: str) -> None:
    answer = compose(written, [passage(sentence)], question)
    assert answer.outcome is Outcome.ANSWERED
    assert sentence.split(" by ")[1].rstrip(".") in answer.text
