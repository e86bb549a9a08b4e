"""A circuit breaker as a state machine without I/O: a circuit, an event, the next circuit.

The clock, the ids of leases and the place where circuits are kept come from outside, so the same
rules hold in memory (``state/breaker_memory.py``) and in Redis, where ``state/breaker.lua`` says
them a second time. Times are whole milliseconds since 1970.

closed ──── too many of the last calls failed, or were slow ────▶ open
open ────── its time is over, and somebody asks ────────────────▶ half_open
half_open ─ all of its probes went well ────────────────────────▶ closed
half_open ─ a probe failed, or too many were slow ──────────────▶ open, for longer

Each transition begins an epoch. A call carries the epoch in which it was admitted, and what it
reports counts in that epoch only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntFlag
from typing import Final, Literal

CircuitState = Literal["closed", "open", "half_open"]
Reason = Literal[
    "failure_rate", "slow_rate", "probe_failed", "probe_slow", "open_time_over", "probes_succeeded"
]

CLOCK_SLACK_MS: Final = 1000
"""A time that lies further ahead than it can means that the clock was set back."""
_MAX_DOUBLINGS: Final = 30


class Outcome(IntFlag):
    """How a call ended. Both bits may be set."""

    OK = 0
    FAILED = 1
    SLOW = 2


@dataclass(frozen=True)
class BreakerConfig:
    """When a circuit opens and how it closes again."""

    window: int
    """The last calls that are looked at."""
    min_calls: int
    """Fewer calls than these open nothing."""
    failure_rate: float
    """Opens at this share of failed calls, 0..1."""
    slow_rate: float
    """Opens at this share of slow calls, 0..1."""
    slow_call_s: float
    """A call that took longer is slow."""
    open_ms: int
    """How long it stays open the first time; doubled each time that a probe fails."""
    open_max_ms: int
    """How long it stays open at the most."""
    probes: int
    """Calls that a half-open circuit admits."""
    lease_ms: int
    """A probe that has not reported after this time is given up, and its place is free."""

    def __post_init__(self) -> None:
        """Refuse what could never open or never close."""
        if not 1 <= self.min_calls <= self.window:
            raise ValueError("min_calls must be between 1 and the window")
        if not (0 < self.failure_rate <= 1 and 0 < self.slow_rate <= 1):
            raise ValueError("rates must be above 0 and at most 1")
        if not 1 <= self.open_ms <= self.open_max_ms:
            raise ValueError("open_ms must be between 1 and open_max_ms")
        if self.probes < 1 or self.lease_ms < 1 or self.slow_call_s <= 0:
            raise ValueError("probes, lease_ms and slow_call_s must be above 0")


@dataclass(frozen=True)
class Circuit:
    """All that is known of a circuit. The default is a circuit that nobody has used."""

    state: CircuitState = "closed"
    epoch: int = 0
    since_ms: int = 0
    """When it came into this state; 0 where it was never in another."""
    opened_ms: int = 0
    """When it opened last; 0 while it is closed."""
    until_ms: int = 0
    """Until when it stays open; 0 in the other states."""
    streak: int = 0
    """How often it has opened since it was closed."""
    window: str = ""
    """A digit (``Outcome``) for each of the last calls, oldest first.

    Half-open: of the probes. Open: of the calls that opened it."""
    leases: tuple[tuple[str, int], ...] = ()
    """Half-open: each probe under way, with the time at which it is given up."""

    @property
    def calls(self) -> int:
        """Calls in the window."""
        return len(self.window)

    @property
    def failures(self) -> int:
        """Failed calls in the window."""
        return self.window.count("1") + self.window.count("3")

    @property
    def slow_calls(self) -> int:
        """Slow calls in the window."""
        return self.window.count("2") + self.window.count("3")

    def rejects(self, now_ms: int) -> bool:
        """Whether it is open and not yet due for a probe."""
        return self.state == "open" and self.since_ms - CLOCK_SLACK_MS <= now_ms < self.until_ms

    def retry_after_ms(self, now_ms: int) -> int:
        """Return how long a caller who was rejected should wait; 0: it may try at once."""
        if self.state == "open":
            return max(0, self.until_ms - now_ms)
        return max(0, min((end - now_ms for _, end in self.leases), default=0))


@dataclass(frozen=True)
class Permit:
    """Says that a call was admitted, and when. It is handed back with the call's outcome."""

    epoch: int
    lease: str | None = None
    """A probe's lease; ``None`` for a call through a closed circuit."""


@dataclass(frozen=True)
class Transition:
    """A change of state, and why."""

    old: CircuitState
    new: CircuitState
    reason: Reason


@dataclass(frozen=True)
class Step:
    """What an event made of a circuit."""

    circuit: Circuit
    permit: Permit | None = None
    """Where a caller asked: its permit; ``None`` when it is rejected."""
    transition: Transition | None = None


