"""Slow for whoever guesses; the rightful user comes in from elsewhere. On a clock of the test's."""

from __future__ import annotations

import pytest

from xoe.auth.proofs import Devices, form_token, is_form_token
from xoe.auth.throttle import Attempt, LoginThrottle, network_of


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def throttle(clock: Clock) -> LoginThrottle:
    return LoginThrottle(clock=clock)


ADA = Attempt("ada", "198.51.100.1")


def admitted(throttle: LoginThrottle, clock: Clock, attempts: list[Attempt], over_s: float) -> int:
    count = 0
    for attempt in attempts:
        count += throttle.take(attempt) == 0
        clock.now += over_s / len(attempts)
    return count


def test_five_attempts_are_free_and_the_pauses_double(
    throttle: LoginThrottle, clock: Clock
) -> None:
    assert [throttle.take(ADA) for _ in range(5)] == [0.0] * 5
    pauses = []
    for _ in range(11):
        pauses.append(throttle.take(ADA))
        clock.now += pauses[-1]
        assert throttle.take(ADA) == 0.0
    assert pauses == [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


def test_a_thousand_attempts_a_minute_from_one_address_are_a_dozen(
    throttle: LoginThrottle, clock: Clock
) -> None:
    assert admitted(throttle, clock, [ADA] * 1000, 60.0) <= 10
    assert throttle.take(Attempt("ada", "198.51.100.2")) == 0.0  # ada herself, from elsewhere
    assert throttle.take(Attempt("ben", "198.51.100.1")) == 0.0  # another one, from there


def test_a_thousand_names_from_one_address_are_few_too(
    throttle: LoginThrottle, clock: Clock
) -> None:
    names = [Attempt(f"name{n}", "198.51.100.1") for n in range(1000)]
    assert admitted(throttle, clock, names, 60.0) <= 26
    assert throttle.take(Attempt("ada", "198.51.100.2")) == 0.0


def test_from_a_thousand_addresses_an_account_takes_few_and_its_own_browser_always(
    throttle: LoginThrottle, clock: Clock
) -> None:
    many = [Attempt("ada", f"10.0.{n // 250}.{n % 250}") for n in range(1000)]
    assert admitted(throttle, clock, many, 60.0) <= 52
    assert throttle.take(Attempt("ada", "10.9.9.9")) > 0
    known = Attempt("ada", "10.9.9.9", device="its number")
    assert throttle.take(known) == 0.0
    # Nor can those who have tried before use up the places of an address that has not.
    clock.now += 2.0
    assert throttle.take(many[0]) == 0.0 or throttle.take(Attempt("ada", "10.9.9.9")) == 0.0


def test_many_names_from_many_addresses_leave_the_hashing_threads_room(
    throttle: LoginThrottle, clock: Clock
) -> None:
    many = [Attempt(f"n{n}", f"10.{n // 60000}.{n // 250 % 250}.{n % 250}") for n in range(6000)]
    assert admitted(throttle, clock, many, 60.0) <= 30 + 60 * 4 + 1
    assert throttle.take(Attempt("ada", "10.9.9.9", device="its number")) == 0.0


def test_a_stolen_device_cookie_has_five_attempts_like_anybody(
    throttle: LoginThrottle,
) -> None:
    stolen = [Attempt("ada", f"10.0.0.{n}", device="stolen") for n in range(100)]
    assert sum(throttle.take(attempt) == 0 for attempt in stolen) == 5


def test_the_right_password_clears_what_was_counted(throttle: LoginThrottle) -> None:
    for _ in range(100):
        assert throttle.take(ADA) == 0.0
        throttle.succeeded(ADA)


def test_an_attempt_that_nobody_looked_at_does_not_count(throttle: LoginThrottle) -> None:
    for _ in range(15):
        assert throttle.take(ADA) == 0.0
        throttle.not_looked_at(ADA)


def test_an_hour_of_quiet_is_forgiven(throttle: LoginThrottle, clock: Clock) -> None:
    for _ in range(50):
        throttle.take(ADA)
        clock.now += 60
    assert throttle.take(ADA) > 0
    clock.now += 3600
    assert [throttle.take(ADA) for _ in range(5)] == [0.0] * 5


def test_its_tables_are_bounded(clock: Clock) -> None:
    throttle = LoginThrottle(clock=clock, tracked=100)
    for n in range(5000):
        throttle.take(Attempt(f"name{n}", f"10.0.{n // 250}.{n % 250}"))
        clock.now += 1
    assert len(throttle) <= 401


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("listener:share", "listener:share", True),
    ],
)
def test_one_customers_addresses_count_as_one(one: str, other: str, same: bool) -> None:
    assert (network_of(one) == network_of(other)) is same


def test_a_device_cookie_is_for_one_account_of_one_server() -> None:
    devices = Devices("s" * 64)
    cookie = devices.make("ada")
    assert devices.number(cookie, "ada")
    assert devices.number(cookie, "ada") != devices.number(devices.make("ada"), "ada")
    for wrong in ("", cookie[:-1], cookie[1:], cookie + "x", "é", "x" * 10_000, "a.b.c"):
        assert devices.number(wrong, "ada") is None
    assert devices.number(cookie, "ben") is None
    assert Devices("t" * 64).number(cookie, "ada") is None


def test_a_forms_token_is_for_one_browser_of_one_server() -> None:
    token = form_token("s" * 64, "cookie")
    assert is_form_token("s" * 64, "cookie", token)
    for secret, bound_to, given in (
        ("t" * 64, "cookie", token),
        ("s" * 64, "other", token),
        ("s" * 64, "cookie", token[:-1]),
        ("s" * 64, "cookie", ""),
        ("s" * 64, "cookie", "é"),
        ("s" * 64, "", form_token("s" * 64, "")),
    ):
        assert not is_form_token(secret, bound_to, given)
