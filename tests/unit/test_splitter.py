"""The splitter: whole sentences, under their heading, at their offsets."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.loaders import HeadingSpan, LoadedDocument
from ingest.splitter import CHARS_PER_TOKEN, split


def count(texts):
    return [len(text.split()) for text in texts]


def document(text: str, *headings: tuple[int, str]) -> LoadedDocument:
    spans = []
    for level, heading in headings:
        start = text.index(heading)
        spans.append(HeadingSpan(level, heading, start, start + len(heading)))
    return LoadedDocument(text=text, title="T", kind="text", headings=tuple(spans))


def words(text: str) -> str:
    """Return what must not be lost: all but white space and the marks of lists."""
    return re.sub(r"[\s\d*+•▪◦·.)-]", "", text)


def test_a_chunk_is_the_text_at_its_offsets_and_within_the_budget() -> None:
    text = " ".join(f"Sentence number {i} is here." for i in range(50))
    chunks = split(document(text), chunk_tokens=20, count=count)
    assert len(chunks) > 5
    assert all(chunk.text == text[chunk.start : chunk.end] for chunk in chunks)
    assert all(count([chunk.text])[0] <= 20 for chunk in chunks)
    assert " ".join(chunk.text for chunk in chunks) == text


def test_a_chunk_knows_all_the_headings_above_it() -> None:
    text = "Animals\n\nMammals\n\nCats purr.\n\nBirds\n\nOwls fly.\n\nPlants\n\nOaks grow."
    made = document(text, (1, "Animals"), (2, "Mammals"), (2, "Birds"), (1, "Plants"))
    chunks = split(made, chunk_tokens=100, count=count)
    assert [(chunk.heading, chunk.text.split("\n")[-1]) for chunk in chunks] == [
        ("Animals › Mammals", "Cats purr."),
        ("Animals › Birds", "Owls fly."),
        ("Plants", "Oaks grow."),
    ]


def test_a_heading_with_nothing_below_it_is_a_chunk_and_one_over_headings_is_not() -> None:
    """In a leaflet the headings are all there is."""
    text = "Flea market\n\nSaturday from 9 to 14\n\nA stall costs 12 euros\n\nWhere\n\nIn the yard."
    made = document(
        text,
        (1, "Flea market"),
        (2, "Saturday from 9 to 14"),
        (2, "A stall costs 12 euros"),
        (1, "Where"),
    )
    chunks = split(made, chunk_tokens=9, count=count)
    assert [chunk.text for chunk in chunks] == [
        "Saturday from 9 to 14",
        "A stall costs 12 euros",
        "Where\n\nIn the yard.",
    ]


def test_a_heading_over_a_text_that_fills_a_chunk_is_none_by_itself() -> None:
    made = document("A title\n\n" + "word " * 20, (1, "A title"))
    chunks = split(made, chunk_tokens=10, count=count)
    assert [chunk.text.split()[0] for chunk in chunks] == ["word", "word"]


@pytest.mark.parametrize(
    "table",
    [
        "| Name | Key |\n|---|:--|\n" + "\n".join(f"| Person {i} | {i} |" for i in range(40)),
        "\n\n".join(["Name | Key", *(f"Person {i} | {i}" for i in range(40))]),
    ],
    ids=["markdown", "extracted"],
)
def test_every_row_of_a_table_knows_its_columns_and_no_prose_does(table: str) -> None:
    text = f"Before the table.\n\n{table}\n\nAfter the table."
    chunks = split(document(text), chunk_tokens=30, count=count)
    rows = [chunk for chunk in chunks if "|" in chunk.text]
    assert len(rows) > 3
    assert {chunk.heading for chunk in rows} == {"Name | Key"}
    prose = [(chunk.text, chunk.heading) for chunk in chunks if "|" not in chunk.text]
    assert prose == [("Before the table.", ""), ("After the table.", "")]


@pytest.mark.parametrize(
    ("first", "below", "expected"),
    [
        ("Region | 2023 | 2024", "North | 1985 | 2210", "Region | 2023 | 2024"),
        ("– | 2024-01-31 | 2024-02-29", "North | 5 | 6", "– | 2024-01-31 | 2024-02-29"),
        ("Ada | 1985", "Ben | 1990", ""),
        ("North | 5", "South | 6", ""),
        ("Name | 2 kg", "Ada | 3 kg", ""),
    ],
)
def test_a_year_names_a_column_of_what_is_no_year(first: str, below: str, expected: str) -> None:
    text = "\n\n".join([first, below, below])
    (chunk,) = split(document(text), chunk_tokens=100, count=count)
    assert chunk.heading == expected


def test_a_row_that_is_too_long_for_a_sentence_stays_in_its_table() -> None:
    said = "The hull was sound. The keel was not. " * 50
    rows = ["Boat | Report", *(f"B{n} | {said}{n}" for n in range(3)), "B4 | Nothing to say"]
    chunks = split(document("\n\n".join(rows)), chunk_tokens=60, count=count)
    assert len(chunks) > 10
    assert {chunk.heading for chunk in chunks} == {"Boat | Report"}


def test_a_first_row_of_figures_names_no_columns() -> None:
    chunks = split(document("1960 | 29\n\n1961 | 30"), chunk_tokens=30, count=count)
    assert [chunk.heading for chunk in chunks] == [""]


def test_a_sentence_over_the_budget_is_cut_between_words() -> None:
    text = "word " * 100
    chunks = split(document(text), chunk_tokens=10, count=count)
    assert all(count([chunk.text])[0] <= 10 for chunk in chunks)
    assert sum(count([chunk.text])[0] for chunk in chunks) == 100


@given(st.text(max_size=400), st.integers(1, 30))
def test_any_text_is_cut_without_losing_a_word(text: str, budget: int) -> None:
    chunks = split(document(text), chunk_tokens=budget, count=count)
    assert all(chunk.text == text[chunk.start : chunk.end] for chunk in chunks)
    starts = [chunk.start for chunk in chunks]
    assert starts == sorted(starts)
    assert words("".join(chunk.text for chunk in chunks)) == words(text)


def test_what_holds_no_space_is_cut_all_the_same() -> None:
    """To the embedder's tokenizer a word of any length is one token."""
    text = "a" * 50_000 + " end."
    document = LoadedDocument(text, "t", "text")
    chunks = split(document, chunk_tokens=200, count=lambda texts: [1] * len(texts))
    assert max(len(chunk.text) for chunk in chunks) <= 200 * CHARS_PER_TOKEN
    assert "".join(chunk.text for chunk in chunks).replace(" ", "") == text.replace(" ", "")
