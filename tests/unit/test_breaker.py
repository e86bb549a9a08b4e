"""The breaker's state machine: what it admits, what it counts, and when it changes its mind."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state import breaker
from state.breaker import BreakerConfig, Circuit, Outcome, Permit, Step

OK, FAILED, SLOW = Outcome.OK, Outcome.FAILED, Outcome.SLOW
CONFIG = BreakerConfig(
    window=6,
    min_calls=3,
    failure_rate=0.5,
    slow_rate=0.8,
    slow_call_s=1.0,
    open_ms=100,
    open_max_ms=350,
    probes=2,
    lease_ms=50,
)
T = 1_700_000_000_000


class Machine:
    """A circuit and a clock."""

    def __init__(self, config: BreakerConfig = CONFIG) -> None:
        self.config = config
        self.circuit = Circuit()
        self.now = T
        self.transitions: list[tuple[str, str, str]] = []
        self.leases = 0

    def admit(self) -> Permit | None:
        self.leases += 1
        return self._took(
            breaker.admit(
                self.circuit, self.config, now_ms=self.now, lease_id=f"lease{self.leases}"
            )
        ).permit

    def admitted(self) -> Permit:
        permit = self.admit()
        assert permit is not None
        return permit

    def report(self, permit: Permit, outcome: Outcome) -> None:
        self._took(breaker.report(self.circuit, self.config, permit, outcome, now_ms=self.now))

    def release(self, permit: Permit) -> None:
        self._took(breaker.release(self.circuit, permit))

    def calls(self, *outcomes: Outcome) -> None:
        for outcome in outcomes:
            self.report(self.admitted(), outcome)

    def _took(self, step: Step) -> Step:
        self.circuit = step.circuit
        if step.transition is not None:
            transition = step.transition
            self.transitions.append((transition.old, transition.new, transition.reason))
        return step


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def opened(machine: Machine) -> Machine:
    machine.calls(FAILED, FAILED, FAILED)
    return machine


@pytest.fixture
def half_open(opened: Machine) -> Machine:
    """Due for its first probe."""
    opened.now += CONFIG.open_ms
    return opened


def test_too_few_calls_open_nothing(machine: Machine) -> None:
    machine.calls(FAILED, FAILED)
    assert machine.circuit.state == "closed"
    machine.calls(FAILED)
    assert machine.transitions == [("closed", "open", "failure_rate")]


def test_the_rate_is_that_of_the_last_calls_only(machine: Machine) -> None:
    machine.calls(OK, OK, OK, OK, OK, OK, OK, FAILED, FAILED)
    assert machine.circuit.state == "closed"
    assert machine.circuit.calls == 6
    machine.calls(FAILED)
    assert machine.circuit.state == "open"


def test_a_rate_that_is_just_reached_opens() -> None:
    machine = Machine(replace(CONFIG, window=20, min_calls=20, failure_rate=0.55))
    machine.calls(*[OK] * 9, *[FAILED] * 11)
    assert machine.circuit.state == "open", "11 of 20, though 0.55 * 20 is above 11"


def test_slow_calls_open_too_at_their_own_rate(machine: Machine) -> None:
    machine.calls(OK, SLOW, SLOW, SLOW)
    assert machine.circuit.state == "closed"
    machine.calls(SLOW)
    assert machine.transitions == [("closed", "open", "slow_rate")]


def test_a_slow_failure_counts_as_both(machine: Machine) -> None:
    machine.calls(OK, FAILED | SLOW)
    assert (machine.circuit.failures, machine.circuit.slow_calls) == (1, 1)


def test_an_open_circuit_rejects_until_its_time_is_over(opened: Machine) -> None:
    opened.now += CONFIG.open_ms - 1
    assert opened.admit() is None
    assert opened.circuit.retry_after_ms(opened.now) == 1
    opened.now += 1
    assert opened.admit() is not None
    assert opened.transitions[-1] == ("open", "half_open", "open_time_over")


def test_half_open_admits_its_probes_and_rejects_the_rest(half_open: Machine) -> None:
    permits = [half_open.admit() for _ in range(200)]
    assert [permit is not None for permit in permits] == [True, True] + [False] * 198


def test_no_more_probes_are_admitted_after_one_went_well(half_open: Machine) -> None:
    first, _second = half_open.admitted(), half_open.admitted()
    half_open.report(first, OK)
    assert half_open.admit() is None


def test_it_closes_when_all_probes_went_well_and_begins_with_an_empty_window(
    half_open: Machine,
) -> None:
    half_open.calls(OK)
    assert half_open.circuit.state == "half_open"
    half_open.calls(OK)
    assert half_open.transitions[-1] == ("half_open", "closed", "probes_succeeded")
    assert half_open.circuit.window == ""
    assert half_open.circuit.opened_ms == 0


def test_one_failed_probe_opens_it_again(half_open: Machine) -> None:
    half_open.calls(OK, FAILED)
    assert half_open.transitions[-1] == ("half_open", "open", "probe_failed")


def test_slow_probes_open_it_again_at_the_slow_rate(half_open: Machine) -> None:
    half_open.calls(SLOW)
    assert half_open.circuit.state == "half_open"
    half_open.calls(SLOW)
    assert half_open.transitions[-1] == ("half_open", "open", "probe_slow")


def test_it_stays_open_for_longer_each_time_up_to_a_limit_and_forgets_that_when_it_closes(
    half_open: Machine,
) -> None:
    lasted = []
    for _ in range(40):
        half_open.calls(FAILED)
        lasted.append(half_open.circuit.until_ms - half_open.now)
        half_open.now = half_open.circuit.until_ms
    assert lasted == [200, 350] + [350] * 38
    half_open.calls(OK, OK, FAILED, FAILED, FAILED)
    assert half_open.circuit.until_ms - half_open.now == CONFIG.open_ms


def test_a_probe_that_never_reports_is_given_up(half_open: Machine) -> None:
    half_open.admitted()
    half_open.now += 20
    half_open.admitted()
    half_open.now += CONFIG.lease_ms - 21
    assert half_open.admit() is None
    assert half_open.circuit.retry_after_ms(half_open.now) == 1
    half_open.now += 1
    assert half_open.admit() is not None
    assert half_open.admit() is None


@pytest.mark.parametrize("outcome", [OK, FAILED])
def test_a_probe_that_was_given_up_counts_nothing_when_it_ends(
    half_open: Machine, outcome: Outcome
) -> None:
    late = half_open.admitted()
    half_open.now += CONFIG.lease_ms
    half_open.calls(OK)
    before = half_open.circuit
    half_open.report(late, outcome)
    half_open.release(late)
    assert half_open.circuit == before


def test_a_probe_reports_once(half_open: Machine) -> None:
    permit = half_open.admitted()
    half_open.report(permit, OK)
    half_open.report(permit, OK)
    assert half_open.circuit.state == "half_open"


@pytest.mark.parametrize("outcome", [OK, FAILED])
def test_what_was_admitted_before_it_opened_changes_nothing_after(
    machine: Machine, outcome: Outcome
) -> None:
    late = [machine.admitted() for _ in range(4)]
    machine.calls(FAILED, FAILED, FAILED)
    machine.report(late[0], outcome)
    machine.now += CONFIG.open_ms
    assert machine.circuit.state == "open"
    machine.admitted()
    machine.report(late[1], outcome)
    assert machine.circuit.state == "half_open"
    assert machine.circuit.calls == 0
    machine.calls(OK)
    machine.report(late[2], outcome)
    assert machine.circuit.state == "half_open"


def test_a_late_failure_of_an_earlier_probe_does_not_open_a_closed_circuit(
    half_open: Machine,
) -> None:
    late = half_open.admitted()
    half_open.now += CONFIG.lease_ms
    half_open.calls(OK, OK)
    for _ in range(5):
        half_open.report(late, FAILED)
    assert half_open.circuit.state == "closed"
    assert half_open.circuit.window == ""


def test_a_cancelled_probe_gives_its_place_back_and_counts_nothing(half_open: Machine) -> None:
    first = half_open.admitted()
    half_open.admitted()
    half_open.release(first)
    assert half_open.circuit.calls == 0
    assert half_open.admit() is not None
    assert half_open.admit() is None


def test_a_cancelled_call_counts_nothing(machine: Machine) -> None:
    machine.calls(FAILED, FAILED)
    before = machine.circuit
    machine.release(machine.admitted())
    assert machine.circuit == before


def test_a_clock_that_was_set_back_leaves_nothing_open_for_longer(opened: Machine) -> None:
    opened.now -= 3_600_000
    first = opened.admit()
    assert first is not None
    opened.admitted()
    assert opened.admit() is None
    opened.now -= 3_600_000
    assert opened.admit() is not None, "the probes' leases would have lasted for an hour"


def test_a_clock_that_is_a_little_late_does_not_end_what_is_open(opened: Machine) -> None:
    opened.now -= breaker.CLOCK_SLACK_MS
    assert opened.admit() is None


def test_fewer_probes_than_before_leave_no_circuit_half_open_for_ever(half_open: Machine) -> None:
    half_open.calls(OK)
    half_open.config = replace(CONFIG, probes=1)
    assert half_open.admit() is not None
    assert half_open.transitions[-1] == ("half_open", "closed", "probes_succeeded")


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_calls": 7},
        {"min_calls": 0},
        {"failure_rate": 0.0},
        {"failure_rate": 1.01},
        {"slow_rate": 0.0},
        {"open_ms": 0},
        {"open_max_ms": 99},
        {"probes": 0},
        {"lease_ms": 0},
        {"slow_call_s": 0.0},
    ],
)
def test_a_configuration_that_could_never_open_or_close_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        replace(CONFIG, **wrong)


# Circuits that went apart


def at(epoch: int, since: int, state: Any = "closed", window: str = "") -> Circuit:
    return Circuit(state, epoch, since_ms=since, window=window)


def test_what_opened_while_it_was_away_wins_over_what_stood_still() -> None:
    ours, theirs = at(6, 20, "open"), at(5, 10)
    assert breaker.merge(ours, theirs, base_epoch=5) == (ours, True)


def test_what_others_did_meanwhile_wins_over_what_stood_still_here() -> None:
    ours, theirs = at(5, 10, window="11"), at(8, 20)
    assert breaker.merge(ours, theirs, base_epoch=5) == (theirs, False)


def test_where_nothing_happened_theirs_stays() -> None:
    ours, theirs = at(5, 10, window="11"), at(5, 10, window="0")
    assert breaker.merge(ours, theirs, base_epoch=5) == (theirs, False)


@pytest.mark.parametrize("their_epoch", [6, 7, 8, 9])
def test_where_both_have_moved_the_later_move_wins_and_no_epoch_returns(their_epoch: int) -> None:
    ours, theirs = at(7, 30, "open"), at(their_epoch, 20)
    kept, kept_ours = breaker.merge(ours, theirs, base_epoch=5)
    assert kept_ours
    assert kept == replace(ours, epoch=max(7, their_epoch + 1))
    later = replace(theirs, since_ms=31)
    assert breaker.merge(ours, later, base_epoch=5) == (later, False)


def test_a_redis_that_lost_its_data_is_told_what_is_known() -> None:
    ours, theirs = at(6, 20, "open"), Circuit()
    assert breaker.merge(ours, theirs, base_epoch=6) == (ours, True)


CIRCUITS = st.builds(
    at,
    st.integers(0, 9),
    st.integers(0, 9),
    st.sampled_from(["closed", "open", "half_open"]),
    st.text("0123", max_size=3),
)


@given(CIRCUITS, CIRCUITS, st.integers(0, 9))
def test_merging_again_changes_nothing_and_no_epoch_goes_back(
    ours: Circuit, theirs: Circuit, base_epoch: int
) -> None:
    kept, kept_ours = breaker.merge(ours, theirs, base_epoch=base_epoch)
    assert kept.epoch >= theirs.epoch
    assert replace(kept, epoch=0) == replace(ours if kept_ours else theirs, epoch=0)
    if kept_ours and theirs.epoch >= base_epoch:
        # Redis obeyed, but its answer was lost, so that it is asked the same again.
        assert breaker.merge(ours, kept, base_epoch=base_epoch) == (kept, False)
