"""Circuits in this process's memory: for one process, or while Redis is away."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from state import breaker
from state.breaker import BreakerConfig, Circuit, Outcome, Permit, Step
from state.breaker_store import BreakerStore, Decision


def wall_clock_ms() -> int:
    """Return the milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class MemoryStore(BreakerStore):
    """No operation waits for anything, so each is atomic within an event loop."""

    def __init__(
        self,
        configs: Mapping[str, BreakerConfig],
        *,
        clock_ms: Callable[[], int] = wall_clock_ms,
    ) -> None:
        """``configs`` names the circuits. ``clock_ms`` gives milliseconds since 1970."""
        self._configs = dict(configs)
        self._circuits = dict.fromkeys(self._configs, Circuit())
        self.now_ms = clock_ms
        """The store's clock."""

    def circuit(self, name: str) -> Circuit:
        """Return the circuit as it is."""
        return self._circuits[name]

    def put(self, name: str, circuit: Circuit) -> None:
        """Replace the circuit by what is known to be newer."""
        self._circuits[name] = circuit

    async def admit(self, name: str, lease_id: str) -> Decision:
        """Admit or reject a call; ``lease_id`` is unique."""
        now_ms = self.now_ms()
        circuit, config = self._circuits[name], self._configs[name]
        return self._kept(
            name, breaker.admit(circuit, config, now_ms=now_ms, lease_id=lease_id), now_ms
        )

    async def report(self, name: str, permit: Permit, outcome: Outcome) -> Decision:
        """Count a call that was admitted and has ended."""
        now_ms = self.now_ms()
        circuit, config = self._circuits[name], self._configs[name]
        return self._kept(
            name, breaker.report(circuit, config, permit, outcome, now_ms=now_ms), now_ms
        )

    async def release(self, name: str, permit: Permit) -> Decision:
        """Give a probe's lease back without an outcome."""
        return self._kept(name, breaker.release(self._circuits[name], permit), self.now_ms())

    async def read(self, name: str) -> Decision:
        """Return the circuit as it is."""
        return Decision(self._circuits[name], self.now_ms())

    async def merge(self, name: str, ours: Circuit, base_epoch: int) -> Decision:
        """Bring a circuit that went on elsewhere together with this one."""
        kept, kept_ours = breaker.merge(ours, self._circuits[name], base_epoch=base_epoch)
        self._circuits[name] = kept
        return Decision(kept, self.now_ms(), kept_ours=kept_ours)

    def _kept(self, name: str, step: Step, now_ms: int) -> Decision:
        self._circuits[name] = step.circuit
        return Decision(step.circuit, now_ms, step.permit, step.transition)
