"""What is counted and timed, for Prometheus. One registry a server; labels are bounded.

Nothing is ever reset. What a label may be is listed here; anything else counts as ``other``. What
is a state rather than a count is read when Prometheus asks (``telemetry/system_state.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from telemetry.system_state import BREAKERS, CIRCUIT_STATES, LEVELS, SystemCollector, SystemState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

OTHER: Final = "other"
TURN_KINDS: Final = ("typed", "spoken", "api", "ingest")
OUTCOMES: Final = (
    "answered",
    "nearest_passages",
    "not_in_library",
    "extractive",
    "failed",
    "cancelled",
)
TURN_STAGES: Final = ("history", "retrieval", "check", "prompt", "queue", "first_token", "total")
"""The stages of an answer, as in ``TurnTimings``."""
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
STATUS_CLASSES: Final = ("1xx", "2xx", "3xx", "4xx", "5xx", "none")
"""``none``: the client was gone before there was an answer."""
STAGES = ("endpoint", "stt", "retrieval", "first_token", "first_audio")
"""The stages of a spoken turn."""
REJECTIONS = ("no_words", "backchannel", "echo")
ENGINES: Final = ("stt", "tts")
_SECONDS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_LONG_SECONDS = (0.005, 0.01, *_SECONDS, 20.0, 30.0, 60.0)
_LAG_SECONDS = (0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0)


class Metrics:
    """All metrics of one server."""

    def __init__(self) -> None:
        """Start from zero in a registry of its own."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.voice = VoiceMetrics(self.registry)
        self._turns = Counter(
            "xoe_turns", "Turns by how they ended.", ["kind", "outcome"], registry=self.registry
        )
        self._stages = Histogram(
            "xoe_turn_stage_seconds",
            "Stages of an answer.",
            ["kind", "stage"],
            buckets=_LONG_SECONDS,
            registry=self.registry,
        )
        self._tokens = Counter(
            "xoe_tokens",
            "Tokens of prompts read, of these taken from the cache, and written.",
            ["kind"],
            registry=self.registry,
        )
        self._transitions = Counter(
            "xoe_breaker_transitions",
            "Changes of a circuit's state.",
            ["breaker", "old", "new"],
            registry=self.registry,
        )
        self._levels = Counter(
            "xoe_ladder_changes", "Times a level was entered.", ["level"], registry=self.registry
        )
        self._lag = Histogram(
            "xoe_event_loop_lag_seconds",
            "How late the event loop is.",
            buckets=_LAG_SECONDS,
            registry=self.registry,
        )
        for outcome in OUTCOMES:
            self._turns.labels("typed", outcome)
        for kind in ("prompt", "cached", "completion"):
            self._tokens.labels(kind)

    def turn_done(
        self, kind: str, outcome: str, timings_ms: Mapping[str, float | None] | None = None
    ) -> None:
        """Count a turn that has ended, and time the stages that ran.

        ``kind`` of ``TURN_KINDS``, ``outcome`` of ``OUTCOMES``, stages of ``TURN_STAGES`` in
        milliseconds.
        """
        kind = _known(kind, TURN_KINDS)
        self._turns.labels(kind, _known(outcome, OUTCOMES)).inc()
        for stage, ms in (timings_ms or {}).items():
            if ms is not None and stage in TURN_STAGES:
                self._stages.labels(kind, stage).observe(ms / 1000)

    def tokens(self, *, prompt: int, cached: int, completion: int) -> None:
        """Count the tokens of one generation; ``cached`` are those of ``prompt`` not read anew."""
        for kind, count in (("prompt", prompt), ("cached", cached), ("completion", completion)):
            self._tokens.labels(kind).inc(count)

    def transition(self, breaker: str, old: str, new: str) -> None:
        """Count a circuit's change of state."""
        self._transitions.labels(
            _known(breaker, BREAKERS), _known(old, CIRCUIT_STATES), _known(new, CIRCUIT_STATES)
        ).inc()

    def level(self, level: str) -> None:
        """Count that a level of the ladder was entered."""
        self._levels.labels(_known(level, LEVELS)).inc()

    def loop_lag(self, seconds: float) -> None:
        """Record how late the event loop was once."""
        self._lag.observe(max(0.0, seconds))

    def render(self, state: SystemState | None = None) -> bytes:
        """Return the metrics in Prometheus' text format, ``state`` as it is now with them."""
        text = generate_latest(self.registry)
        return text if state is None else text + generate_latest(SystemCollector(state))


