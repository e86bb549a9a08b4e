"""Promises of the metrics."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from telemetry.loop_lag import watch_loop
from telemetry.metrics import HttpMetrics, Metrics
from telemetry.system_state import LEVELS, SystemState

HOSTILE = 10_000


def series(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return every series by its name and labels, as Prometheus would read them."""
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def value(text: bytes, name: str, **labels: str) -> float:
    return series(text)[name, tuple(sorted(labels.items()))]


def full_house() -> SystemState:
    return SystemState(
        level="direct",
        circuits={"stt": "open", "llm-load": "closed"},
        components={"model": "ready", "voice": "failed"},
        waiting={"llm": 3, "stt": 0, "tts": 1},
        documents={"ready": 12, "failed": 1},
        passages=340,
        redis="failed",
        history_pending=7,
        memory_bytes=3 * 2**30,
        memory_limit_bytes=6 * 2**30,
    )


def test_what_is_served_is_what_prometheus_reads() -> None:
    text = Metrics().render(full_house()) + HttpMetrics(["/query"]).render()
    names = {family.name for family in text_string_to_metric_families(text.decode())}
    assert {
        "xoe_turns",
        "xoe_turn_stage_seconds",
        "xoe_tokens",
        "xoe_breaker_state",
        "xoe_breaker_transitions",
        "xoe_ladder_level",
        "xoe_queue_depth",
        "xoe_documents",
        "xoe_redis_state",
        "xoe_history_pending_writes",
        "xoe_memory_bytes",
        "xoe_memory_limit_bytes",
        "xoe_memory_share",
        "xoe_event_loop_lag_seconds",
        "xoe_voice_buffer_bytes",
        "xoe_voice_overflow_chunks",
        "xoe_http_requests",
    } <= names
    assert series(text)


def test_the_house_is_shown_as_it_is_now() -> None:
    metrics = Metrics()
    text = metrics.render(full_house())
    assert value(text, "xoe_ladder_level", level="direct") == 1
    assert sum(value(text, "xoe_ladder_level", level=level) for level in LEVELS) == 1
    assert value(text, "xoe_ladder_rank") == 3
    assert value(text, "xoe_breaker_state", breaker="stt", state="open") == 1
    assert value(text, "xoe_breaker_state", breaker="stt", state="closed") == 0
    assert value(text, "xoe_queue_depth", queue="llm") == 3
    assert value(text, "xoe_documents", status="failed") == 1
    assert value(text, "xoe_history_pending_writes") == 7
    assert value(text, "xoe_memory_share") == 0.5
    assert value(metrics.render(SystemState(level="full")), "xoe_ladder_level", level="direct") == 0


def test_what_is_not_known_is_not_claimed() -> None:
    names = {name for name, _ in series(Metrics().render(SystemState()))}
    assert not names & {
        "xoe_ladder_level",
        "xoe_memory_bytes",
        "xoe_memory_share",
        "xoe_redis_state",
    }


def test_a_turn_is_counted_with_its_stages() -> None:
    metrics = Metrics()
    metrics.turn_done("typed", "answered", {"retrieval": 12.0, "queue": None, "total": 2500.0})
    metrics.turn_done("typed", "cancelled")
    metrics.tokens(prompt=300, cached=200, completion=40)
    metrics.transition("stt", "closed", "open")
    metrics.level("half_voice")
    text = metrics.render()
    assert value(text, "xoe_turns_total", kind="typed", outcome="answered") == 1
    assert value(text, "xoe_turns_total", kind="typed", outcome="cancelled") == 1
    stage = {"kind": "typed", "stage": "total"}
    assert value(text, "xoe_turn_stage_seconds_count", **stage) == 1
    assert value(text, "xoe_turn_stage_seconds_sum", **stage) == 2.5
    assert ("xoe_turn_stage_seconds_count", (("kind", "typed"), ("stage", "queue"))) not in series(
        text
    )
    assert value(text, "xoe_tokens_total", kind="cached") == 200
    transition = {"breaker": "stt", "old": "closed", "new": "open"}
    assert value(text, "xoe_breaker_transitions_total", **transition) == 1
    assert value(text, "xoe_ladder_changes_total", level="half_voice") == 1


def feed(metrics: Metrics, http: HttpMetrics, word: str, number: int) -> None:
    """Say ``word`` wherever a label comes from outside."""
    metrics.turn_done(word, word, {word: 1.0, "total": 1.0})
    metrics.transition(word, word, word)
    metrics.level(word)
    metrics.voice.rejected(word)
    metrics.voice.fallback(word)
    metrics.voice.stage(word, 1.0)
    http.request(word, word, number, 0.1)
    http.request(f"/query/{word}", "GET", None, 0.1)


def test_labels_stay_bounded_whatever_comes() -> None:
    metrics, http = Metrics(), HttpMetrics(["/query", "/health"])
    feed(metrics, http, "first", 200)
    http.request("/query", "GET", 200, 0.1)
    for status in range(0, 1000, 100):
        http.request("first", "first", status, 0.1)
    before = len(series(metrics.render() + http.render()))
    for number in range(HOSTILE):
        feed(metrics, http, f'{number}"\n\\}} \u202e', number)
    after = series(metrics.render() + http.render())
    assert len(after) == before
    assert value(metrics.render(), "xoe_turns_total", kind="other", outcome="other") == HOSTILE + 1
    hostile = dict.fromkeys((f"x{n}" for n in range(HOSTILE)), "open")
    numbers = dict.fromkeys(hostile, 1)
    house = SystemState(
        level="x",
        circuits=hostile,
        components=hostile,
        waiting=numbers,
        documents=numbers,
        redis="x",
    )
    assert len(series(metrics.render(house))) - len(series(metrics.render())) < 20


@settings(max_examples=200, deadline=None)
@given(st.text(), st.integers())
def test_any_label_can_be_read_back(word: str, number: int) -> None:
    metrics, http = Metrics(), HttpMetrics(["/query"])
    feed(metrics, http, word, number)
    assert series(metrics.render(SystemState(level=word, circuits={word: word})) + http.render())


def test_a_counter_never_goes_down() -> None:
    metrics = Metrics()
    before: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for number in range(50):
        feed(metrics, HttpMetrics(), f"word {number}", number)
        now = series(metrics.render())
        for key, held in before.items():
            if key[0].endswith(("_total", "_count", "_sum", "_bucket")):
                assert now[key] >= held, key
        before = now


async def test_a_blocked_loop_is_seen() -> None:
    metrics = Metrics()
    watching = asyncio.create_task(watch_loop(metrics))
    await asyncio.sleep(0.1)
    time.sleep(0.8)
    await asyncio.sleep(0.1)
    watching.cancel()
    assert value(metrics.render(), "xoe_event_loop_lag_seconds_count") == 1
    assert value(metrics.render(), "xoe_event_loop_lag_seconds_sum") > 0.3


@pytest.mark.parametrize("number", [float("nan"), -1.0])
def test_a_clock_that_goes_back_spoils_no_histogram(number: float) -> None:
    http = HttpMetrics(["/query"])
    http.request("/query", "GET", 200, number)
    assert value(http.render(), "xoe_http_request_seconds_sum", route="/query") >= 0
