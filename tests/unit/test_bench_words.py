"""Word errors are counted as they are everywhere."""

from __future__ import annotations

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stt import word_errors, words
from bench.tts import comparable

_SENTENCE = st.lists(st.sampled_from("the cat sat on a mat".split()), min_size=1, max_size=12)


@given(_SENTENCE, _SENTENCE)
def test_errors_are_those_that_jiwer_counts(said: list[str], heard: list[str]) -> None:
    measured = jiwer.process_words(" ".join(said), " ".join(heard))
    counted = measured.substitutions + measured.deletions + measured.insertions
    assert word_errors(said, heard) == counted


def test_case_and_punctuation_do_not_count() -> None:
    assert words("What’s the time, please?") == words("what's the time please")


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("five five five, one two three, four five six seven", "555-123-4567"),
        ("five five five, one two three, four five six seven", "5551234567"),
        ("five five five, one two three, four five six seven", "555-123-45-67"),
        ("ten thirty a m", "10.30 am"),
        ("seventeen forty-five", "1745"),
        ("five dollars and twenty cents", "$5.20"),
        ("the U S B drive", "the USB drive"),
    ],
)
def test_another_spelling_of_the_same_words_is_no_mistake(said: str, heard: str) -> None:
    assert comparable(heard) == comparable(said)


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("five five five, one two three", "555-124"),
        ("seven days before noon", "7 days 4 noon"),
        ("the river Thames", "the river tens"),
        ("three hundred and thirty", "300 in 30"),
        ("Henry the eighth", "Henry V8"),
    ],
)
def test_what_was_misheard_is_not_forgiven(said: str, heard: str) -> None:
    assert word_errors(comparable(said), comparable(heard)) > 0


def test_a_date_is_not_taken_for_a_telephone_number() -> None:
    assert comparable("2026-12-31") == comparable("December thirty-first, twenty twenty-six")
