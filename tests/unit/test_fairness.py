"""Who is served when, and who is refused: owners take turns, people first, nobody for ever."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BusyError
from core.fairness import FairQueue, FairSlots, OwnerQuota
from core.share import Share, as_share, share
from core.turns import GROUP_LIMIT, PEOPLE_IN_A_ROW

LIMIT = 100
refused: list[str] = []


class Clock:
    """Seconds, as the test says."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def new_queue(
    limit: int = LIMIT, owner_limit: int = LIMIT, clock: Clock | None = None
) -> FairQueue[str]:
    refused.clear()
    return FairQueue(
        limit, owner_limit, refuse=lambda item, _: refused.append(item), clock=clock or Clock()
    )


def filled(*requests: str, limit: int = LIMIT, owner_limit: int = LIMIT) -> FairQueue[str]:
    """Requests such as ``ax1``: owner a, session x; ``Ax1`` is a person's; ``ax1@big``: a model."""
    queue = new_queue(limit, owner_limit)
    for request in requests:
        put(queue, request)
    return queue


def share_of(request: str) -> Share:
    return Share(request[0].lower(), request[1], interactive=request[0].isupper())


def put(queue: FairQueue[str], request: str) -> None:
    queue.put(request, whose=share_of(request), group=request.partition("@")[2] or "fast")


def drain(queue: FairQueue[str], loaded: str = "fast") -> list[str]:
    taken = []
    while len(queue):
        taken.append(queue.take(loaded))
        loaded = taken[-1].partition("@")[2] or "fast"
    return taken


# ── turns ────────────────────────────────────────────────────────────────────────────────────


def test_owners_take_turns_then_their_sessions_and_a_session_is_served_in_order() -> None:
    queue = filled("ax1", "ax2", "ay3", "bx1", "cx1", "bx2")
    assert drain(queue) == ["ax1", "bx1", "cx1", "ay3", "bx2", "ax2"]


def test_an_owner_with_many_sessions_delays_another_by_one_place() -> None:
    queue = filled(*(f"a{chr(ord('a') + i)}" for i in range(26)))
    assert queue.take("fast") == "aa"
    put(queue, "bx1")
    assert queue.order("fast").index("bx1") <= 1


def test_an_owner_who_was_just_served_goes_behind_those_who_wait() -> None:
    queue = filled("ax1", "bx1")
    assert queue.take("fast") == "ax1"
    put(queue, "ax2")
    put(queue, "cx1")
    assert drain(queue) == ["bx1", "ax2", "cx1"]


def test_new_owners_do_not_starve_the_second_request_of_an_old_one() -> None:
    queue = filled("ax1", "ax2")
    assert queue.take("fast") == "ax1"
    served = []
    for name in "bcdefgh":
        put(queue, f"{name}x")
        served.append(queue.take("fast"))
    assert "ax2" in served[:2]


def test_an_owner_who_took_their_requests_back_is_not_sent_behind() -> None:
    taken_back = [f"ax{i}" for i in range(9)]
    queue = filled("bx1", *taken_back)
    for request in taken_back:
        assert queue.remove(request)
    put(queue, "ax9")
    put(queue, "bx2")
    assert drain(queue) == ["bx1", "ax9", "bx2"]


def test_removing_gives_the_place_free_and_leaves_the_others_in_order() -> None:
    queue = filled("ax1", "bx1", "ax2", limit=3)
    assert queue.remove("bx1")
    assert not queue.remove("bx1")
    put(queue, "cx1")
    assert drain(queue) == ["ax1", "cx1", "ax2"]


def test_a_person_goes_before_all_that_programs_have_waiting() -> None:
    queue = filled(*(f"ax{i}" for i in range(50)), "bx1")
    put(queue, "Cx1")
    put(queue, "Ax1")
    assert queue.order("fast")[:3] == ["Cx1", "Ax1", "ax0"]


def test_a_program_gets_a_turn_however_many_people_come() -> None:
    queue = filled("ax1")
    served = []
    for i in range(3 * PEOPLE_IN_A_ROW):
        put(queue, f"{chr(ord('B') + i % 20)}x{i}")
        served.append(queue.take("fast"))
    assert served.index("ax1") == PEOPLE_IN_A_ROW


