"""The splitter: whole sentences, under their heading, at their offsets."""

from __future__ import annotations

import re

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


def test_a_heading_without_text_is_no_chunk() -> None:
    chunks = split(document("Only a heading", (1, "Only a heading")), chunk_tokens=9, count=count)
    assert chunks == []


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
