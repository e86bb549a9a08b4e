"""The parts of the engines' processes that need no process."""

from __future__ import annotations

import threading

import pytest

from engines.process import how_it_ended
from engines.restarts import (
    BARREN_GIVE_UP_AFTER,
    GIVE_UP_AFTER,
    LONG_LIFE_S,
    MAX_PAUSE_S,
    PROVE_AFTER,
    Losses,
    pause_s,
)
from engines.service import Call, Cancelled
from engines.wire import LENGTHS, MAX_HEAD_BYTES, MAX_PAYLOAD_BYTES, lengths, pack, unpack


def test_a_frame_is_its_lengths_its_head_and_its_payload() -> None:
    head = {"text": "Größe \ud800", "list": [1, None]}
    data = pack(head, b"\x00\xff")
    head_bytes, payload_bytes = lengths(data[: LENGTHS.size])
    assert len(data) == LENGTHS.size + head_bytes + payload_bytes
    frame = unpack(data[LENGTHS.size : LENGTHS.size + head_bytes], data[-payload_bytes:])
    assert (frame.head, frame.payload) == (head, b"\x00\xff")


@pytest.mark.parametrize("size", [(MAX_HEAD_BYTES + 1, 0), (0, MAX_PAYLOAD_BYTES + 1)])
def test_a_frame_out_of_bounds_is_refused_before_it_is_read(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="out of bounds"):
        lengths(LENGTHS.pack(*size))


def test_a_frame_out_of_bounds_is_not_sent() -> None:
    with pytest.raises(ValueError, match="out of bounds"):
        pack({}, bytes(MAX_PAYLOAD_BYTES + 1))


@pytest.mark.parametrize("head", [b"", b"[]", b"7", b"{", b"\xff"])
def test_a_head_that_is_no_object_is_refused(head: bytes) -> None:
    with pytest.raises(ValueError):
        unpack(head, b"")


def test_the_pauses_before_a_start_grow_to_a_limit() -> None:
    pauses = [pause_s(losses) for losses in range(8)]
    assert pauses[0] == 0
    assert pauses == sorted(pauses)
    assert len(set(pauses)) > 3
    assert pauses[-1] == MAX_PAUSE_S


def test_an_engine_that_does_not_come_up_is_proven_once_and_then_given_up() -> None:
    losses = Losses()
    proven = []
    for _ in range(GIVE_UP_AFTER):
        assert not losses.is_hopeless
        losses.unready()
        proven.append(losses.must_prove)
    assert [n + 1 for n, is_so in enumerate(proven) if is_so] == [PROVE_AFTER]
    assert losses.is_hopeless
    assert losses.in_a_row == GIVE_UP_AFTER


def test_an_engine_that_ends_at_its_first_job_each_time_is_given_up_unless_it_did_something() -> (
    None
):
    losses = Losses()
    for _ in range(BARREN_GIVE_UP_AFTER - 1):
        losses.ended(lived_s=0.1, finished=0, at_work=True, is_lost=True)
    assert not losses.is_hopeless
    assert losses.ended(lived_s=0.1, finished=1, at_work=True, is_lost=True) == 0
    assert losses.in_a_row == 0
    for _ in range(BARREN_GIVE_UP_AFTER):
        losses.ended(lived_s=0.1, finished=0, at_work=True, is_lost=True)
    assert losses.is_hopeless


def test_only_quick_losses_make_the_pause_grow() -> None:
    losses = Losses()

    def quick() -> float:
        return losses.ended(lived_s=0.1, finished=0, at_work=False, is_lost=True)

    first, second, third = quick(), quick(), quick()
    assert first == 0 < second < third
    assert losses.ended(lived_s=LONG_LIFE_S + 1, finished=0, at_work=False, is_lost=True) == 0
    assert quick() == second
    assert losses.ended(lived_s=0.1, finished=0, at_work=False, is_lost=False) == 0  # was told to
    assert not losses.is_hopeless


def test_how_a_process_ended_is_told_in_words() -> None:
    assert how_it_ended(3) == "it ended by itself with code 3"
    assert "SIGILL (an instruction that this processor does not run)" in how_it_ended(-4)
    assert how_it_ended(-15) == "it was ended by SIGTERM"
    assert how_it_ended(-40) == "it was ended by signal 40"


def test_a_cancelled_call_emits_nothing_more() -> None:
    sent: list[object] = []
    call = Call({}, emit=lambda head, _: sent.append(head))
    call.emit({"word": 1})
    call.cancel()
    with pytest.raises(Cancelled):
        call.emit({"word": 2})
    with pytest.raises(Cancelled):
        call.on_cancel(lambda: None)
    assert sent == [{"word": 1}]


def test_a_late_cancellation_does_not_hit_the_next_call_of_the_lane() -> None:
    """``end`` waits for an interrupt under way: after it the engine is another call's."""
    call = Call({})
    is_interrupting, may_go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def interrupt() -> None:
        is_interrupting.set()
        may_go_on.wait(10)
        order.append("interrupted")

    def end() -> None:
        call.end()
        order.append("ended")

    call.on_cancel(interrupt)
    cancelling, ending = threading.Thread(target=call.cancel), threading.Thread(target=end)
    cancelling.start()
    assert is_interrupting.wait(10)
    ending.start()
    ending.join(0.1)
    may_go_on.set()
    for thread in (cancelling, ending):
        thread.join(10)
    assert order == ["interrupted", "ended"]
    call.cancel()
    assert order == ["interrupted", "ended"]
