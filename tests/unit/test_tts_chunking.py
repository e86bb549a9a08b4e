"""Clauses out of a stream: a short first one, whole sentences after it, nothing lost."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voice.speakable.clauses import SpokenClause, SpokenClauses, heard_prefix
from voice.tts.chunking import HARD_LIMIT_CHARS, Clause, ClauseChunker
from voice.tts.pieces import MAX_CHARS, pieces


def chunks(text: str, seed: int | None = None) -> list[Clause]:
    chunker, found, at = ClauseChunker(), [], 0
    rng = random.Random(seed)
    while at < len(text):
        size = len(text) if seed is None else rng.choice((1, 1, 2, 3, 5, 9))
        found += chunker.feed(text[at : at + size])
        at += size
    return found + chunker.flush()


def texts(text: str) -> list[str]:
    return [clause.text.strip() for clause in chunks(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Paris. It lies on the Seine.", ["Paris.", "It lies on the Seine."]),
        (
            "The capital of France is Paris, which lies on the Seine. It is old.",
            ["The capital of France is Paris,", "which lies on the Seine.", "It is old."],
        ),
        ("Yes, it was Dr. Smith who did it.", ["Yes, it was Dr. Smith", "who did it."]),
        ("It is 3.14, not 2,718.5. Fine.", ["It is 3.14,", "not 2,718.5.", "Fine."]),
        ("He came at 5 p.m. Then he left.", ["He came at 5 p.m.", "Then he left."]),
        ("Ask the U.S. Army, e.g. Or not.", ["Ask the U.S. Army,", "e.g. Or not."]),
        ("See https://a.b/c.d?e=1. Done.", ["See https://a.b/c.d?e=1.", "Done."]),
        ("J. R. R. Tolkien wrote it. Yes.", ["J. R. R. Tolkien wrote it.", "Yes."]),
        ("## Title\n\nText here.", ["## Title", "Text here."]),
        ("Two things:\n- one\n- two", ["Two things:", "- one", "- two"]),
        ("1. Open it.\n2. Close it.", ["1. Open it.", "2. Close it."]),
        ("What? No! Really…", ["What?", "No!", "Really…"]),
        ("今日は晴れです。明日は雨です。", ["今日は晴れです。", "明日は雨です。"]),
        ("", []),
        ("  \n ", []),
    ],
)
def test_where_it_is_cut(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "The quick brown fox jumps over the lazy dog near the river bank today.",
        "A well known and often quoted sentence without any comma in it at all.",
        "It weighs about 5 kg and it costs 20 euros in most of the shops.",
        "One two three four five six seven eight nine ten eleven twelve.",
        "In the year 1889 the tower of Gustave Eiffel was opened to the public.",
    ],
)
def test_the_first_clause_has_at_most_six_words(text: str) -> None:
    first = chunks(text)[0].text.split()
    assert 1 <= len(first) <= 6


def test_a_number_stays_with_its_unit_and_a_title_with_its_name() -> None:
    for text in (
        "The whole thing weighs nearly about 5 kg when it is full of water.",
        "Yesterday we met our old friend Dr. Miller at the station in town.",
    ):
        for clause in chunks(text):
            assert not clause.text.rstrip().endswith((" 5", "Dr."))


def test_code_is_one_clause_and_its_full_stops_cut_nothing() -> None:
    text = "Use this:\n\n```python\nprint('a. b')\n\nx = 1. \n```\nThen run it."
    found = chunks(text)
    assert [clause.is_code for clause in found] == [False, True, False]
    assert found[1].text.strip().endswith("```")


def test_code_that_never_ends_is_handed_on_bounded() -> None:
    text = "```\n" + "some line of code\n" * 1000
    found = chunks(text, seed=1)
    assert "".join(clause.text for clause in found) == text
    assert all(clause.is_code for clause in found)
    assert max(len(clause.text) for clause in found) <= HARD_LIMIT_CHARS


def test_a_sentence_without_end_is_cut_all_the_same() -> None:
    text = "and so it goes on and on, " * 200
    assert max(len(clause.text) for clause in chunks(text)) < 400


def test_text_without_a_space_is_not_held_back_for_ever() -> None:
    chunker = ClauseChunker()
    assert chunker.feed("x" * (HARD_LIMIT_CHARS + 1))


_ALPHABET = st.sampled_from([*"ab A1.,;:!?\n-`#*[]()|$%…", "e.g. ", "Dr. ", "3.14", "```", "。"])


@given(st.lists(_ALPHABET, max_size=120).map("".join), st.integers(0, 10_000))
def test_nothing_is_lost_whatever_the_pieces(text: str, seed: int) -> None:
    """Put together, the clauses are the text; each knows its place in it."""
    found = chunks(text, seed)
    joined = "".join(clause.text for clause in found)
    assert text.startswith(joined)
    assert not text[len(joined) :].strip()
    for clause in found:
        assert text[clause.start : clause.end] == clause.text


@given(st.lists(_ALPHABET, max_size=120).map("".join), st.integers(0, 10_000))
def test_how_the_text_arrives_makes_no_difference(text: str, seed: int) -> None:
    assert chunks(text, seed) == chunks(text)


@given(st.text(max_size=1500))
def test_long_texts_are_given_to_the_engine_in_bounded_pieces(text: str) -> None:
    found = list(pieces(text))
    assert all(0 < len(piece) <= MAX_CHARS for piece in found)
    assert "".join("".join(found).split()) == "".join(text.split())


def test_code_is_mentioned_once_and_not_read() -> None:
    spoken = SpokenClauses()
    text = "Run this:\n```\n" + "line one of it\n" * 400 + "```\nThat is all."
    found = spoken.feed(text) + spoken.flush()
    said = " ".join(clause.spoken for clause in found if clause.spoken)
    assert said == "Run this: The code is shown on the page. That is all."


def test_heard_prefix_is_a_place_in_the_answer() -> None:
    clauses = [
        SpokenClause("It costs $5.20, ", "It costs five dollars and twenty cents,", 0, 16),
        SpokenClause("more or less.", "more or less.", 16, 29),
    ]
    answer = "".join(clause.text for clause in clauses)
    assert answer[: heard_prefix(clauses, 0, 0.0)] == ""
    assert answer[: heard_prefix(clauses, 0, 0.4)] == "It costs"
    assert answer[: heard_prefix(clauses, 1, 0.1)] == "It costs $5.20, more"
    assert heard_prefix(clauses, 2, 1.0) == len(answer)
