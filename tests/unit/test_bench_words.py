"""Word errors are counted as they are everywhere."""

from __future__ import annotations

import jiwer
from hypothesis import given
from hypothesis import strategies as st

from bench.stt import word_errors, words

_SENTENCE = st.lists(st.sampled_from("the cat sat on a mat".split()), min_size=1, max_size=12)


@given(_SENTENCE, _SENTENCE)
def test_errors_are_those_that_jiwer_counts(said: list[str], heard: list[str]) -> None:
    measured = jiwer.process_words(" ".join(said), " ".join(heard))
    counted = measured.substitutions + measured.deletions + measured.insertions
    assert word_errors(said, heard) == counted


def test_case_and_punctuation_do_not_count() -> None:
    assert words("What’s the time, please?") == words("what's the time please")
