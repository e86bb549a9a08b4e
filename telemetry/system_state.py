"""The state's state as gauges, made anew each time that Prometheus asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

BREAKERS: Final = ("llm-load", "checker", "rag-api", "stt", "tts", "redis-connection")
CIRCUIT_STATES: Final = ("closed", "half_open", "open")
LEVELS: Final = (
    "full",
    "lighter_voice",
    "half_voice",
    "direct",
    "extractive",
    "template",
    "emergency",
)
"""From everything to the last resort."""
QUEUES: Final = ("llm", "stt", "tts")
ENGINES: Final = ("llm", "embedder", "vad", "stt", "stt-light", "piper", "espeak")
ENGINE_STATES: Final = ("loading", "ready", "failed")
DOCUMENT_STATES: Final = ("ready", "failed")
REDIS_STATES: Final = ("stopped", "starting", "ready", "failed")
COMPONENTS: Final = ("model", "redis", "library", "voice")
COMPONENT_STATES: Final = ("loading", "ready", "failed", "off")

_T = TypeVar("_T")


@dataclass(frozen=True)
class SystemState:
    """What the state is like now. What is not known is left out."""

    level: str | None = None
    circuits: Mapping[str, str] = field(default_factory=dict)
    """State by the breaker's name."""
    components: Mapping[str, str] = field(default_factory=dict)
    """State by the component's name."""
    engines: Mapping[str, str] = field(default_factory=dict)
    """State of each engine's process."""
    engine_restarts: Mapping[str, int] = field(default_factory=dict)
    """How often each was started again after it was lost."""
    engine_bytes: Mapping[str, int] = field(default_factory=dict)
    """Resident memory of each."""
    waiting: Mapping[str, int] = field(default_factory=dict)
    """Requests that wait, by queue."""
    documents: Mapping[str, int] = field(default_factory=dict)
    """Documents by status."""
    passages: int | None = None
    redis: str | None = None
    history_pending: int | None = None
    """Writes that wait for Redis to come back."""
    memory_bytes: int | None = None
    """Resident, with the processes that the server started."""
    memory_limit_bytes: int | None = None


class SystemCollector(Collector):
    """Gives one ``SystemState`` to Prometheus' text format."""

    def __init__(self, state: SystemState) -> None:
        """``state`` as it was a moment ago."""
        self._house = state

    def collect(self) -> Iterator[Metric]:
        """Yield a gauge for each thing that is known."""
        state = self._house
        if state.level is not None:
            yield _states(
                "xoe_ladder_level", "Which level the ladder is on.", "level", LEVELS, state.level
            )
            rank = GaugeMetricFamily("xoe_ladder_rank", "The level as a number, 0 for everything.")
            rank.add_metric((), LEVELS.index(state.level) if state.level in LEVELS else -1)
            yield rank
        yield _state_of_each(
            "xoe_breaker_state",
            "Which state a circuit is in.",
            "breaker",
            CIRCUIT_STATES,
            _listed(state.circuits, BREAKERS),
        )
        yield _state_of_each(
            "xoe_component_state",
            "Which state a part is in.",
            "component",
            COMPONENT_STATES,
            _listed(state.components, COMPONENTS),
        )
        yield _state_of_each(
            "xoe_engine_state",
            "Which state an engine's process is in.",
            "engine",
            ENGINE_STATES,
            _listed(state.engines, ENGINES),
        )
        yield _counts(
            "xoe_engine_restarts",
            "How often an engine's process was started again.",
            "engine",
            _listed(state.engine_restarts, ENGINES),
        )
        yield _counts(
            "xoe_engine_memory_bytes",
            "Resident memory of an engine's process.",
            "engine",
            _listed(state.engine_bytes, ENGINES),
        )
        yield _counts(
            "xoe_queue_depth", "Requests that wait.", "queue", _listed(state.waiting, QUEUES)
        )
        yield _counts(
            "xoe_documents",
            "Documents by status.",
            "status",
            _listed(state.documents, DOCUMENT_STATES),
        )
        if state.redis is not None:
            yield _states(
                "xoe_redis_state", "Which state Redis is in.", "state", REDIS_STATES, state.redis
            )
        single = (
            ("xoe_passages", "Passages of all documents.", state.passages),
            ("xoe_history_pending_writes", "Writes waiting for Redis.", state.history_pending),
            ("xoe_memory_bytes", "Resident memory, child processes too.", state.memory_bytes),
            ("xoe_memory_limit_bytes", "Memory that may be used.", state.memory_limit_bytes),
            ("xoe_memory_share", "Memory used, as a share of the limit.", _share(state)),
        )
        for name, text, value in single:
            if value is not None:
                gauge = GaugeMetricFamily(name, text)
                gauge.add_metric((), value)
                yield gauge


def _share(state: SystemState) -> float | None:
    if state.memory_bytes is None or not state.memory_limit_bytes:
        return None
    return state.memory_bytes / state.memory_limit_bytes


def _listed(values: Mapping[str, _T], names: tuple[str, ...]) -> dict[str, _T]:
    return {name: value for name, value in values.items() if name in names}


def _states(name: str, text: str, label: str, states: tuple[str, ...], now: str) -> Metric:
    """Return a gauge that is 1 for the state that holds and 0 for the others."""
    gauge = GaugeMetricFamily(name, text, labels=[label])
    for state in states:
        gauge.add_metric((state,), float(state == now))
    return gauge


def _state_of_each(
    name: str, text: str, label: str, states: tuple[str, ...], now: Mapping[str, str]
) -> Metric:
    gauge = GaugeMetricFamily(name, text, labels=[label, "state"])
    for part, held in now.items():
        for state in states:
            gauge.add_metric((part, state), float(state == held))
    return gauge


def _counts(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    gauge = GaugeMetricFamily(name, text, labels=[label])
    for part, count in counts.items():
        gauge.add_metric((part,), count)
    return gauge
