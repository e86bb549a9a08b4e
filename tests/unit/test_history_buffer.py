"""Promises of the chats' copy in memory, which need no Redis."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from state.history_buffer import BufferLimits, HistoryBuffer, Session, Snapshot
from state.history_delta import NOTHING, Delta

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


class RedisList:
    """What Redis does with the same commands."""

    def __init__(self, entries: tuple[bytes, ...]) -> None:
        self.entries = list(entries)

    def do(self, kind: str, count: int, new: tuple[bytes, ...]) -> None:
        if kind == "append":
            self.entries = (self.entries + list(new))[-MAX:]
        elif kind == "drop":
            self.entries = self.entries[: max(0, len(self.entries) - 2 * count)]
        else:
            self.entries = []


def then(delta: Delta, kind: str, count: int, new: tuple[bytes, ...]) -> Delta:
    if kind == "append":
        return delta.append(new, MAX)
    return delta.drop_last(2 * count) if kind == "drop" else delta.clear()


@given(st.integers(0, MAX // 2), operations)
def test_a_delta_is_worth_the_commands_that_it_stands_for(
    turns: int, series: list[tuple[str, int]]
) -> None:
    held = tuple(f"{n}".encode() for n in range(2 * turns))
    redis, delta, numbers = RedisList(held), NOTHING, itertools.count(100)
    for kind, count in series:
        new = (f"{next(numbers)}".encode(), f"{next(numbers)}".encode())
        redis.do(kind, count, new)
        delta = then(delta, kind, count, new)
        assert delta.apply(held) == tuple(redis.entries)
        assert len(delta.entries) <= MAX


@given(operations, st.lists(st.sampled_from(["none", "seal", "confirm"]), max_size=12))
def test_what_is_seen_does_not_depend_on_how_far_redis_is(
    series: list[tuple[str, int]], progress: list[str]
) -> None:
    buffer = HistoryBuffer(MAX, 60)
    redis, numbers = RedisList(()), itertools.count(1)
    seq = itertools.count(1).__next__
    session = buffer.install("k", Snapshot((), 0, 0, 0, None), 1)
    for (kind, count), step in itertools.zip_longest(
        series, progress[: len(series)], fillvalue="none"
    ):
        new = (f"{next(numbers)}".encode(), f"{next(numbers)}".encode())
        redis.do(kind, count, new)
        if kind == "append":
            buffer.append("k", new)
        elif kind == "drop":
            buffer.drop_last("k", 2 * count)
        else:
            buffer.clear("k")
        if step != "none":
            session.seal(seq)
        if step == "confirm" and session.sent is not None:
            length = len(session.sent.delta.apply(session.base))
            session.confirm(
                session.sent.seq, version=session.version + 1, length=length, generation=1
            )
            buffer.measure(session)
        assert session.view() == tuple(redis.entries)
    assert buffer.size_bytes == sum(size_of(session) for session in buffer.sessions())


def size_of(session: Session) -> int:
    held = (*session.base, *(entry for delta in session.deltas for entry in delta.entries))
    return sum(map(len, held))


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(1, 400), st.booleans()), min_size=1, max_size=80
    )
)
def test_it_never_holds_more_than_its_limits(writes: list[tuple[int, int, bool]]) -> None:
    limits = BufferLimits(sessions=4, size_bytes=1000)
    buffer = HistoryBuffer(200, 60, limits)
    seq = itertools.count(1).__next__
    for number, size, is_confirmed in writes:
        session = buffer.append(f"k{number}", (b"q", b"a" * size))
        if is_confirmed and session.seal(seq) is not None:
            assert session.sent is not None
            session.confirm(session.sent.seq, version=1, length=None, generation=1)
            buffer.measure(session)
        assert len(buffer.sessions()) <= limits.sessions
        assert buffer.size_bytes <= limits.size_bytes
        assert buffer.size_bytes == sum(size_of(held) for held in buffer.sessions())
        assert session.view()[-1:] == (b"a" * size,), "the newest turn is always there"


def test_what_redis_holds_goes_before_what_it_does_not() -> None:
    buffer = HistoryBuffer(200, 60, BufferLimits(sessions=3))
    buffer.append("waits", (b"q", b"a"))
    for key in ("confirmed", "newer"):
        session = buffer.append(key, (b"q", b"a"))
        sent = session.seal(lambda: 1)
        assert sent is not None
        session.confirm(1, version=1, length=2, generation=1)
    buffer.append("newest", (b"q", b"a"))
    assert [session.key for session in buffer.sessions()] == ["waits", "newer", "newest"]
    assert buffer.lost == 0


def test_a_chat_that_outgrows_the_room_loses_its_oldest_turns_without_a_hole() -> None:
    buffer = HistoryBuffer(200, 60, BufferLimits(size_bytes=100))
    buffer.install("k", Snapshot((b"0" * 10, b"0" * 10), 2, 0, 0, None), 1)
    for n in range(1, 10):
        session = buffer.append("k", (b"%d" % n * 10, b"%d" % n * 10))
    held = session.view()
    assert [entry[:1] for entry in held] == [b"%d" % n for n in range(5, 10) for _ in "qa"]
    redis = tuple(b"%d" % n * 10 for n in range(1) for _ in "qa")
    assert session.view(redis) == held, "Redis comes to hold the same"


def test_a_chat_is_forgotten_when_its_time_is_over() -> None:
    now = 0.0
    buffer = HistoryBuffer(200, 60, clock=lambda: now)
    buffer.append("k", (b"q", b"a"))
    now = 59.0
    buffer.append("k", (b"q", b"a"))
    now = 118.0
    assert buffer.find("k") is not None
    now = 119.0
    assert buffer.find("k") is None
    assert buffer.pending == 0
    buffer.append("other", (b"q", b"a"))
    buffer.append("k", (b"new", b"a"))
    assert buffer.open("k").view() == (b"new", b"a")
    now = 500.0
    buffer.open("next")
    assert [session.key for session in buffer.sessions()] == ["next"]
    assert buffer.size_bytes == 0


def test_a_read_that_saw_a_write_confirms_it() -> None:
    buffer = HistoryBuffer(200, 60)
    session = buffer.append("k", (b"q", b"a"))
    assert session.seal(lambda: 7) is not None
    buffer.append("k", (b"q2", b"a2"))
    buffer.install("k", Snapshot((b"q", b"a"), 2, 7, 1, 60.0), 1)
    assert session.sent is None
    assert session.pending == 1
    assert session.view() == (b"q", b"a", b"q2", b"a2")
    session.confirm(7, version=1, length=2, generation=1)  # the late answer to the write
    assert session.view() == (b"q", b"a", b"q2", b"a2")
