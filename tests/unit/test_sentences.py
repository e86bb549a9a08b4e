"""Sentences: where they begin and end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.sentences import sentence_spans


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("Dr. Smith met Mr. Jones. They spoke.", ["Dr. Smith met Mr. Jones.", "They spoke."]),
        ("It cost 3.50 euros. Cheap.", ["It cost 3.50 euros.", "Cheap."]),
        ("William died in 1087. He was old.", ["William died in 1087.", "He was old."]),
        ("J. R. R. Tolkien wrote it. Really.", ["J. R. R. Tolkien wrote it.", "Really."]),
        ("He said “Go.” She went.", ["He said “Go.”", "She went."]),
        ("First paragraph\n\nSecond paragraph", ["First paragraph", "Second paragraph"]),
        ("Two lines\nof one sentence. Next.", ["Two lines\nof one sentence.", "Next."]),
        ("Items:\n- one\n- two", ["Items:", "one", "two"]),
        ("1. First step\n2. Second step", ["First step", "Second step"]),
        ("# Heading\nText below. More.", ["# Heading", "Text below.", "More."]),
        (
            "Type:\n```sh\n# one. Two\n- a. B\n```\nDone. So.",
            ["Type:", "```sh\n# one. Two\n- a. B\n```", "Done.", "So."],
        ),
        ("~~~\nabc. B", ["~~~\nabc.", "B"]),
        (
            "| E1 | Dry. Fill it. |\n\nE2 | Hot. Wait.",
            ["| E1 | Dry. Fill it. |", "E2 | Hot. Wait."],
        ),
        ("a | b\n| c | d |\n| e | f |", ["a | b", "| c | d |", "| e | f |"]),
        ("今日は晴れ。明日は雨。", ["今日は晴れ。", "明日は雨。"]),
        ("See e.g. the manual. It helps.", ["See e.g. the manual.", "It helps."]),
        ("Known since 1850.[3] Later it fell.", ["Known since 1850.[3]", "Later it fell."]),
        ("", []),
        (" \n\t ", []),
    ],
)
def test_boundaries(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


@given(st.text(alphabet="ab.!? \n#-|[]\"'1A", max_size=200))
def test_spans_are_ordered_and_lose_only_white_space_and_list_marks(text: str) -> None:
    """Whatever the text, the spans do not overlap and hold every word."""
    spans = sentence_spans(text)
    end_before = 0
    outside = ""
    for start, end in spans:
        assert end_before <= start < end <= len(text)
        assert not text[start].isspace()
        assert not text[end - 1].isspace()
        outside += text[end_before:start]
        end_before = end
    outside += text[end_before:]
    assert set(outside.split()) <= {"-", "1."}


def test_a_row_of_stops_without_end_takes_no_longer_than_other_text() -> None:
    """It took hours, during which nothing else ran: looking for patterns is not interrupted."""
    text = "." * 1_000_000 + "a"
    assert sentence_spans(text) == [(0, len(text))]
