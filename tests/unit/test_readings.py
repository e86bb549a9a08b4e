"""What is to be read aloud is fetched once, by who asked for it; nobody has all the voice."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from core.errors import BusyError
from xoe.auth.identity import GUEST, Identity, visitor
from xoe.web.reading import Dictations, Readings

ADA, BEN = visitor("a" * 32), visitor("b" * 32)


def test_a_text_is_its_askers_alone_and_once() -> None:
    readings = Readings()
    token = readings.add("the answer", "user:ada")
    assert readings.take(token, "user:ben") is None
    assert readings.take(token, "") is None
    assert readings.take("unknown", "") is None
    assert readings.take(token, "user:ada") == "the answer"
    assert readings.take(token, "user:ada") is None


def test_few_texts_wait() -> None:
    readings = Readings()
    tokens = [readings.add(str(n), "user:ada") for n in range(100)]
    kept = [readings.take(token, "user:ada") for token in tokens]
    assert kept[-1] == "99"
    assert sum(text is not None for text in kept) == 64


def test_one_who_has_many_texts_wait_pushes_out_their_own() -> None:
    readings = Readings()
    bens = readings.add("the answer", "user:ben")
    for number in range(100):
        readings.add(str(number), "user:ada")
    assert readings.take(bens, "user:ben") == "the answer"


@pytest.mark.parametrize("begin", [Readings().reading, Dictations().of])
def test_one_owner_leaves_the_voice_to_others_too(begin) -> None:
    with ExitStack() as under_way:
        for _ in range(3):
            under_way.enter_context(begin(ADA))
        with pytest.raises(BusyError) as refused, begin(ADA):
            pass
        assert refused.value.own
        under_way.enter_context(begin(BEN))
    for _ in range(3):
        with begin(ADA):
            pass


@pytest.mark.parametrize("begin", [Readings().reading, Dictations().of])
def test_guests_of_an_invitation_share_one_share_and_none_has_all_of_it(begin) -> None:
    guests = [
        Identity(f"{GUEST}{number}", "guest", f"Guest {number}", invitation="i")
        for number in range(4)
    ]
    with ExitStack() as under_way:
        under_way.enter_context(begin(guests[0]))
        with pytest.raises(BusyError), begin(guests[0]):
            pass
        for guest in guests[1:3]:
            under_way.enter_context(begin(guest))
        with pytest.raises(BusyError), begin(guests[3]):
            pass
        under_way.enter_context(begin(ADA))
