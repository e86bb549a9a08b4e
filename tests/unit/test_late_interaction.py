"""Late interaction: what is kept of a text's tokens, and how it is compared with a question."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.late_interaction import CODE_BYTES, MAX_START, max_similarities, pack_tokens
from ingest.vectors import DIMENSION, Vectors

random = np.random.default_rng(7)


def vectors(count: int) -> Vectors:
    made = random.standard_normal((count, DIMENSION)).astype(np.float32)
    unit: Vectors = made / np.linalg.norm(made, axis=1, keepdims=True)
    return unit


def test_a_question_fits_the_text_that_holds_its_tokens() -> None:
    texts = [vectors(30) for _ in range(5)]
    packed = [pack_tokens(range(30), text) for text in texts]
    scores = max_similarities(texts[3][4:12], packed, [[(0, 30)]] * 5)
    assert np.argmax(scores) == 3
    assert scores[3][0] == pytest.approx(np.sqrt(2 / np.pi), abs=0.03)  # of signs with a normal


def test_a_span_is_scored_by_the_tokens_that_begin_in_it() -> None:
    text = vectors(20)
    packed = pack_tokens([5 * place for place in range(20)], text)
    ((before, there, nothing),) = max_similarities(
        text[15:18], [packed], [[(0, 75), (75, 90), (1, 4)]]
    )
    assert there > before
    assert nothing == 0


def test_texts_of_different_length_and_without_tokens_keep_their_places() -> None:
    long, short = vectors(90), vectors(2)
    packed = [pack_tokens(range(90), long), b"", pack_tokens(range(2), short)]
    whole = [[(0, 100)]] * 3
    alone = [max_similarities(short, [one], [[(0, 100)]])[0] for one in packed]
    assert max_similarities(short, packed, whole) == [pytest.approx(one) for one in alone]
    assert max_similarities(short, [], []) == []


def test_a_token_takes_forty_nine_bytes() -> None:
    assert len(pack_tokens(range(7), vectors(7))) == 2 + 7 * (CODE_BYTES + 1) == 345


@given(st.lists(st.integers(0, 70_000), min_size=1, max_size=40))
def test_tokens_keep_their_places_however_far_apart_and_in_any_order(starts: list[int]) -> None:
    text = vectors(len(starts))
    packed = pack_tokens(starts, text)
    [[whole]] = max_similarities(text[:1], [packed], [[(0, MAX_START + 1)]])
    places = [min(start, MAX_START) for start in starts]
    [at_each] = max_similarities(text[:1], [packed], [[(p, p + 1) for p in sorted(set(places))]])
    assert 0 not in at_each
    assert max(at_each) == at_each[sorted(set(places)).index(places[0])] == whole
    edges = [(p + 1, q) for p, q in pairwise(sorted(set(places))) if q > p + 1]
    assert max_similarities(text[:1], [packed], [edges]) == [[0.0] * len(edges)]
