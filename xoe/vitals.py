"""Asks every part of the system how it is, for Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry.system_state import SystemState

if TYPE_CHECKING:
    from xoe.services import Services


async def system_state_of(services: Services) -> SystemState:
    """Return what the system is like now."""
    views = await services.breakers.views()
    documents = await services.store.statuses()
    _, passages = await services.store.totals()
    engines = services.engines()
    return SystemState(
        level=str(services.ladder.status().level),
        circuits={name: view.state for name, view in views.items()},
        components={part.name: part.state for part in services.readiness().components},
        engines={engine.name: engine.state for engine in engines},
        engine_restarts={engine.name: engine.restarts for engine in engines},
        engine_bytes={engine.name: engine.memory_bytes for engine in engines},
        waiting=services.waiting(),
        documents=documents,
        passages=passages,
        redis=services.redis.state,
        history_pending=services.history.pending,
        memory_bytes=services.memory.used,
        memory_limit_bytes=services.memory.limit,
    )