def admit(circuit: Circuit, config: BreakerConfig, *, now_ms: int, lease_id: str) -> Step:
    """Admit a call or reject it. ``lease_id`` is unique; it is used where the call is a probe."""
    if circuit.state == "closed":
        return Step(circuit, Permit(circuit.epoch))
    if circuit.rejects(now_ms):
        return Step(circuit)
    if circuit.state == "open":
        half_open = _enter(circuit, "half_open", now_ms)
        return Step(
            replace(half_open, leases=((lease_id, now_ms + config.lease_ms),)),
            Permit(half_open.epoch, lease_id),
            Transition("open", "half_open", "open_time_over"),
        )
    circuit = _without_expired(circuit, config, now_ms)
    if circuit.calls >= config.probes:  # their number was larger when it came into this state
        closed = _enter(circuit, "closed", now_ms)
        return Step(
            closed, Permit(closed.epoch), Transition("half_open", "closed", "probes_succeeded")
        )
    if circuit.calls + len(circuit.leases) >= config.probes:
        return Step(circuit)
    leases = (*circuit.leases, (lease_id, now_ms + config.lease_ms))
    return Step(replace(circuit, leases=leases), Permit(circuit.epoch, lease_id))


def report(
    circuit: Circuit, config: BreakerConfig, permit: Permit, outcome: Outcome, *, now_ms: int
) -> Step:
    """Count a call that has ended; one of an earlier epoch, or a probe given up, counts nothing."""
    if permit.epoch != circuit.epoch:
        return Step(circuit)
    if circuit.state == "closed":
        window = (circuit.window + str(int(outcome)))[-config.window :]
        circuit = replace(circuit, window=window)
        if circuit.calls < config.min_calls:
            return Step(circuit)
        if circuit.failures / circuit.calls >= config.failure_rate:
            return _opened(circuit, config, now_ms, "failure_rate")
        if circuit.slow_calls / circuit.calls >= config.slow_rate:
            return _opened(circuit, config, now_ms, "slow_rate")
        return Step(circuit)
    circuit = _without_expired(circuit, config, now_ms)
    if not _holds(circuit, permit):
        return Step(circuit)
    circuit = replace(_without_lease(circuit, permit), window=circuit.window + str(int(outcome)))
    if circuit.failures:
        return _opened(circuit, config, now_ms, "probe_failed")
    if circuit.slow_calls / config.probes >= config.slow_rate:
        return _opened(circuit, config, now_ms, "probe_slow")
    if circuit.calls >= config.probes:
        closed = _enter(circuit, "closed", now_ms)
        return Step(closed, transition=Transition("half_open", "closed", "probes_succeeded"))
    return Step(circuit)


def release(circuit: Circuit, permit: Permit) -> Step:
    """Forget a call that was cancelled, or failed for a reason of its own: it counts nothing."""
    if permit.epoch != circuit.epoch or not _holds(circuit, permit):
        return Step(circuit)
    return Step(_without_lease(circuit, permit))


def merge(ours: Circuit, theirs: Circuit, *, base_epoch: int) -> tuple[Circuit, bool]:
    """Return which of two circuits that went apart is kept, and whether it is ``ours``.

    ``base_epoch`` is the last of their epochs that we have seen; 0 when none. Where only one has
    moved on since, that one is kept, and where both have, the one that did so last. Ours is kept
    as well where theirs has gone back, which means that it was lost. An epoch never returns: ours
    gets a new one where theirs has had its number.
    """
    if theirs.epoch >= base_epoch:
        if ours.epoch <= base_epoch:
            return theirs, False
        if theirs.epoch > base_epoch and theirs.since_ms >= ours.since_ms:
            return theirs, False
    if theirs.epoch >= ours.epoch:
        return replace(ours, epoch=theirs.epoch + 1), True
    return ours, True


def _enter(circuit: Circuit, state: CircuitState, now_ms: int) -> Circuit:
    """Begin an epoch with an empty window."""
    is_closed = state == "closed"
    return Circuit(
        state,
        circuit.epoch + 1,
        since_ms=now_ms,
        opened_ms=0 if is_closed else circuit.opened_ms,
        streak=0 if is_closed else circuit.streak,
    )


def _opened(circuit: Circuit, config: BreakerConfig, now_ms: int, reason: Reason) -> Step:
    doublings = min(circuit.streak, _MAX_DOUBLINGS)
    opened = Circuit(
        "open",
        circuit.epoch + 1,
        since_ms=now_ms,
        opened_ms=now_ms,
        until_ms=now_ms + min(config.open_ms * 2**doublings, config.open_max_ms),
        streak=circuit.streak + 1,
        window=circuit.window,
    )
    return Step(opened, transition=Transition(circuit.state, "open", reason))


def _without_expired(circuit: Circuit, config: BreakerConfig, now_ms: int) -> Circuit:
    latest = now_ms + config.lease_ms + CLOCK_SLACK_MS
    leases = tuple(lease for lease in circuit.leases if now_ms < lease[1] <= latest)
    return circuit if leases == circuit.leases else replace(circuit, leases=leases)


def _holds(circuit: Circuit, permit: Permit) -> bool:
    return any(lease == permit.lease for lease, _ in circuit.leases)


def _without_lease(circuit: Circuit, permit: Permit) -> Circuit:
    leases = tuple(lease for lease in circuit.leases if lease[0] != permit.lease)
    return replace(circuit, leases=leases)
