"""Who does what to whom: a passage that tells of another act answers nothing."""

from __future__ import annotations

import pytest

from chains.predicates import (
    is_of_another_act,
    predicate_of,
    roles_exchanged,
    states_exchanged,
)


def strays(question: str, sentence: str, *, likeness: float | None = 0.5) -> bool:
    return is_of_another_act(question, [sentence], sentence, lambda _verb, _other: likeness)


@pytest.mark.parametrize(
    ("question", "sentence", "is_exchanged"),
    [
        ("Who sued Ida Falk?", "Ida Falk sued Otto Lund in May.", True),
        ("Who sued Ida Falk?", "Ida Falk was sued by Otto Lund in May.", False),
        ("Whom did Ida Falk sue?", "Ida Falk was sued by Otto Lund.", True),
        ("Whom did Ida Falk sue?", "Otto Lund was sued by Ida Falk.", False),
        ("Who was hired by Otto Lund?", "Otto Lund was hired by Ida Falk.", True),
        ("Who hired Otto Lund?", "Otto Lund hired Ida Falk in May.", True),
        ("Which town did the Saxons burn?", "The Saxons were burnt out by the town.", False),
        ("Who led the choir?", "The choir was led by Ida Falk.", False),
        ("Who beat the Blues?", "The Blues beat the Reds twice.", True),
        ("Who beat the Blues?", "The Blues beat the Reds, but the Greens beat the Blues.", False),
        ("Who married Ida Falk?", "Ida Falk married Otto Lund.", False),
        ("When did the fair open?", "The mayor opened the fair in May.", False),
    ],
)
def test_exchanged_roles_are_seen(question: str, sentence: str, is_exchanged: bool) -> None:
    asked = predicate_of(question)
    assert asked is not None
    assert roles_exchanged(asked, sentence) is is_exchanged
    if "another" not in sentence:
        assert strays(question, sentence) is is_exchanged


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("When was the weir of the mill repaired?", "The weir was inspected by Ida Falk in 1931."),
        ("Who painted the fresco?", "The fresco was cleaned by Ida Falk in 1931."),
        ("When was the barn demolished?", "The barn was painted in 1987."),
        ("Who sold the mill?", "Ida Falk bought the mill in 1931."),
    ],
)
def test_another_act_done_to_what_is_asked_of_is_no_answer(question: str, sentence: str) -> None:
    assert strays(question, sentence)


@pytest.mark.parametrize(
    ("question", "sentence", "likeness"),
    [
        ("When was the barn built?", "The barn was erected in 1987.", 0.7),  # near in meaning
        ("When was the barn built?", "The barn was painted in 1987.", None),  # no embedder
        ("Where is the chapel located?", "The chapel stands in the park.", 0.1),
        ("Who invented the lathe?", "The inventor of the lathe was praised.", 0.1),  # derived
        ("Who led the choir?", "The choir is led by Ida Falk.", 0.1),
        ("Where is the fair held?", "The fair was moved to Kiel.", 0.1),  # stands for many acts
        ("When was the barn sold?", "The mill was opened in 1987.", 0.1),  # of something else
        ("What inspired the name Lido?", "The owner imposed the name Lido.", 0.1),  # both may be
        ("How is the kiln charecterised?", "The kiln is characterised by its heat.", 0.1),
        ("Who bought the mill?", "In 1931 Ida Falk sold the mill to Otto Lund.", 0.1),
        ("Who governed the isle?", "The isle was large and governed by a queen.", 0.1),
        ("What is the end of the pier called?", "It is the end of the pier called Nose.", 0.1),
        ("What does the ferry cost?", "The ferry was repaired for 90 euros.", 0.1),
    ],
)
def test_what_may_mean_the_same_is_let_through(
    question: str, sentence: str, likeness: float | None
) -> None:
    assert not strays(question, sentence, likeness=likeness)


def test_a_statement_with_the_roles_exchanged_is_not_supported() -> None:
    source = "Ida Falk was hired by Otto Lund in 1931."
    question = "When was Ida Falk hired?"
    assert states_exchanged(question, "Ida Falk hired Otto Lund in 1931.", source)
    assert not states_exchanged(question, "Otto Lund hired Ida Falk in 1931.", source)
    assert not states_exchanged(question, "She was hired in 1931.", source)


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("Who lit the stove?", "The stove was lit by Ida Brandt in March."),
        ("Who hung the bell?", "The bell was hung by two masons."),
        ("Who swept the yard?", "The yard is swept by the caretaker."),
        ("Who dug the well?", "The well was dug by Karl Lund."),
        ("Who cut the hedge?", "The hedge was cut by the neighbour."),
        ("Who set the table?", "The table was set by Ruth Amann."),
        ("Who shut the gate?", "The gate was shut by the guard."),
    ],
)
def test_a_passive_of_an_irregular_verb_keeps_the_roles(question: str, sentence: str) -> None:
    assert not is_of_another_act(question, [sentence], sentence, lambda _one, _other: 0.0)