# ── models ───────────────────────────────────────────────────────────────────────────────────


def test_the_loaded_model_is_used_while_there_is_work_for_it() -> None:
    queue = filled("ax1@big", "bx1", "cx1@big", "dx1")
    assert drain(queue, "fast") == ["bx1", "dx1", "ax1@big", "cx1@big"]


def test_the_other_model_gets_its_turn_however_many_come_for_this_one() -> None:
    queue = filled("zx1@big")
    served = []
    loaded = "fast"
    for i in range(3 * GROUP_LIMIT):
        put(queue, f"{chr(ord('a') + i % 20)}x{i}")
        served.append(queue.take(loaded))
        loaded = served[-1].partition("@")[2] or "fast"
    assert served.index("zx1@big") == GROUP_LIMIT


def test_a_session_is_served_in_order_even_if_its_requests_are_for_different_models() -> None:
    queue = filled("ax1@big", "ax2", "bx1")
    assert drain(queue, "fast") == ["bx1", "ax1@big", "ax2"]


def test_a_person_who_needs_another_model_still_goes_before_programs() -> None:
    queue = filled("ax1", "bx1", "Cx1@big")
    assert drain(queue, "fast")[0] == "Cx1@big"


# ── limits ───────────────────────────────────────────────────────────────────────────────────


def test_a_full_queue_says_at_once_how_many_wait() -> None:
    queue = filled("ax1", "bx1", limit=2)
    with pytest.raises(BusyError) as error:
        put(queue, "ax2")
    assert (error.value.waiting, error.value.own) == (2, False)
    assert drain(queue) == ["ax1", "bx1"]


def test_an_owner_has_so_many_waiting_and_no_more() -> None:
    queue = filled("ax1", "ax2", owner_limit=2)
    with pytest.raises(BusyError) as error:
        put(queue, "ax3")
    assert (error.value.waiting, error.value.own) == (2, True)
    put(queue, "bx1")
    assert queue.waiting("a") == 2


def test_the_servers_own_work_is_bounded_by_the_queue_alone() -> None:
    queue = new_queue(limit=16, owner_limit=2)
    for number in range(16):
        queue.put(f"check {number}", whose=Share())
    with pytest.raises(BusyError):
        queue.put("one more", whose=Share())


def test_the_newest_of_who_has_most_makes_room_for_who_has_less() -> None:
    queue = filled("ax1", "ax2", "ax3", "bx1", limit=4)
    put(queue, "cx1")
    assert refused == ["ax3"]
    put(queue, "bx2")
    with pytest.raises(BusyError):
        put(queue, "bx3")
    assert drain(queue) == ["ax1", "bx1", "cx1", "bx2"]


def test_a_persons_question_makes_no_room_for_a_programs() -> None:
    queue = filled("Ax1", "Ax2", "Ax3", limit=3)
    with pytest.raises(BusyError):
        put(queue, "bx1")
    put(queue, "Bx1")
    assert refused == ["Ax3"]


def test_what_a_person_asks_is_not_refused_for_what_their_program_asks() -> None:
    queue = filled("ax1", "ax2", "ax3", owner_limit=3)
    put(queue, "Ay1")
    assert refused == ["ax3"]
    assert drain(queue) == ["Ay1", "ax1", "ax2"]


def test_one_guest_does_not_use_up_what_all_of_an_invitation_may_have() -> None:
    queue = filled(*(f"Ax{i}" for i in range(4)), owner_limit=4)
    put(queue, "Ay1")
    assert refused == ["Ax3"]
    with pytest.raises(BusyError):
        put(queue, "Ax4")
    put(queue, "Az1")
    assert drain(queue) == ["Ax0", "Ay1", "Az1", "Ax1"]


def test_sessions_of_one_owner_do_not_put_each_other_out_in_turns() -> None:
    queue = filled("ax1", "ay1", owner_limit=2)
    with pytest.raises(BusyError):
        put(queue, "az1")
    assert refused == []