class HttpMetrics:
    """What is asked over HTTP. There before the services are, in a registry of its own."""

    def __init__(self, routes: Iterable[str] = ()) -> None:
        """``routes`` are the templates that may be labels."""
        self.registry = CollectorRegistry()
        self._routes = frozenset(routes)
        self._requests = Counter(
            "xoe_http_requests",
            "Requests by route and class of status.",
            ["route", "method", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "xoe_http_request_seconds",
            "Time until a request's answer was sent.",
            ["route"],
            buckets=_LONG_SECONDS,
            registry=self.registry,
        )

    def request(self, route: str, method: str, status: int | None, seconds: float) -> None:
        """Count a request; ``status`` is ``None`` when the client went before the answer."""
        route = _known(route, self._routes)
        status_class = "none" if status is None else f"{status // 100}xx"
        self._requests.labels(
            route, _known(method, METHODS), _known(status_class, STATUS_CLASSES)
        ).inc()
        self._seconds.labels(route).observe(max(0.0, seconds))

    def render(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry)


def _known(value: str, allowed: Collection[str]) -> str:
    return value if value in allowed else OTHER


class VoiceMetrics:
    """What happens in calls."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register in ``registry``."""
        self.calls = Gauge("xoe_voice_calls", "Calls that are going on.", registry=registry)
        self.refused = Counter(
            "xoe_voice_calls_refused", "Calls refused as too many were on.", registry=registry
        )
        self.turns = Counter("xoe_voice_turns", "Spoken turns answered.", registry=registry)
        self.barge_ins = Counter(
            "xoe_voice_barge_ins", "Replies that a person interrupted.", registry=registry
        )
        self.resumed = Counter(
            "xoe_voice_replies_resumed",
            "Replies that went on after a false alarm.",
            registry=registry,
        )
        self.overflow_chunks = Counter(
            "xoe_voice_overflow_chunks", "Chunks of sound dropped unheard.", registry=registry
        )
        self.overflow_frames = Counter(
            "xoe_voice_overflow_frames", "Frames of overlong turns dropped.", registry=registry
        )
        self.buffer_bytes = Gauge(
            "xoe_voice_buffer_bytes", "Sound that waits to be heard.", registry=registry
        )
        self._rejected = Counter(
            "xoe_voice_rejected", "Sounds that gave no turn.", ["reason"], registry=registry
        )
        self._fallbacks = Counter(
            "xoe_voice_fallbacks", "Times a spare engine took over.", ["engine"], registry=registry
        )
        self._stages = Histogram(
            "xoe_voice_stage_seconds",
            "Stages of a spoken turn.",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        for stage in STAGES:
            self._stages.labels(stage)
        for reason in REJECTIONS:
            self._rejected.labels(reason)
        for engine in ENGINES:
            self._fallbacks.labels(engine)

    def rejected(self, reason: str) -> None:
        """Count a sound that gave no turn; ``reason`` is one of ``REJECTIONS``."""
        self._rejected.labels(_known(reason, REJECTIONS)).inc()

    def fallback(self, engine: str) -> None:
        """Count that the spare engine of ``stt`` or ``tts`` took over."""
        self._fallbacks.labels(_known(engine, ENGINES)).inc()

    def stage(self, name: str, milliseconds: float | None) -> None:
        """Record how long a stage of ``STAGES`` took, if it ran."""
        if milliseconds is not None:
            self._stages.labels(_known(name, STAGES)).observe(milliseconds / 1000)
