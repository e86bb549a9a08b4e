"""What was read is found again by its beginning, within a bound of bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.llm.answers import AnswerMemory
from chains.llm.prefix import PrefixCache, Tokens, as_tokens, common_prefix

STATE_BYTES = 1000


def put(
    cache: PrefixCache,
    tokens: str,
    size: int = STATE_BYTES,
    *,
    owner: str = "",
    pinned: bool = False,
) -> None:
    data = np.zeros(size, np.uint8)
    cache.put(letters(tokens), size, lambda: data, owner=owner, pinned=pinned)


def letters(text: str) -> Tokens:
    return as_tokens([ord(letter) for letter in text])


def best(cache: PrefixCache, tokens: str) -> tuple[str, int]:
    state, length = cache.best(letters(tokens))
    return "" if state is None else "".join(map(chr, state.tokens)), length


@given(st.text("ab", max_size=9), st.text("ab", max_size=9))
def test_the_common_prefix_is_the_longest_one(left: str, right: str) -> None:
    size = common_prefix(letters(left), letters(right))
    assert left[:size] == right[:size]
    assert left[size : size + 1] != right[size : size + 1] or size == min(len(left), len(right))


def test_the_state_with_the_longest_common_beginning_is_found() -> None:
    cache = PrefixCache(10_000)
    put(cache, "system. first chat")
    put(cache, "system. second chat")
    assert best(cache, "system. second chat goes on") == ("system. second chat", 19)
    assert best(cache, "system. third")[1] == len("system. ")
    assert best(cache, "else") == ("", 0)


def test_a_longer_state_replaces_the_one_that_it_extends() -> None:
    cache = PrefixCache(10_000)
    put(cache, "one turn")
    put(cache, "one turn and another")
    assert len(cache) == 1
    assert cache.covers(letters("one turn"))
    assert not cache.covers(letters("one turn and another, and more"))


def test_the_least_recently_used_state_goes_when_the_bytes_are_full() -> None:
    cache = PrefixCache(3 * (STATE_BYTES + 4))
    for name in "abc":
        put(cache, name)
    best(cache, "a")
    put(cache, "d")
    assert [best(cache, name)[1] for name in "abcd"] == [1, 0, 1, 1]


def test_a_pinned_state_outlives_the_others_and_what_extends_it() -> None:
    cache = PrefixCache(2 * (STATE_BYTES + 8))
    put(cache, "s", pinned=True)
    for name in ("sa", "sb", "sc"):
        put(cache, name)
    assert best(cache, "sx") == ("s", 1)
    assert len(cache) == 2


def test_many_states_of_one_owner_leave_anothers_alone() -> None:
    cache = PrefixCache(4 * (STATE_BYTES + 4))
    put(cache, "b", owner="bob")
    put(cache, "c", owner="cy")
    for name in "defghijklm":
        put(cache, name, owner="ann")
    assert best(cache, "b") == ("b", 1)
    assert best(cache, "c") == ("c", 1)
    assert best(cache, "l") == ("l", 1)
    assert best(cache, "m") == ("m", 1)
    assert best(cache, "k") == ("", 0)


def test_pinning_the_same_beginning_again_takes_no_more_room() -> None:
    cache = PrefixCache(10_000)
    put(cache, "s", pinned=True)
    put(cache, "s", pinned=True)
    assert len(cache) == 1


def test_a_state_larger_than_the_cache_is_not_even_copied() -> None:
    cache = PrefixCache(100)
    cache.put(letters("a"), 101, lambda: pytest.fail("it was copied"))
    assert len(cache) == 0


@given(st.lists(st.tuples(st.text("ab", min_size=1, max_size=6), st.integers(1, 900)), max_size=30))
def test_the_bytes_are_never_over_the_limit(states: list[tuple[str, int]]) -> None:
    cache = PrefixCache(1500)
    for tokens, size in states:
        put(cache, tokens, size, pinned=size % 7 == 0)
        assert cache.size_bytes <= 1500


def test_an_answer_is_remembered_as_the_tokens_that_it_was_sampled_as() -> None:
    memory = AnswerMemory()
    memory.remember("a", "Paris.", [1, 2])
    assert memory.recall("a", "Paris.") == (1, 2)
    assert memory.recall("b", "Paris.") is None
    assert memory.recall("a", "Paris") is None


def test_answers_are_forgotten_oldest_first_and_the_memory_stays_bounded() -> None:
    memory = AnswerMemory(limit_tokens=5)
    for name in "abc":
        memory.remember("s", name, [1, 2])
    assert memory.recall("s", "a") is None
    assert memory.recall("s", "b") == (1, 2)
    memory.remember("s", "long", [0] * 9)
    assert memory.recall("s", "long") is None
    memory.remember("s", "", [])
    assert memory.recall("s", "") is None