def test_when_to_come_back_follows_the_pace_and_is_never_nonsense() -> None:
    clock = Clock()
    queue = new_queue(limit=64, owner_limit=4, clock=clock)

    def told() -> float:
        with pytest.raises(BusyError) as error:
            put(queue, "ax9")
        return error.value.retry_after_s

    for i in range(4):
        put(queue, f"ax{i}")
        put(queue, f"bx{i}")
    assert told() == 4.0  # nothing was measured yet: a second for each of half of two owners'
    for i in range(20):
        put(queue, f"c{chr(ord('a') + i)}") if i < 4 else None
        clock.now += 5.0
        if len(queue) > 4:
            queue.take("fast")
    for i in range(4):
        with contextlib.suppress(BusyError):
            put(queue, f"ax{i}")
    assert 5.0 <= told() <= 300.0
    clock.now += 1e9  # the engine hangs
    assert told() == 300.0


# ── for any history ──────────────────────────────────────────────────────────────────────────

names = st.tuples(st.sampled_from("abcdefABC"), st.sampled_from("xyz")).map("".join)
requests = st.lists(st.tuples(names, st.sampled_from(["", "@big", "@tiny"])), max_size=40)


@given(requests, st.lists(st.integers(0, 39), max_size=10))
def test_the_order_told_is_the_order_served_and_nothing_is_lost(
    asked: list[tuple[str, str]], removed: list[int]
) -> None:
    all_of_them = [f"{name}{i}{profile}" for i, (name, profile) in enumerate(asked)]
    queue = filled(*all_of_them)
    gone = {all_of_them[i] for i in removed if i < len(all_of_them)}
    for name in gone:
        assert queue.remove(name)
    told = queue.order("fast")
    assert told == drain(queue)
    assert sorted(told) == sorted(set(all_of_them) - gone)
    for name in {name for name, _ in asked}:
        own = [one for one in all_of_them if one[:2] == name and one not in gone]
        assert [one for one in told if one[:2] == name] == own


@given(st.lists(st.one_of(names, st.none()), max_size=200), st.integers(1, 12), st.integers(1, 6))
def test_nobody_is_refused_while_another_has_more_waiting(
    asked: list[str | None], limit: int, owner_limit: int
) -> None:
    queue = new_queue(limit, owner_limit)
    bulk: Counter[str] = Counter()
    for i, name in enumerate(asked):
        if name is None:
            if len(queue):
                taken = queue.take("fast")
                bulk[taken[0]] -= 1
            continue
        before = {one: queue.waiting(one) for one in "abcdef"}
        owner = name[0].lower()
        try:
            put(queue, f"{name}{i}")
        except BusyError as error:
            if error.own:
                assert before[owner] == owner_limit
            else:
                assert len(queue) == limit
                more = [one for one in before if before[one] > before[owner]]
                # A program's question does not put out a person's.
                assert not more or (name[0].islower() and not any(bulk[one] for one in more))
        else:
            bulk[name[0]] += 1
            for left in refused:
                bulk[left[0]] -= 1
                assert before[left[0].lower()] > before[owner] or left[0].lower() == owner
        refused.clear()
        assert len(queue) <= limit
        assert all(queue.waiting(one) <= owner_limit for one in "abcdef")


@settings(max_examples=30, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 20), min_size=2),
    st.integers(8, 20),
)
def test_owners_who_flood_get_equal_shares(floods: dict[str, int], served: int) -> None:
    """Each keeps asking, some twenty times as much as others; all have something waiting."""
    queue = new_queue(limit=64, owner_limit=8)
    got: Counter[str] = Counter()
    for turn in range(served * len(floods)):
        for owner, many in floods.items():
            for i in range(many if turn else many + 1):
                with contextlib.suppress(BusyError):
                    put(queue, f"{owner}{chr(ord('a') + i % 26)}{turn}.{i}")
        got[queue.take("fast")[0]] += 1
    assert all(abs(got[owner] - served) <= 0.2 * served for owner in floods)


@given(requests)
def test_a_queue_that_was_served_remembers_nothing(asked: list[tuple[str, str]]) -> None:
    queue = filled(*(f"{name}{i}{profile}" for i, (name, profile) in enumerate(asked)))
    drain(queue)
    assert not queue._waiting
    assert not queue._turns.people._owners
    assert not queue._turns.programs._owners


# ── shares, places and quotas ────────────────────────────────────────────────────────────────


