"""What a place that keeps circuits must do. Each operation is one atomic step of the machine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from state.breaker import Circuit, Outcome, Permit, Transition


@dataclass(frozen=True)
class Decision:
    """A circuit after an operation, and what the operation did."""

    circuit: Circuit
    now_ms: int
    """The store's clock, in milliseconds since 1970."""
    permit: Permit | None = None
    """Where a caller asked: its permit; ``None`` when it is rejected."""
    transition: Transition | None = None
    """Told to the one caller whose operation caused it."""
    kept_ours: bool = False
    """After ``merge``: the circuit that was handed in is the one that is kept."""


class BreakerStore(ABC):
    """Keeps circuits by name. A name that is not in its configuration raises ``KeyError``."""

    @abstractmethod
    async def admit(self, name: str, lease_id: str) -> Decision:
        """Admit or reject a call; ``lease_id`` is unique."""

    @abstractmethod
    async def report(self, name: str, permit: Permit, outcome: Outcome) -> Decision:
        """Count a call that was admitted and has ended."""

    @abstractmethod
    async def release(self, name: str, permit: Permit) -> Decision:
        """Give a probe's lease back without an outcome."""

    @abstractmethod
    async def read(self, name: str) -> Decision:
        """Return the circuit as it is."""

    @abstractmethod
    async def merge(self, name: str, ours: Circuit, base_epoch: int) -> Decision:
        """Bring a circuit that went on elsewhere together with this one (``breaker.merge``)."""
