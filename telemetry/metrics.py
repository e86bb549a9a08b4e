"""What is counted and timed, for Prometheus. One registry a server; labels are bounded."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

STAGES = ("endpoint", "stt", "retrieval", "first_token", "first_audio")
"""The stages of a spoken turn."""
REJECTIONS = ("no_words", "backchannel", "echo")
_SECONDS = (0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)


class Metrics:
    """All metrics of one server."""

    def __init__(self) -> None:
        """Start from zero in a registry of its own."""
        self.registry = CollectorRegistry()
        self.voice = VoiceMetrics(self.registry)

    def render(self) -> bytes:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self.registry)


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
        for engine in ("stt", "tts"):
            self._fallbacks.labels(engine)

    def rejected(self, reason: str) -> None:
        """Count a sound that gave no turn; ``reason`` is one of ``REJECTIONS``."""
        self._rejected.labels(reason).inc()

    def fallback(self, engine: str) -> None:
        """Count that the spare engine of ``stt`` or ``tts`` took over."""
        self._fallbacks.labels(engine).inc()

    def stage(self, name: str, milliseconds: float | None) -> None:
        """Record how long a stage of ``STAGES`` took, if it ran."""
        if milliseconds is not None:
            self._stages.labels(name).observe(milliseconds / 1000)