async def test_a_task_works_for_who_made_it() -> None:
    async def whose() -> Share:
        await asyncio.sleep(0)
        return share()

    with as_share(Share("a", "x", interactive=True)):
        made = asyncio.create_task(whose())
    with as_share(Share("b")):
        assert await made == Share("a", "x", interactive=True)
        assert await asyncio.to_thread(share) == Share("b")
    assert share() == Share()


async def hold(slots: FairSlots, whose: Share, served: list[str]) -> None:
    with as_share(whose):
        async with slots.place():
            served.append(whose.owner)
            await asyncio.sleep(0)


async def test_places_go_to_owners_in_turns() -> None:
    slots, served = FairSlots(1, 64), list[str]()
    async with slots.place():
        asked = [asyncio.create_task(hold(slots, Share("a", str(i)), served)) for i in range(6)]
        await asyncio.sleep(0)
        asked.append(asyncio.create_task(hold(slots, Share("b"), served)))
        asked.append(asyncio.create_task(hold(slots, Share("c", interactive=True), served)))
        await asyncio.sleep(0)
    await asyncio.gather(*asked)
    assert served == ["c", "a", "b", "a", "a", "a", "a", "a"]


async def test_who_stops_waiting_for_a_place_or_holding_it_leaves_it_free() -> None:
    slots, served = FairSlots(2, 64), list[str]()
    await slots.acquire()
    await slots.acquire()
    asked = [asyncio.create_task(hold(slots, Share("a"), served)) for _ in range(8)]
    await asyncio.sleep(0)
    asked[0].cancel()
    slots.release()  # asked[1] is given a place, and cancelled before it knows
    asked[1].cancel()
    await asyncio.sleep(0)
    asked[2].cancel()
    slots.release()
    async with asyncio.timeout(60):
        await asyncio.gather(*asked, return_exceptions=True)
        assert served == ["a"] * 5
        assert slots.waiting == 0
        await slots.acquire()
        await slots.acquire()


async def test_who_must_make_room_is_told_while_they_wait() -> None:
    slots, served = FairSlots(1, 4, 4), list[str]()
    async with slots.place():
        flood = [asyncio.create_task(hold(slots, Share("a"), served)) for _ in range(5)]
        await asyncio.sleep(0)
        other = asyncio.create_task(hold(slots, Share("b"), served))
        await asyncio.sleep(0)
        with pytest.raises(BusyError) as error:
            await flood[3]
        assert error.value.own
    await asyncio.gather(*flood, other, return_exceptions=True)
    assert sorted(served) == ["a", "a", "a", "b"]


async def test_waiting_ends_where_no_place_is_given_back() -> None:
    slots = FairSlots(1, 64)
    await slots.acquire()
    with pytest.raises(TimeoutError):
        await slots.acquire(stuck_s=0.01)
    assert slots.waiting == 0


async def test_waiting_does_not_end_while_others_are_served() -> None:
    slots = FairSlots(1, 64)
    await slots.acquire()
    asked = [asyncio.create_task(slots.acquire(stuck_s=0.2)) for _ in range(40)]
    for done in asked:
        await asyncio.sleep(0.01)
        slots.release()
        await done


def test_an_owner_has_so_much_under_way_and_gives_it_back_however_it_ends() -> None:
    quota = OwnerQuota(2)
    with as_share(Share("a")), contextlib.ExitStack() as held:
        held.enter_context(quota.hold())
        with pytest.raises(ZeroDivisionError), quota.hold():
            raise ZeroDivisionError
        held.enter_context(quota.hold())
        with pytest.raises(BusyError) as error, quota.hold():
            pass
        assert (error.value.waiting, error.value.own) == (2, True)
        with as_share(Share("b")), quota.hold():
            assert len(quota) == 3
        with as_share(Share("a", interactive=True)), quota.hold():
            assert len(quota) == 3
    assert len(quota) == 0
    assert quota._held == {}


def test_one_guest_leaves_some_of_the_quota_to_the_others() -> None:
    quota = OwnerQuota(4)
    with contextlib.ExitStack() as held:
        with as_share(Share("invitation", "one")):
            held.enter_context(quota.hold(of_session=1))
            with pytest.raises(BusyError), quota.hold(of_session=1):
                pass
        with as_share(Share("invitation", "two")):
            held.enter_context(quota.hold(of_session=1))
