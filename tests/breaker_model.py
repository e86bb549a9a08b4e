"""What a circuit breaker promises, said in the plainest way, to hold the real ones against.

It remembers everything that ever happened and works each answer out anew. It shares no code with
``state/breaker.py``, not even its constants.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

CLOCK_SLACK_MS = 1000


@dataclass(frozen=True)
class Rules:
    """The same figures as a ``BreakerConfig``."""

    window: int
    min_calls: int
    failure_rate: float
    slow_rate: float
    open_ms: int
    open_max_ms: int
    probes: int
    lease_ms: int


@dataclass
class Phase:
    """A stretch of time in one state."""

    state: str
    began: int


@dataclass
class Call:
    """A call that was admitted."""

    phase: Phase
    probe: bool
    given_up_at: int = 0
    over: bool = False
    result: tuple[bool, bool] | None = None
    """Failed, slow; ``None`` where it did not count."""


class BreakerModel:
    """One breaker. Times are milliseconds."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.phases = [Phase("closed", 0)]
        self.calls: list[Call] = []
        self.counted: list[Call] = []
        """The calls that counted, in the order in which they ended."""

    @property
    def phase(self) -> Phase:
        return self.phases[-1]

    @property
    def transitions(self) -> list[tuple[str, str]]:
        states = [phase.state for phase in self.phases]
        return list(itertools.pairwise(states))

    @property
    def results(self) -> list[tuple[bool, bool]]:
        """What can be seen in the window; of an open circuit, what opened it."""
        shown = self.phases[-2] if self.phase.state == "open" else self.phase
        found = [call.result for call in self.counted if call.phase is shown]
        results = [result for result in found if result is not None]
        return results[-self.rules.window :] if shown.state == "closed" else results

    @property
    def open_until(self) -> int:
        opened = 0
        for phase in reversed(self.phases):
            if phase.state == "closed":
                break
            opened += phase.state == "open"
        lasts = self.rules.open_ms
        for _ in range(opened - 1):
            lasts = min(lasts * 2, self.rules.open_max_ms)
        return self.phase.began + lasts

    def ask(self, now: int) -> Call | None:
        """A caller wants to call: its call, or ``None`` where it is turned away."""
        if self.phase.state == "open":
            clock_was_set_back = now < self.phase.began - CLOCK_SLACK_MS
            if now < self.open_until and not clock_was_set_back:
                return None
            self._enter("half_open", now)
        if self.phase.state == "closed":
            call = Call(self.phase, probe=False)
        else:
            self._give_up_probes(now)
            here = [call for call in self.calls if call.phase is self.phase]
            busy = [call for call in here if not call.over]
            succeeded = [call for call in here if call.result is not None]
            if len(busy) + len(succeeded) >= self.rules.probes:
                return None
            call = Call(self.phase, probe=True, given_up_at=now + self.rules.lease_ms)
        self.calls.append(call)
        return call

    def end(self, call: Call, now: int, *, failed: bool, slow: bool) -> None:
        """A call has ended. May be said of any call at any time, once."""
        if call.phase is not self.phase:
            return
        if call.probe:
            self._give_up_probes(now)
            if call.over:
                return
        call.over = True
        call.result = (failed, slow)
        self.counted.append(call)
        self._judge(now)

    def cancel(self, call: Call) -> None:
        """A call was cancelled, or its failure was its own."""
        call.over = True

    def _judge(self, now: int) -> None:
        failures = sum(failed for failed, _ in self.results)
        slow = sum(slow for _, slow in self.results)
        if self.phase.state == "closed":
            calls = len(self.results)
            if calls >= self.rules.min_calls and (
                failures / calls >= self.rules.failure_rate or slow / calls >= self.rules.slow_rate
            ):
                self._enter("open", now)
        elif failures or slow / self.rules.probes >= self.rules.slow_rate:
            self._enter("open", now)
        elif len(self.results) == self.rules.probes:
            self._enter("closed", now)

    def _give_up_probes(self, now: int) -> None:
        for call in self.calls:
            if call.phase is self.phase and not call.over:
                clock_was_set_back = call.given_up_at > now + self.rules.lease_ms + CLOCK_SLACK_MS
                call.over = call.given_up_at <= now or clock_was_set_back

    def _enter(self, state: str, now: int) -> None:
        self.phases.append(Phase(state, now))
