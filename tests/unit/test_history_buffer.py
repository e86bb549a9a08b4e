"""Promises of the chats' copy in memory, which need no Redis."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from state.history_buffer import BufferLimits, Entries, HistoryBuffer, Session

MAX = 6
"""Entries: three turns."""

operations = st.lists(
    st.one_of(
        st.just(("append", 1)),
        st.tuples(st.just("drop"), st.integers(1, 5)),
        st.just(("clear", 0)),
    ),
    max_size=12,
)
outcomes = st.lists(
    st.sampled_from(
        ["none", "looked", "lost on its way", "not answered", "confirmed", "forgotten"]
    ),
    max_size=12,
)


def turn(name: object) -> Entries:
    return {f"q{name}": f"question {name}".encode(), f"a{name}": f"answer {name}".encode()}


def newest(entries: Entries) -> Entries:
    return dict(list(entries.items())[-MAX:])


def settle(session: Session, redis: Entries, how: str) -> Entries:
    """Look at what Redis holds, and write; return what it holds then."""
    lost = how == "forgotten"
    writes, wanted = session.pending, session.meet({} if lost else redis, lost=lost)
    if how == "looked":
        return redis
    session.sent = (session.sent or set()) | wanted.keys()
    if how == "lost on its way":
        return redis
    if how != "not answered":
        session.confirm(wanted, writes=writes, version=1)
    return wanted


@given(st.integers(0, MAX // 2), operations, outcomes)
def test_a_chat_is_worth_the_commands_given_however_far_redis_is(
    turns: int, series: list[tuple[str, int]], progress: list[str]
) -> None:
    """Appends are trimmed, what was dropped stays away; nothing is there twice."""
    redis: Entries = {}
    for number in range(turns):
        redis |= turn(f"old{number}")
    expected = dict(redis)
    session, numbers = HistoryBuffer(MAX, 60).open("k"), itertools.count()
    assert settle(session, redis, "looked") == expected
    for (kind, count), how in itertools.zip_longest(
        series, progress[: len(series)], fillvalue="none"
    ):
        if kind == "append":
            new = turn(next(numbers))
            session.append(new)
            expected = newest(expected | new)
        elif kind == "drop":
            session.drop_last(2 * count)
            expected = dict(list(expected.items())[: max(0, len(expected) - 2 * count)])
        else:
            session.clear()
            expected = {}
        if how == "forgotten" and not session.known:
            how = "confirmed"  # what is not known here cannot be given back
        if how != "none":
            redis = settle(session, redis, how)
        assert list(session.view.items()) == list(expected.items())
    redis = settle(session, redis, "confirmed")
    assert list(redis.items()) == list(session.view.items()) == list(expected.items())
    assert session.pending == 0


@given(st.integers(1, 4), st.integers(0, 4))
def test_what_was_written_before_redis_was_asked_comes_behind_what_it_holds(
    turns: int, dropped: int
) -> None:
    redis: Entries = {}
    for number in range(turns):
        redis |= turn(f"old{number}")
    session = HistoryBuffer(100, 60).open("k")
    session.append(turn("given up"))
    session.drop_last(2 * (dropped + 1))
    session.append(turn("new"))
    kept = dict(list(redis.items())[: max(0, 2 * (turns - dropped))])
    assert settle(session, redis, "confirmed") == kept | turn("new")


def test_what_another_server_wrote_and_dropped_is_taken_over() -> None:
    session = HistoryBuffer(100, 60).open("k")
    settle(session, turn(0) | turn(1), "looked")
    session.append(turn("ours"))
    theirs = turn(0) | turn("theirs")
    assert list(settle(session, theirs, "confirmed")) == list(theirs | turn("ours"))


def size_of(session: Session) -> int:
    return sum(map(len, (session.base | session.view).values()))


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(1, 400), st.booleans()), min_size=1, max_size=80
    )
)
def test_it_never_holds_more_than_its_limits(writes: list[tuple[int, int, bool]]) -> None:
    limits = BufferLimits(sessions=4, size_bytes=1000)
    buffer = HistoryBuffer(200, 60, limits)
    for number, (chat, size, is_confirmed) in enumerate(writes):
        session = buffer.open(f"k{chat}")
        session.append({f"q{number}": b"q", f"a{number}": b"a" * size})
        buffer.measure(session)
        if is_confirmed:
            settle(session, session.base, "confirmed")
            buffer.measure(session)
        assert len(buffer.sessions()) <= limits.sessions
        assert buffer.size_bytes <= limits.size_bytes
        assert buffer.size_bytes == sum(size_of(held) for held in buffer.sessions())
        assert list(session.view.values())[-1] == b"a" * size, "the newest turn is always there"


def test_what_redis_holds_goes_before_what_it_does_not() -> None:
    buffer = HistoryBuffer(200, 60, BufferLimits(sessions=3))
    buffer.open("waits").append(turn(0))
    for key in ("confirmed", "newer"):
        session = buffer.open(key)
        session.append(turn(0))
        settle(session, {}, "confirmed")
    buffer.open("newest").append(turn(0))
    assert [session.key for session in buffer.sessions()] == ["waits", "newer", "newest"]
    assert buffer.lost == 0
    for key in ("more", "and more", "and still more"):
        buffer.open(key).append(turn(0))
    assert buffer.lost == 2


def test_a_chat_that_outgrows_the_room_loses_its_oldest_turns_without_a_hole() -> None:
    buffer = HistoryBuffer(200, 60, BufferLimits(size_bytes=100))
    session = buffer.open("k")
    redis = {"q0": b"0" * 10, "a0": b"0" * 10}
    settle(session, redis, "looked")
    for n in range(1, 10):
        session.append({f"q{n}": b"%d" % n * 10, f"a{n}": b"%d" % n * 10})
        buffer.measure(session)
    held = session.view
    assert [entry[:1] for entry in held.values()] == [b"%d" % n for n in range(5, 10) for _ in "qa"]
    assert settle(session, redis, "confirmed") == held, "Redis comes to hold the same"


def test_a_chat_is_forgotten_when_its_time_is_over() -> None:
    now = 0.0
    buffer = HistoryBuffer(200, 60, clock=lambda: now)

    def say(key: str) -> Session:
        session = buffer.open(key)
        session.append(turn(now))
        buffer.keep_for(session, 60)
        buffer.measure(session)
        return session

    say("k")
    now = 59.0
    assert say("k").view == turn(0.0) | turn(59.0)
    now = 118.0
    assert buffer.sessions()
    now = 119.0
    assert buffer.sessions() == []
    say("other")
    assert say("k").view == turn(119.0)
    now = 500.0
    buffer.open("next")
    assert [session.key for session in buffer.sessions()] == ["next"]
    assert buffer.size_bytes == 0
