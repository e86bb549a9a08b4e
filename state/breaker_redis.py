"""Circuits in Redis: shared by every process that uses it, and there after a restart.

Each operation is one script (``state/breaker.lua``), which Redis runs while nothing else runs, by
its own clock. A circuit is a hash ``xoe:v1:{breaker:NAME}:circuit`` without a time to live.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, cast

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from core.errors import RedisError
from state.breaker import BreakerConfig, Circuit, CircuitState, Outcome, Permit, Reason, Transition
from state.breaker_store import BreakerStore, Decision
from state.redis import RedisConnection

SCRIPT: Final = Path(__file__).with_name("breaker.lua").read_text("utf-8")
SCRIPT_SHA1: Final = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
"""What Redis knows the script by once it has seen it."""


def circuit_key(name: str) -> str:
    """Return the key of a breaker's circuit."""
    return f"xoe:v1:{{breaker:{name}}}:circuit"


class RedisStore(BreakerStore):
    """Every method raises ``RedisError`` when Redis is away or refuses."""

    def __init__(
        self,
        connection: RedisConnection,
        configs: Mapping[str, BreakerConfig],
        *,
        clock_ms: Callable[[], int] | None = None,
    ) -> None:
        """``configs`` names the circuits. ``clock_ms`` takes the place of Redis's own clock."""
        self._connection = connection
        self._configs = {name: _figures(config) for name, config in configs.items()}
        self._clock_ms = clock_ms

    async def admit(self, name: str, lease_id: str) -> Decision:
        """Admit or reject a call; ``lease_id`` is unique."""
        return await self._call(name, "admit", lease_id)

    async def report(self, name: str, permit: Permit, outcome: Outcome) -> Decision:
        """Count a call that was admitted and has ended."""
        return await self._call(name, "report", permit.epoch, permit.lease or "", int(outcome))

    async def release(self, name: str, permit: Permit) -> Decision:
        """Give a probe's lease back without an outcome."""
        return await self._call(name, "release", permit.epoch, permit.lease or "")

    async def read(self, name: str) -> Decision:
        """Return the circuit as it is."""
        return await self._call(name, "read")

    async def merge(self, name: str, ours: Circuit, base_epoch: int) -> Decision:
        """Bring a circuit that went on elsewhere together with this one."""
        return await self._call(name, "merge", base_epoch, *encoded(ours))

    def arguments(self, name: str, operation: str, *more: str | int) -> list[str | int]:
        """Return what the script is called with: its key, then its arguments."""
        now = "" if self._clock_ms is None else self._clock_ms()
        return [circuit_key(name), operation, now, self._configs[name], *more]

    async def _call(self, name: str, operation: str, *more: str | int) -> Decision:
        arguments = self.arguments(name, operation, *more)

        async def run(client: Redis) -> bytes:
            command: Callable[..., Awaitable[bytes]] = client.execute_command
            try:
                return await command("EVALSHA", SCRIPT_SHA1, 1, *arguments)
            except NoScriptError:  # Redis was started again, or has never seen it
                return await command("EVAL", SCRIPT, 1, *arguments)

        return decoded(await self._connection.run(run))


def encoded(circuit: Circuit) -> tuple[str | int, ...]:
    """Return the circuit's fields as the script reads them."""
    return (
        circuit.state,
        circuit.epoch,
        circuit.since_ms,
        circuit.opened_ms,
        circuit.until_ms,
        circuit.streak,
        circuit.window,
        " ".join(f"{lease}={end_ms}" for lease, end_ms in circuit.leases),
    )


def decoded(reply: bytes) -> Decision:
    """Read the script's reply. Raises ``RedisError`` when the circuit is not one."""
    try:
        verdict, epoch, lease, old, reason, now, *fields = reply.decode().split(",")
        state, epoch_now, since_ms, opened_ms, until_ms, streak, window, leases = fields
        if state not in ("closed", "open", "half_open"):
            raise ValueError(state)
        circuit = Circuit(
            cast(CircuitState, state),
            int(epoch_now),
            int(since_ms),
            int(opened_ms),
            int(until_ms),
            int(streak),
            window,
            tuple(_lease(text) for text in leases.split()),
        )
        return Decision(
            circuit,
            int(now),
            Permit(int(epoch), lease or None) if verdict == "admitted" else None,
            Transition(cast(CircuitState, old), circuit.state, cast(Reason, reason))
            if reason
            else None,
            kept_ours=verdict == "ours",
        )
    except ValueError as exc:
        raise RedisError("What Redis holds of a circuit breaker cannot be read.") from exc


def _lease(text: str) -> tuple[str, int]:
    lease, _, end_ms = text.partition("=")
    return lease, int(end_ms)


def _figures(config: BreakerConfig) -> str:
    """Return the configuration as the script reads it."""
    rates = (repr(config.failure_rate), repr(config.slow_rate))
    times = (config.open_ms, config.open_max_ms, config.probes, config.lease_ms)
    return " ".join(str(figure) for figure in (config.window, config.min_calls, *rates, *times))
