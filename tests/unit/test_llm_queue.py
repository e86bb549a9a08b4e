"""Who is served when: sessions take turns, models are changed seldom, nobody waits for ever."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.llm.queue import GROUP_LIMIT, FairQueue
from xoe.errors import EngineBusyError


def filled(*requests: str, limit: int = 100) -> FairQueue[str]:
    """Requests such as ``a1`` (session a), ``a1@big`` for another model than ``fast``."""
    queue: FairQueue[str] = FairQueue(limit)
    for request in requests:
        put(queue, request)
    return queue


def put(queue: FairQueue[str], request: str) -> None:
    name, _, profile = request.partition("@")
    queue.put(request, session_id=name[0], profile=profile or "fast")


def drain(queue: FairQueue[str], loaded: str = "fast") -> list[str]:
    taken = []
    while len(queue):
        taken.append(queue.take(loaded))
        loaded = taken[-1].partition("@")[2] or "fast"
    return taken


def test_sessions_take_turns_and_a_session_is_served_in_order() -> None:
    queue = filled("a1", "a2", "a3", "b1", "c1", "b2")
    assert drain(queue) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_session_with_many_requests_delays_another_by_one_place() -> None:
    queue = filled(*(f"a{i}" for i in range(50)))
    assert queue.take("fast") == "a0"
    put(queue, "b1")
    assert queue.order("fast").index("b1") <= 1


def test_a_session_that_was_just_served_goes_behind_those_that_wait() -> None:
    queue = filled("a1", "b1")
    assert queue.take("fast") == "a1"
    put(queue, "a2")
    put(queue, "c1")
    assert drain(queue) == ["b1", "a2", "c1"]


def test_new_sessions_do_not_starve_the_second_request_of_an_old_one() -> None:
    queue = filled("a1", "a2")
    assert queue.take("fast") == "a1"
    served = []
    for name in "bcdefgh":
        put(queue, f"{name}1")
        served.append(queue.take("fast"))
    assert "a2" in served[:2]


def test_a_full_queue_says_at_once_how_many_wait() -> None:
    queue = filled("a1", "b1", limit=2)
    with pytest.raises(EngineBusyError) as error:
        put(queue, "c1")
    assert error.value.place == 2
    assert drain(queue) == ["a1", "b1"]


def test_removing_gives_the_place_free_and_leaves_the_others_in_order() -> None:
    queue = filled("a1", "b1", "a2", limit=3)
    assert queue.remove("b1")
    assert not queue.remove("b1")
    put(queue, "c1")
    assert drain(queue) == ["a1", "c1", "a2"]


def test_a_session_that_took_its_requests_back_is_not_sent_behind() -> None:
    taken_back = [f"a{i}" for i in range(9)]
    queue = filled("b1", *taken_back)
    for request in taken_back:
        assert queue.remove(request)
    put(queue, "a9")
    put(queue, "b2")
    assert drain(queue) == ["b1", "a9", "b2"]


def test_the_loaded_model_is_used_while_there_is_work_for_it() -> None:
    queue = filled("a1@big", "b1", "c1@big", "d1")
    assert drain(queue, "fast") == ["b1", "d1", "a1@big", "c1@big"]


def test_the_other_model_gets_its_turn_however_many_come_for_this_one() -> None:
    queue = filled("z1@big")
    served = []
    loaded = "fast"
    for i in range(3 * GROUP_LIMIT):
        put(queue, f"{chr(ord('a') + i % 20)}{i}")
        served.append(queue.take(loaded))
        loaded = served[-1].partition("@")[2] or "fast"
    assert served.index("z1@big") == GROUP_LIMIT


def test_a_session_is_served_in_order_even_if_its_requests_are_for_different_models() -> None:
    queue = filled("a1@big", "a2", "b1")
    assert drain(queue, "fast") == ["b1", "a1@big", "a2"]


requests = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.sampled_from(["", "@big", "@tiny"])), max_size=40
)


@given(requests, st.lists(st.integers(0, 39), max_size=10))
def test_the_order_told_is_the_order_served_and_nothing_is_lost(
    sessions: list[tuple[str, str]], removed: list[int]
) -> None:
    names = [f"{session}{i}{profile}" for i, (session, profile) in enumerate(sessions)]
    queue = filled(*names)
    gone = {names[i] for i in removed if i < len(names)}
    for name in gone:
        assert queue.remove(name)
    told = queue.order("fast")
    assert told == drain(queue)
    assert sorted(told) == sorted(set(names) - gone)
    for session in "abcdef":
        own = [name for name in names if name[0] == session and name not in gone]
        assert [name for name in told if name[0] == session] == own


@given(requests)
def test_a_queue_that_was_served_remembers_nothing(sessions: list[tuple[str, str]]) -> None:
    queue = filled(*(f"{session}{i}{profile}" for i, (session, profile) in enumerate(sessions)))
    drain(queue)
    assert queue._last_round == {}
